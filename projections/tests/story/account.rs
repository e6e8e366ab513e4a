//! One customer's ledger by the story's own count: buckets and lots, kept apart from what is tested.
use std::collections::HashMap;

use event_schemas::{
    EntryId, Points, RedemptionId, Timestamp,
    points_account::{Allocation, Balances, Estate, EstateLot, EstateReservation, Release, ReservationPhase},
    sample,
};
use uuid::Uuid;

#[derive(Clone, Default)]
pub(crate) struct Account {
    pub(crate) after: Balances,
    lots: Vec<Lot>,
    held: HashMap<RedemptionId, Held>,
}

#[derive(Clone)]
struct Lot {
    id: EntryId,
    points: i64,
    release: Option<Release>,
    expires_at: Option<Timestamp>,
}

#[derive(Clone)]
struct Held {
    taken: Vec<Allocation>,
    phase: ReservationPhase,
}

pub(crate) fn new_entry() -> EntryId {
    EntryId(Uuid::now_v7())
}

impl Account {
    /// A lot of points that can be spent, less what repays debt; says how much that is.
    pub(crate) fn grants(&mut self, id: EntryId, points: i64, expires_at: Option<Timestamp>) -> Points {
        let repaid = self.repays(points);
        self.after.available.0 += points - repaid;
        self.lots.push(Lot { id, points: points - repaid, release: None, expires_at });
        Points(repaid)
    }

    pub(crate) fn grants_pending(&mut self, id: EntryId, points: i64, release: Release) {
        self.after.pending.0 += points;
        self.lots.push(Lot { id, points, release: Some(release), expires_at: None });
    }

    /// All of a pending lot can be spent, less what repays debt; says how much it was, and how much repaid.
    pub(crate) fn releases(&mut self, id: EntryId) -> (Points, Points) {
        let points = self.lot(id).points;
        let repaid = self.repays(points);
        self.after.pending.0 -= points;
        self.after.available.0 += points - repaid;
        let lot = self.lot(id);
        (lot.points, lot.release) = (points - repaid, None);
        (Points(points), Points(repaid))
    }

    pub(crate) fn voids(&mut self, id: EntryId, points: i64) -> Vec<Allocation> {
        self.after.pending.0 -= points;
        self.after.lifetime_voided.0 += points;
        self.lot(id).points -= points;
        vec![Allocation { lot: id, points: Points(points) }]
    }

    /// Takes points from the oldest lots, as far as they are there.
    pub(crate) fn takes(&mut self, points: i64) -> Vec<Allocation> {
        let mut taken = Vec::new();
        let mut rest = points;
        for lot in self.lots.iter_mut().filter(|lot| lot.release.is_none() && lot.points > 0) {
            let part = lot.points.min(rest);
            if part > 0 {
                lot.points -= part;
                rest -= part;
                taken.push(Allocation { lot: lot.id, points: Points(part) });
            }
        }
        self.after.available.0 -= points - rest;
        taken
    }

    pub(crate) fn holds(&mut self, redemption: RedemptionId, points: i64) -> Vec<Allocation> {
        let taken = self.takes(points);
        assert_eq!(sum(&taken), points, "there is not enough to hold");
        self.after.reserved.0 += points;
        self.held.insert(redemption, Held { taken: taken.clone(), phase: ReservationPhase::Reserved });
        taken
    }

    pub(crate) fn spends(&mut self, redemption: RedemptionId) -> Vec<Allocation> {
        let held = self.held.get_mut(&redemption).unwrap();
        held.phase = ReservationPhase::Redeemed;
        let taken = held.taken.clone();
        self.after.reserved.0 -= sum(&taken);
        self.after.lifetime_redeemed.0 += sum(&taken);
        taken
    }

    /// What a redemption took goes back to its lots, less what repays debt; says where to, and how much repaid.
    pub(crate) fn gives_back(&mut self, redemption: RedemptionId) -> (Vec<Allocation>, Points) {
        let Held { taken, .. } = self.held.remove(&redemption).unwrap();
        self.puts_back(taken)
    }

    pub(crate) fn puts_back(&mut self, taken: Vec<Allocation>) -> (Vec<Allocation>, Points) {
        let repaid = self.repays(sum(&taken));
        let mut short = repaid;
        let mut back = Vec::new();
        for Allocation { lot, points } in taken {
            let kept = points.0 - points.0.min(short);
            short -= points.0 - kept;
            if kept > 0 {
                self.lot(lot).points += kept;
                back.push(Allocation { lot, points: Points(kept) });
            }
        }
        self.after.available.0 += sum(&back);
        (back, Points(repaid))
    }

