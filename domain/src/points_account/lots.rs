//! The lots of an account: where each point came from and where it went.
use std::collections::{BTreeMap, BTreeSet};

use event_schemas::{EntryId, Points, points_account::Allocation};
use serde::{Deserialize, Serialize};

/// The points of one award. `granted = remaining + reserved + spent + clawed_back + repaid`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lot {
    /// What the award put into the lot, after repaying debt.
    pub granted: Points,
    /// Can be spent.
    #[serde(skip_serializing_if = "Points::is_zero")]
    pub remaining: Points,
    /// Held for redemptions.
    #[serde(skip_serializing_if = "Points::is_zero")]
    pub reserved: Points,
    /// Redeemed or adjusted away, less what came back.
    #[serde(skip_serializing_if = "Points::is_zero")]
    pub spent: Points,
    /// Taken back for an order.
    #[serde(skip_serializing_if = "Points::is_zero")]
    pub clawed_back: Points,
    /// Repaid debt instead of coming back from a reservation or redemption.
    #[serde(skip_serializing_if = "Points::is_zero")]
    pub repaid: Points,
    /// Its place among all lots: earlier ones are spent first.
    sequence: u64,
}

/// All lots, with those that can be spent at hand in the order of spending.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Lots {
    lots: BTreeMap<EntryId, Lot>,
    active: BTreeSet<(u64, EntryId)>,
}

impl Lots {
    pub(super) fn iter(&self) -> impl Iterator<Item = (EntryId, &Lot)> {
        self.lots.iter().map(|(entry, lot)| (*entry, lot))
    }

    /// Up to this many active points: from the preferred lots first, then oldest first.
    pub(super) fn take(&self, points: Points, preferred: &[EntryId]) -> Vec<Allocation> {
        let others = self.active.iter().map(|(_, lot)| *lot).filter(|lot| !preferred.contains(lot));
        let mut missing = points.0;
        let mut allocations = Vec::new();
        for lot in preferred.iter().copied().chain(others) {
            if missing == 0 {
                break;
            }
            let taken = missing.min(self.lots.get(&lot).map_or(0, |lot| lot.remaining.0));
            if taken > 0 {
                missing -= taken;
                allocations.push(Allocation { lot, points: Points(taken) });
            }
        }
        allocations
    }

    /// Adds a lot; an award that only repaid debt makes none.
    pub(super) fn grant(&mut self, entry: EntryId, points: i64) {
        if points > 0 {
            let sequence = self.lots.len() as u64;
            let points = Points(points);
            self.lots.insert(entry, Lot { granted: points, remaining: points, sequence, ..Lot::default() });
            self.active.insert((sequence, entry));
        }
    }

    pub(super) fn claw_back(&mut self, from: &[Allocation]) {
        self.each(from, |lot, points| {
            lot.remaining.0 -= points;
            lot.clawed_back.0 += points;
        });
    }

    pub(super) fn spend(&mut self, from: &[Allocation]) {
        self.each(from, |lot, points| {
            lot.remaining.0 -= points;
            lot.spent.0 += points;
        });
    }

    pub(super) fn reserve(&mut self, from: &[Allocation]) {
        self.each(from, |lot, points| {
            lot.remaining.0 -= points;
            lot.reserved.0 += points;
        });
    }

    pub(super) fn redeem(&mut self, reserved: &[Allocation]) {
        self.each(reserved, |lot, points| {
            lot.reserved.0 -= points;
            lot.spent.0 += points;
        });
    }

    /// Ends a reservation; what of it does not come back repaid debt.
    pub(super) fn release(&mut self, reserved: &[Allocation], back: &[Allocation]) {
        self.each(reserved, |lot, points| {
            lot.reserved.0 -= points;
            lot.repaid.0 += points;
        });
        self.each(back, Self::comes_back);
    }

    /// Undoes a redemption; what of it does not come back repaid debt.
    pub(super) fn reinstate(&mut self, spent: &[Allocation], back: &[Allocation]) {
        self.each(spent, |lot, points| {
            lot.spent.0 -= points;
            lot.repaid.0 += points;
        });
        self.each(back, Self::comes_back);
    }

    fn comes_back(lot: &mut Lot, points: i64) {
        lot.repaid.0 -= points;
        lot.remaining.0 += points;
    }

    fn each(&mut self, allocations: &[Allocation], change: impl Fn(&mut Lot, i64)) {
        for Allocation { lot: entry, points } in allocations {
            if let Some(lot) = self.lots.get_mut(entry) {
                change(lot, points.0);
                let place = (lot.sequence, *entry);
                if lot.remaining.is_positive() {
                    self.active.insert(place);
                } else {
                    self.active.remove(&place);
                }
            }
        }
    }
}

/// The allocations without their first points, which repay debt.
pub(super) fn less_repaid(allocations: &[Allocation], repaid: Points) -> Vec<Allocation> {
    let mut owed = repaid.0;
    let mut back = Vec::new();
    for allocation in allocations {
        let kept = owed.min(allocation.points.0);
        owed -= kept;
        if allocation.points.0 > kept {
            back.push(Allocation { points: Points(allocation.points.0 - kept), ..*allocation });
        }
    }
    back
}

#[cfg(test)]
mod tests {
    use event_schemas::sample::{ENTRY, OTHER_ENTRY};

    use super::*;

    fn allocated(lot: EntryId, points: i64) -> Allocation {
        Allocation { lot, points: Points(points) }
    }

    /// The later id is the earlier lot, so that ids do not decide by accident.
    fn two() -> Lots {
        let mut lots = Lots::default();
        lots.grant(OTHER_ENTRY, 10);
        lots.grant(ENTRY, 20);
        lots
    }

    #[test]
    fn earlier_lots_are_taken_first_unless_others_are_preferred() {
        assert_eq!(two().take(Points(15), &[]), [allocated(OTHER_ENTRY, 10), allocated(ENTRY, 5)]);
        assert_eq!(two().take(Points(25), &[ENTRY]), [allocated(ENTRY, 20), allocated(OTHER_ENTRY, 5)]);
        assert_eq!(two().take(Points(99), &[]), [allocated(OTHER_ENTRY, 10), allocated(ENTRY, 20)]);
    }

    #[test]
    fn a_spent_lot_is_not_offered_until_points_come_back_to_it() {
        let mut lots = two();
        lots.reserve(&[allocated(OTHER_ENTRY, 10)]);
        assert_eq!(lots.take(Points(1), &[]), [allocated(ENTRY, 1)]);
        lots.release(&[allocated(OTHER_ENTRY, 10)], &[allocated(OTHER_ENTRY, 4)]);
        assert_eq!(lots.take(Points(5), &[]), [allocated(OTHER_ENTRY, 4), allocated(ENTRY, 1)]);
    }

    #[test]
    fn the_first_points_that_come_back_repay_debt() {
        let back = [allocated(OTHER_ENTRY, 10), allocated(ENTRY, 20)];
        assert_eq!(less_repaid(&back, Points(0)), back);
        assert_eq!(less_repaid(&back, Points(12)), [allocated(ENTRY, 18)]);
        assert_eq!(less_repaid(&back, Points(30)), []);
    }
}
