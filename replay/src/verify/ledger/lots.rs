//! Every lot's history: what of it went where, told from the allocations alone.
use std::collections::{BTreeMap, HashMap};

use event_schemas::{
    EntryId, Points, RedemptionId, Timestamp, TransferId,
    catalogue::PointsAccountEvent as Event,
    points_account::{
        Allocation, Balances, Estate, ExpiryReason, LotExpiry, MovedLot, PointsAdjusted, PointsEarned,
        PointsExpired, PointsReleased, PointsReserved, ReservationPhase as Phase,
    },
};

use super::law;

/// All lots of an account, and what redemptions and transfers took of which.
#[derive(Default)]
pub(super) struct Lots {
    lots: BTreeMap<EntryId, Lot>,
    redemptions: HashMap<RedemptionId, Vec<Allocation>>,
    transfers: HashMap<TransferId, Vec<Allocation>>,
}

#[derive(Default)]
struct Lot {
    granted: i128,
    parts: BTreeMap<Part, i128>,
    expires_at: Option<Timestamp>,
}

/// Where the points of a lot are or went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Pending,
    Remaining,
    Reserved,
    InTransit,
    Spent,
    Repaid,
    Expired,
    ClawedBack,
    Voided,
    Left,
}

type Verdict = Result<(), String>;

impl Lots {
    /// Takes what the event says of lots, or says which law it breaks.
    pub(super) fn take(&mut self, event: &Event) -> Verdict {
        match event {
            Event::PointsEarned(event) => self.earned(event),
            Event::PointsReleased(event) => self.released(event),
            Event::PointsVoided(event) => self.shift(&event.allocations, Part::Pending, Part::Voided),
            Event::PointsClawedBack(event) => {
                self.shift(&event.from_pending, Part::Pending, Part::ClawedBack)?;
                self.shift(&event.from_active, Part::Remaining, Part::ClawedBack)
            }
            Event::PointsReserved(event) => self.reserved(event),
            Event::PointsRedeemed(event) => {
                let taken = self.taken_by(event.redemption)?;
                law(same(&taken, &event.allocations), "other lots are spent than were reserved")?;
                self.shift(&taken, Part::Reserved, Part::Spent)
            }
            Event::PointsReservationReleased(event) => {
                let taken = self.taken_by(event.redemption)?;
                self.back(&taken, &event.allocations, Part::Reserved)?;
                self.dates(&event.expiries)
            }
            Event::PointsReinstated(event) => {
                let taken = self.taken_by(event.redemption)?;
                self.back(&taken, &event.allocations, Part::Spent)?;
                self.dates(&event.expiries)
            }
            Event::PointsAdjusted(event) => self.adjusted(event),
            Event::PointsExpired(event) => self.expired(event),
            Event::PointsExpiryExtended(event) => self.extended(&event.lots),
            Event::PointsTransferredOut(event) => {
                let sent = allocations(&event.lots);
                self.shift(&sent, Part::Remaining, Part::InTransit)?;
                self.transfers.insert(event.transfer, sent);
                Ok(())
            }
            Event::PointsTransferredIn(event) => self.arrived(&event.lots),
            Event::PointsTransferCompleted(event) => {
                let sent = self.sent_by(event.transfer)?;
                self.shift(&sent, Part::InTransit, Part::Left)
            }
            Event::PointsTransferReturned(event) => {
                let sent = self.sent_by(event.transfer)?;
                self.back(&sent, &allocations(&event.lots), Part::InTransit)?;
                self.date_moved(&event.lots)
            }
            Event::EstatePartMoved(event) => self.part_left(&event.estate),
            Event::PointsAccountMerged(event) => self.left(&event.estate),
            Event::PointsAccountAbsorbed(event) => self.takes_in(&event.estate, &event.allocations),
            Event::EstatePartAbsorbed(event) => self.takes_in(&event.estate, &event.allocations),
            Event::PointsAccountOpened(_)
            | Event::PointsReleaseScheduled(_)
            | Event::PointsExpiryWarned(_)
            | Event::PointsAccountFrozen(_)
            | Event::PointsAccountUnfrozen(_)
            | Event::PointsAccountRedacted(_)
            | Event::OrderSettled(_) => Ok(()),
        }
    }

    /// An estate came, and some of its points repaid debt.
    fn takes_in(&mut self, estate: &Estate, repaid_by: &[Allocation]) -> Verdict {
        self.inherit(estate)?;
        self.shift(repaid_by, Part::Remaining, Part::Repaid)
    }

    /// Every bucket is the sum of its parts of all lots, and of each lot nothing is lost.
    pub(super) fn close(&self, all: &Balances) -> Verdict {
        let buckets = [
            (Part::Remaining, all.available, "the lots do not hold what can be spent"),
            (Part::Pending, all.pending, "the lots do not hold what is pending"),
            (Part::Reserved, all.reserved, "the lots do not hold what is reserved"),
            (Part::InTransit, all.in_transit, "the lots do not hold what is in transit"),
        ];
        for (part, bucket, otherwise) in buckets {
            let sum: i128 = self.lots.values().map(|lot| lot.part(part)).sum();
            law(sum == i128::from(bucket.0), otherwise)?;
        }
        self.lots.values().try_for_each(|lot| {
            let sum: i128 = lot.parts.values().sum();
            law(sum == lot.granted, "the parts of a lot are not what it was granted")
        })
    }