    /// Everything that can be spent ends.
    pub(crate) fn expires(&mut self) -> Vec<Allocation> {
        let gone = self.takes(self.after.available.0);
        self.after.lifetime_expired.0 += sum(&gone);
        gone
    }

    /// Everything leaves for another account.
    pub(crate) fn leaves(&mut self) -> Estate {
        let lots = self.lots.iter().filter(|lot| lot.points > 0).map(|lot| EstateLot {
            lot: lot.id,
            points: Points(lot.points),
            release: lot.release,
            expires_at: lot.expires_at,
            order: None,
            rule: None,
        });
        let held = self.held.iter().map(|(redemption, Held { taken, phase })| EstateReservation {
            redemption: *redemption,
            points: Points(sum(taken)),
            discount: sample::usd(sum(taken)),
            lots: taken.iter().map(|one| moved(*one)).collect(),
            phase: *phase,
            entry: None,
            after: self.after,
            spent: None,
        });
        let estate = Estate {
            lots: lots.collect(),
            debt: self.after.debt,
            orders: Vec::new(),
            reservations: held.collect(),
            transfers: Vec::new(),
            actions: Vec::new(),
            keys: Vec::new(),
            frozen: false,
            last_activity_at: None,
        };
        let all = self.after;
        let net = all.available.0 + all.pending.0 + all.reserved.0 - all.debt.0;
        let transferred = Points(all.lifetime_transferred.0 - net);
        let zero = Points::ZERO;
        self.after = Balances { available: zero, pending: zero, reserved: zero, debt: zero, ..all };
        self.after.lifetime_transferred = transferred;
        (self.lots, self.held) = (Vec::new(), HashMap::new());
        estate
    }

    /// Takes another account's estate in; says which lots repaid debt.
    pub(crate) fn absorbs(&mut self, estate: &Estate) -> Vec<Allocation> {
        let mut net = -estate.debt.0;
        for lot in &estate.lots {
            let EstateLot { lot: id, points, release, expires_at, .. } = *lot;
            net += points.0;
            let bucket = if release.is_some() { &mut self.after.pending } else { &mut self.after.available };
            bucket.0 += points.0;
            self.lots.push(Lot { id, points: points.0, release, expires_at });
        }
        for held in &estate.reservations {
            if held.phase == ReservationPhase::Reserved {
                net += held.points.0;
                self.after.reserved.0 += held.points.0;
            }
            for moved in &held.lots {
                if !self.lots.iter().any(|lot| lot.id == moved.lot) {
                    self.lots.push(Lot { id: moved.lot, points: 0, release: None, expires_at: None });
                }
            }
            let lots = held.lots.iter().map(|one| Allocation { lot: one.lot, points: one.points });
            self.held.insert(held.redemption, Held { taken: lots.collect(), phase: held.phase });
        }
        self.after.lifetime_transferred.0 += net;
        self.after.debt.0 += estate.debt.0;
        let repaid = self.takes(self.after.debt.0.min(self.after.available.0));
        self.after.debt.0 -= sum(&repaid);
        repaid
    }

    pub(crate) fn dates(&mut self, until: Timestamp) -> Vec<EntryId> {
        let open = self.lots.iter_mut().filter(|lot| lot.points > 0 && lot.release.is_none());
        open.map(|lot| {
            lot.expires_at = Some(until);
            lot.id
        })
        .collect()
    }

    /// Each lot's points that can be spent, as far as there are any.
    pub(crate) fn spendable(&self) -> HashMap<EntryId, i64> {
        let open = self.lots.iter().filter(|lot| lot.points > 0 && lot.release.is_none());
        open.map(|lot| (lot.id, lot.points)).collect()
    }

    fn repays(&mut self, points: i64) -> i64 {
        let repaid = self.after.debt.0.min(points);
        self.after.debt.0 -= repaid;
        repaid
    }

    fn lot(&mut self, id: EntryId) -> &mut Lot {
        self.lots.iter_mut().find(|lot| lot.id == id).unwrap()
    }
}

pub(crate) fn sum(allocations: &[Allocation]) -> i64 {
    allocations.iter().map(|one| one.points.0).sum()
}

pub(crate) const fn moved(one: Allocation) -> event_schemas::points_account::MovedLot {
    event_schemas::points_account::MovedLot { lot: one.lot, points: one.points, expires_at: None }
}
