//! Laws 1 to 3: every point of a lot is somewhere, told by a book that follows the events alone.
use std::collections::BTreeMap;

use event_schemas::{
    EntryId,
    catalogue::PointsAccountEvent as Event,
    points_account::{Allocation, Estate, ReservationPhase},
};
use proptest::prelude::*;

use super::{Verdict, at_every_moment, over_histories, world::World};

/// Where the points of a lot are. On their way out and back they are counted as held.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Parts {
    granted: i64,
    pending: i64,
    active: i64,
    held: i64,
    gone: i64,
    repaid: i64,
}

#[derive(Debug, Default)]
struct Book {
    lots: BTreeMap<EntryId, Parts>,
    reserved: BTreeMap<String, Vec<Allocation>>,
}

impl Book {
    fn grant(&mut self, lot: EntryId, points: i64, pending: bool) {
        let (pending, active) = if pending { (points, 0) } else { (0, points) };
        self.lots.insert(lot, Parts { granted: points, pending, active, ..Parts::default() });
    }

    fn each(&mut self, allocations: &[Allocation], change: impl Fn(&mut Parts, i64)) {
        for Allocation { lot, points } in allocations {
            change(self.lots.entry(*lot).or_default(), points.0);
        }
    }

    fn gone(&mut self, allocations: &[Allocation]) {
        self.each(allocations, |parts, points| {
            parts.active -= points;
            parts.gone += points;
        });
    }

    fn hold(&mut self, key: String, allocations: Vec<Allocation>) {
        self.each(&allocations, |parts, points| {
            parts.active -= points;
            parts.held += points;
        });
        self.reserved.insert(key, allocations);
    }

    /// Held points come back, or repay debt.
    fn come_back(&mut self, key: &str, back: &[Allocation]) {
        let held = self.reserved.remove(key).unwrap_or_default();
        self.each(&held, |parts, points| {
            parts.held -= points;
            parts.repaid += points;
        });
        self.each(back, |parts, points| {
            parts.repaid -= points;
            parts.active += points;
        });
    }

    /// What leaves with a part is gone, also what may come back to a lot.
    fn leave(&mut self, estate: &Estate) {
        for lot in &estate.lots {
            let parts = self.lots.entry(lot.lot).or_default();
            let bucket = if lot.release.is_some() { &mut parts.pending } else { &mut parts.active };
            *bucket -= lot.points.0;
            parts.gone += lot.points.0;
        }
        let reserved = estate.reservations.iter().map(|one| format!("{:?}", one.redemption));
        let sent = estate.transfers.iter().map(|one| format!("{:?}", one.transfer));
        for key in reserved.chain(sent) {
            let held = self.reserved.remove(&key).unwrap_or_default();
            self.each(&held, |parts, points| {
                parts.held -= points;
                parts.gone += points;
            });
        }
    }

    fn inherit(&mut self, estate: &Estate, paid: &[Allocation]) {
        for lot in &estate.lots {
            self.grant(lot.lot, lot.points.0, lot.release.is_some());
        }
        self.each(paid, |parts, points| {
            parts.active -= points;
            parts.repaid += points;
        });
        let moved = |lots: &[event_schemas::points_account::MovedLot]| -> Vec<Allocation> {
            lots.iter().map(|one| Allocation { lot: one.lot, points: one.points }).collect()
        };
        for one in &estate.reservations {
            if matches!(one.phase, ReservationPhase::Reserved | ReservationPhase::Redeemed) {
                self.owe(format!("{:?}", one.redemption), moved(&one.lots));
            }
        }
        for one in &estate.transfers {
            self.owe(format!("{:?}", one.transfer), moved(&one.lots));
        }
    }

    fn owe(&mut self, key: String, held: Vec<Allocation>) {
        self.each(&held, |parts, points| {
            parts.granted += points;
            parts.held += points;
        });
        self.reserved.insert(key, held);
    }