    /// The domain holds the same lots with the same points and dates.
    pub(super) fn compare<'a>(
        &self,
        domain: impl Iterator<Item = &'a domain::points_account::Lot>,
    ) -> Verdict {
        let open = |lot: &&Lot| lot.part(Part::Pending) + lot.part(Part::Remaining) > 0;
        let mut missing = self.lots.values().filter(open).count();
        for held in domain.filter(|lot| lot.points.is_positive()) {
            let told = self.lots.get(&held.entry).filter(open);
            let part = if held.release.is_some() { Part::Pending } else { Part::Remaining };
            let same = told.is_some_and(|told| {
                told.part(part) == i128::from(held.points.0)
                    && (part == Part::Pending || told.expires_at == held.expires_at)
            });
            if !same {
                let told =
                    told.map(|told| (told.part(Part::Pending), told.part(Part::Remaining), told.expires_at));
                return Err(format!(
                    "the domain folds the events to {held:?}, they tell (pending, remaining, end) {told:?}"
                ));
            }
            missing = missing.saturating_sub(1);
        }
        law(missing == 0, "the domain has lost a lot")
    }

    fn earned(&mut self, event: &PointsEarned) -> Verdict {
        let part = if event.release.is_some() { Part::Pending } else { Part::Remaining };
        let rest = i128::from(event.points.0) - i128::from(event.repaid.0);
        self.grant(event.entry, &[(part, rest), (Part::Repaid, event.repaid.0.into())], event.expires_at)
    }

    fn released(&mut self, event: &PointsReleased) -> Verdict {
        let lot = self.known(event.lot)?;
        law(lot.part(Part::Pending) == i128::from(event.points.0), "a pending lot is released as a whole")?;
        lot.shift(Part::Pending, Part::Remaining, event.points)?;
        lot.shift(Part::Remaining, Part::Repaid, event.repaid)?;
        lot.expires_at = event.expires_at;
        Ok(())
    }

    fn reserved(&mut self, event: &PointsReserved) -> Verdict {
        for one in &event.allocations {
            let over = self.known(one.lot)?.expires_at.zip(event.at).is_some_and(|(end, at)| end <= at);
            law(!over, "points are reserved whose date was over")?;
        }
        self.shift(&event.allocations, Part::Remaining, Part::Reserved)?;
        self.redemptions.insert(event.redemption, event.allocations.clone());
        Ok(())
    }

    fn adjusted(&mut self, event: &PointsAdjusted) -> Verdict {
        self.shift(&event.allocations, Part::Remaining, Part::Spent)?;
        if !event.points.is_positive() {
            return Ok(());
        }
        let rest = i128::from(event.points.0) - i128::from(event.repaid.0);
        let parts = [(Part::Remaining, rest), (Part::Repaid, event.repaid.0.into())];
        self.grant(event.entry, &parts, event.expires_at)
    }

    /// Nothing ends before its date, and a lot ends as a whole.
    fn expired(&mut self, event: &PointsExpired) -> Verdict {
        for one in &event.allocations {
            let lot = self.known(one.lot)?;
            let over = lot.expires_at.is_some_and(|end| end <= event.as_of);
            law(over || event.reason == ExpiryReason::Inactivity, "points end before their date")?;
            law(lot.part(Part::Remaining) == i128::from(one.points.0), "a lot ends as a whole")?;
        }
        self.shift(&event.allocations, Part::Remaining, Part::Expired)
    }

    fn arrived(&mut self, lots: &[MovedLot]) -> Verdict {
        lots.iter().try_for_each(|moved| {
            self.grant(moved.lot, &[(Part::Remaining, moved.points.0.into())], moved.expires_at)
        })
    }

    /// The last part names every lot that still has points in it; afterwards nothing is left here.
    fn left(&mut self, estate: &Estate) -> Verdict {
        self.part_left(estate)?;
        let open = [Part::Pending, Part::Remaining, Part::Reserved, Part::InTransit];
        let left_over = self.lots.values().any(|lot| open.iter().any(|part| lot.part(*part) != 0));
        law(!left_over, "the estate leaves points behind")
    }

    fn part_left(&mut self, estate: &Estate) -> Verdict {
        for told in &estate.lots {
            let part = if told.release.is_some() { Part::Pending } else { Part::Remaining };
            self.known(told.lot)?.shift(part, Part::Left, told.points)?;
        }
        let held = estate.reservations.iter().filter(|one| one.phase == Phase::Reserved);
        for one in held {
            self.shift(&allocations(&one.lots), Part::Reserved, Part::Left)?;
        }
        for one in &estate.transfers {
            self.shift(&allocations(&one.lots), Part::InTransit, Part::Left)?;
        }
        Ok(())
    }

    fn inherit(&mut self, estate: &Estate) -> Verdict {
        for lot in &estate.lots {
            let part = if lot.release.is_some() { Part::Pending } else { Part::Remaining };
            self.add(lot.lot, part, lot.points, lot.expires_at);
        }
        for one in &estate.reservations {
            let part = match one.phase {
                Phase::Reserved => Part::Reserved,
                Phase::Redeemed => Part::Spent,
                Phase::Released | Phase::Reinstated => continue,
            };
            one.lots.iter().for_each(|moved| self.add(moved.lot, part, moved.points, moved.expires_at));
            self.redemptions.insert(one.redemption, allocations(&one.lots));
        }
        for one in &estate.transfers {
            one.lots.iter().for_each(|moved| {
                self.add(moved.lot, Part::InTransit, moved.points, moved.expires_at);
            });
            self.transfers.insert(one.transfer, allocations(&one.lots));
        }
        Ok(())
    }

    fn grant(&mut self, id: EntryId, parts: &[(Part, i128)], expires_at: Option<Timestamp>) -> Verdict {
        law(parts.iter().all(|(_, points)| *points >= 0), "a lot is granted less than nothing")?;
        law(!self.lots.contains_key(&id), "the lot was granted before")?;
        let granted = parts.iter().map(|(_, points)| points).sum();
        self.lots.insert(id, Lot { granted, parts: parts.iter().copied().collect(), expires_at });
        Ok(())
    }

    /// Points of a lot come with an estate, perhaps in several parts.
    fn add(&mut self, id: EntryId, part: Part, points: Points, expires_at: Option<Timestamp>) {
        let lot = self.lots.entry(id).or_insert_with(|| Lot { expires_at, ..Lot::default() });
        lot.granted += i128::from(points.0);
        *lot.parts.entry(part).or_default() += i128::from(points.0);
    }

    fn shift(&mut self, allocations: &[Allocation], from: Part, to: Part) -> Verdict {
        allocations.iter().try_for_each(|one| self.known(one.lot)?.shift(from, to, one.points))
    }

    /// What was taken goes back to the same lots; what does not come back repaid debt.
    fn back(&mut self, taken: &[Allocation], back: &[Allocation], from: Part) -> Verdict {
        self.shift(taken, from, Part::Repaid)?;
        let mut rest: HashMap<EntryId, i128> = HashMap::new();
        taken.iter().for_each(|one| *rest.entry(one.lot).or_default() += i128::from(one.points.0));
        for one in back {
            let rest = rest.entry(one.lot).or_default();
            *rest -= i128::from(one.points.0);
            law(*rest >= 0, "points come back to a lot that did not give them")?;
        }
        self.shift(back, Part::Repaid, Part::Remaining)
    }

    fn extended(&mut self, dates: &[LotExpiry]) -> Verdict {
        for date in dates {
            let later = self.known(date.lot)?.expires_at.is_some_and(|end| end < date.expires_at);
            law(later, "a lot's date is not put later")?;
        }
        self.dates(dates)
    }

    fn dates(&mut self, dates: &[LotExpiry]) -> Verdict {
        dates.iter().try_for_each(|date| {
            self.known(date.lot)?.expires_at = Some(date.expires_at);
            Ok(())
        })
    }

    fn date_moved(&mut self, lots: &[MovedLot]) -> Verdict {
        let dates =
            lots.iter().filter_map(|moved| Some(LotExpiry { lot: moved.lot, expires_at: moved.expires_at? }));
        self.dates(&dates.collect::<Vec<_>>())
    }

    fn known(&mut self, lot: EntryId) -> Result<&mut Lot, String> {
        self.lots.get_mut(&lot).ok_or_else(|| "a lot that was never granted".to_owned())
    }

    fn taken_by(&self, redemption: RedemptionId) -> Result<Vec<Allocation>, String> {
        self.redemptions.get(&redemption).cloned().ok_or_else(|| "the redemption took no lots".to_owned())
    }

    fn sent_by(&self, transfer: TransferId) -> Result<Vec<Allocation>, String> {
        self.transfers.get(&transfer).cloned().ok_or_else(|| "the transfer took no lots".to_owned())
    }
}

impl Lot {
    fn part(&self, part: Part) -> i128 {
        self.parts.get(&part).copied().unwrap_or(0)
    }

    fn shift(&mut self, from: Part, to: Part, points: Points) -> Verdict {
        law(points.0 >= 0, "less than nothing of a lot moves")?;
        let left = self.part(from) - i128::from(points.0);
        law(left >= 0, "more of a lot moves than is there")?;
        self.parts.insert(from, left);
        *self.parts.entry(to).or_default() += i128::from(points.0);
        Ok(())
    }
}

fn allocations(lots: &[MovedLot]) -> Vec<Allocation> {
    lots.iter().map(|moved| Allocation { lot: moved.lot, points: moved.points }).collect()
}

/// The same points of the same lots, in any order.
fn same(one: &[Allocation], other: &[Allocation]) -> bool {
    let sorted = |all: &[Allocation]| {
        let mut all: Vec<_> = all.iter().map(|one| (one.lot, one.points)).collect();
        all.sort_unstable();
        all
    };
    sorted(one) == sorted(other)
}