    fn take(&mut self, event: &Event) {
        let moved = |lots: &[event_schemas::points_account::MovedLot]| -> Vec<Allocation> {
            lots.iter().map(|one| Allocation { lot: one.lot, points: one.points }).collect()
        };
        match event {
            Event::PointsEarned(one) => {
                self.grant(one.entry, one.points.0 - one.repaid.0, one.release.is_some());
            }
            Event::PointsReleased(one) => {
                let parts = self.lots.entry(one.lot).or_default();
                parts.pending -= one.points.0;
                parts.active += one.points.0 - one.repaid.0;
                parts.repaid += one.repaid.0;
            }
            Event::PointsVoided(one) => self.each(&one.allocations, |parts, points| {
                parts.pending -= points;
                parts.gone += points;
            }),
            Event::PointsClawedBack(one) => self.gone(&one.from_active),
            Event::PointsAdjusted(one) => {
                if one.points.0 > 0 {
                    self.grant(one.entry, one.points.0 - one.repaid.0, false);
                }
                self.gone(&one.allocations);
            }
            Event::PointsReserved(one) => self.hold(format!("{:?}", one.redemption), one.allocations.clone()),
            Event::PointsReservationReleased(one) => {
                self.come_back(&format!("{:?}", one.redemption), &one.allocations);
            }
            Event::PointsReinstated(one) => {
                self.come_back(&format!("{:?}", one.redemption), &one.allocations);
            }
            Event::PointsExpired(one) => self.gone(&one.allocations),
            Event::PointsTransferredOut(one) => self.hold(format!("{:?}", one.transfer), moved(&one.lots)),
            Event::PointsTransferReturned(one) => {
                self.come_back(&format!("{:?}", one.transfer), &moved(&one.lots));
            }
            Event::PointsTransferredIn(one) => {
                one.lots.iter().for_each(|lot| self.grant(lot.lot, lot.points.0, false));
            }
            Event::PointsAccountAbsorbed(one) => self.inherit(&one.estate, &one.allocations),
            Event::EstatePartAbsorbed(one) => self.inherit(&one.estate, &one.allocations),
            Event::EstatePartMoved(one) => self.leave(&one.estate),
            Event::PointsAccountMerged(_) => *self = Self::default(),
            _ => {}
        }
    }
}

/// Catches: a clawback that forgets to lower what is available; a release of pending points that leaves them pending.
#[test]
pub(crate) fn law_1_what_can_be_spent_is_what_remains_in_the_lots() {
    at_every_moment(|_, moment| {
        let shown = &moment.after;
        let sum = |pending: bool| -> i64 {
            shown.lots.iter().filter(|lot| lot.release.is_some() == pending).map(|lot| lot.points.0).sum()
        };
        prop_assert_eq!(shown.balances.available.0, sum(false), "{:?}", moment.event);
        prop_assert_eq!(shown.balances.pending.0, sum(true), "{:?}", moment.event);
        prop_assert_eq!(shown.balances.reserved.0, shown.held, "{:?}", moment.event);
        prop_assert!(shown.lots.iter().all(|lot| lot.points.0 > 0));
        Ok(())
    });
}

/// Catches: a lot that is lost with its last point.
#[test]
pub(crate) fn law_2_every_point_of_a_lot_is_somewhere() {
    over_histories(|world| (0..3).try_for_each(|on| lots_add_up(world, on)));
}

fn lots_add_up(world: &World, on: usize) -> Verdict {
    let mut book = Book::default();
    for event in world.events(on) {
        book.take(event);
        for (lot, all) in &book.lots {
            let parts = [all.pending, all.active, all.held, all.gone, all.repaid];
            prop_assert!(parts.iter().all(|part| *part >= 0), "{lot} {all:?} after {event:?}");
            prop_assert_eq!(all.granted, parts.iter().sum::<i64>(), "{} {:?} after {:?}", lot, all, event);
        }
    }
    let mut open = BTreeMap::new();
    for lot in world.accounts[on].lots() {
        let (pending, active) = if lot.release.is_some() { (lot.points.0, 0) } else { (0, lot.points.0) };
        open.insert(lot.entry, (pending, active));
    }
    book.lots.retain(|_, parts| parts.pending + parts.active > 0);
    let told: BTreeMap<_, _> =
        book.lots.iter().map(|(lot, parts)| (*lot, (parts.pending, parts.active))).collect();
    prop_assert_eq!(open, told);
    Ok(())
}

/// Catches: an award, a release or a merge that leaves debt standing beside points.
#[test]
pub(crate) fn law_3_nobody_has_points_to_spend_and_debt() {
    at_every_moment(|_, moment| {
        let all = moment.after.balances;
        let buckets = [all.available, all.pending, all.reserved, all.in_transit, all.debt];
        prop_assert!(buckets.iter().all(|bucket| bucket.0 >= 0), "{:?}", moment.event);
        prop_assert!(all.available.is_zero() || all.debt.is_zero(), "{:?}", moment.event);
        Ok(())
    });
}
