//! The lots with points in them: pending ones by their release, the others in the order of spending.
use std::collections::{BTreeMap, BTreeSet};

use event_schemas::{
    EntryId, Points, Timestamp,
    points_account::{Allocation, Release},
};
use serde::{Deserialize, Serialize};

use crate::planted::{self, Bug};

/// A lot's place among all lots of the account, in the order in which they were earned.
pub(super) type Place = u64;

/// The points of one award that are pending or can be spent. Those that are held, spent or gone are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    /// The entry that granted it.
    pub entry: EntryId,
    /// How many points.
    pub points: Points,
    /// What they wait for; they can be spent if missing.
    pub release: Option<Release>,
    /// From when on they cannot be spent, if ever.
    pub expires_at: Option<Timestamp>,
}

/// Points that left a lot and may come back to it, even if it has no others by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) place: Place,
    pub(super) entry: EntryId,
    pub(super) points: Points,
    pub(super) expires_at: Option<Timestamp>,
}

/// All lots with points in them. What `open` says stands in the other fields again, to be found at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lots {
    open: BTreeMap<Place, Lot>,
    next: Place,
    places: BTreeMap<EntryId, Place>,
    spendable: BTreeSet<(i64, Place)>,
    pending: BTreeSet<(i64, Place)>,
}

impl Lots {
    pub(super) fn new(next: Place, open: impl IntoIterator<Item = (Place, Lot)>) -> Self {
        let mut lots = Self { next, ..Self::default() };
        open.into_iter().for_each(|(place, lot)| lots.insert(place, lot));
        lots
    }

    pub(super) const fn next(&self) -> Place {
        self.next
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Lot)> {
        self.open.iter().map(|(place, lot)| (*place, lot))
    }

    pub(super) fn get(&self, place: Place) -> Option<&Lot> {
        self.open.get(&place)
    }

    pub(super) fn place(&self, entry: EntryId) -> Option<Place> {
        self.places.get(&entry).copied()
    }

    /// Those that can be spent: soonest expiry first, then in the order in which they were earned.
    pub(super) fn spendable(&self) -> impl Iterator<Item = (Place, &Lot)> {
        self.found(&self.spendable)
    }

    /// Those that can be spent and end at a time after the one and no later than the other.
    pub(super) fn ending(&self, after: i64, until: Timestamp) -> impl Iterator<Item = (Place, &Lot)> {
        let early = if planted::is(Bug::ExpiryADayEarly) { 86_400_000_000 } else { 0 };
        let range = self.spendable.range((after, Place::MAX)..=(until.micros() + early, Place::MAX));
        range.filter_map(|(_, place)| self.open.get(place).map(|lot| (*place, lot)))
    }

    /// The dates on which points end, each once, the soonest first.
    pub(super) fn dates(&self) -> impl Iterator<Item = Timestamp> {
        let after = |micros| self.spendable.range((micros, Place::MAX)..).next().map(|(date, _)| *date);
        std::iter::successors(after(i64::MIN), move |date| after(*date))
            .take_while(|date| *date < i64::MAX)
            .map(Timestamp::from_micros)
    }

    /// Pending ones with a date, the earliest first.
    pub(super) fn scheduled(&self) -> impl Iterator<Item = (Place, &Lot)> {
        self.found(&self.pending)
    }

    fn found<'a>(&'a self, index: &'a BTreeSet<(i64, Place)>) -> impl Iterator<Item = (Place, &'a Lot)> {
        index.iter().filter_map(|(_, place)| self.open.get(place).map(|lot| (*place, lot)))
    }

    /// Takes in a new lot, unless it is empty.
    pub(super) fn grant(&mut self, lot: Lot) -> Option<Place> {
        let place = self.next;
        lot.points.is_positive().then(|| {
            self.next += 1;
            self.insert(place, lot);
            place
        })
    }

    /// A place for a lot that has no points but may get some back.
    pub(super) const fn reserve_place(&mut self) -> Place {
        let place = self.next;
        self.next += 1;
        place
    }

    /// Takes points out of their lots.
    pub(super) fn draw(&mut self, allocations: &[Allocation]) {
        for Allocation { lot, points } in allocations {
            self.change(*lot, |lot| lot.points.0 -= points.0);
        }
    }

    /// Takes points out of their lots, to which they may come back.
    pub(super) fn hold(&mut self, allocations: &[Allocation]) -> Vec<Held> {
        let held = allocations.iter().filter_map(|Allocation { lot, points }| {
            let place = self.place(*lot)?;
            let expires_at = self.get(place)?.expires_at;
            Some(Held { place, entry: *lot, points: *points, expires_at })
        });
        let held = held.collect();
        self.draw(allocations);
        held
    }

    /// Points come back to their lot, with another date if theirs is over.
    pub(super) fn put_back(&mut self, held: Held, renewed: Option<Timestamp>) {
        if self.place(held.entry).is_some() {
            self.change(held.entry, |lot| {
                lot.points.0 += held.points.0;
                lot.expires_at = renewed.or(lot.expires_at);
            });
        } else if held.points.is_positive() && !planted::is(Bug::EmptyLotIsLost) {
            let expires_at = renewed.or(held.expires_at);
            let lot = Lot { entry: held.entry, points: held.points, release: None, expires_at };
            self.insert(held.place, lot);
        }
    }

    /// Changes a lot and finds it in its new place, or drops it if it is empty.
    pub(super) fn change(&mut self, entry: EntryId, change: impl FnOnce(&mut Lot)) {
        let Some(place) = self.place(entry) else { return };
        let Some(mut lot) = self.open.remove(&place) else { return };
        self.places.remove(&entry);
        self.spendable.remove(&(date(lot.expires_at), place));
        self.pending.remove(&(release(&lot), place));
        change(&mut lot);
        if lot.points.is_positive() {
            self.insert(place, lot);
        }
    }

    /// Forgets all of them, but not how many there were.
    pub(super) fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    fn insert(&mut self, place: Place, lot: Lot) {
        match lot.release {
            None => self.spendable.insert((date(lot.expires_at), place)),
            Some(Release::At(_)) => self.pending.insert((release(&lot), place)),
            Some(Release::AwaitingFulfilment) => true,
        };
        self.places.insert(lot.entry, place);
        self.open.insert(place, lot);
    }
}

/// What a lot is sorted by: those that never end come last.
fn date(expires_at: Option<Timestamp>) -> i64 {
    let known = expires_at.filter(|_| !planted::is(Bug::LotsSpentAsEarned));
    known.map_or(i64::MAX, Timestamp::micros)
}

fn release(lot: &Lot) -> i64 {
    match lot.release {
        Some(Release::At(time)) => time.micros(),
        _ => i64::MAX,
    }
}

/// The points without their first ones, which repay debt.
pub(super) fn less_repaid<T: Copy>(
    parts: &[T],
    repaid: Points,
    points: impl Fn(&mut T) -> &mut Points,
) -> Vec<T> {
    let mut owed = repaid.0;
    let mut back = Vec::new();
    for part in parts {
        let mut part = *part;
        let of = points(&mut part);
        let kept = owed.min(of.0);
        owed -= kept;
        of.0 -= kept;
        if of.is_positive() {
            back.push(part);
        }
    }
    back
}

#[cfg(test)]
mod tests {
    use event_schemas::sample::{ENTRY, OTHER_ENTRY};

    use super::*;

    fn lot(entry: EntryId, points: i64, expires_at: Option<i64>) -> Lot {
        let expires_at = expires_at.map(Timestamp::from_micros);
        Lot { entry, points: Points(points), release: None, expires_at }
    }

    fn order(lots: &Lots) -> Vec<EntryId> {
        lots.spendable().map(|(_, lot)| lot.entry).collect()
    }

    /// The later id is the earlier lot, so that ids do not decide by accident.
    ///
    /// Catches: lots that are spent in the order of their ids; lots without a date that are spent first.
    #[test]
    fn lots_are_spent_by_their_date_then_as_they_were_earned() {
        let lots = |first, second| {
            let mut lots = Lots::default();
            lots.grant(lot(OTHER_ENTRY, 10, first));
            lots.grant(lot(ENTRY, 20, second));
            lots
        };
        assert_eq!(order(&lots(None, None)), [OTHER_ENTRY, ENTRY]);
        assert_eq!(order(&lots(None, Some(5))), [ENTRY, OTHER_ENTRY]);
        assert_eq!(order(&lots(Some(9), Some(5))), [ENTRY, OTHER_ENTRY]);
        assert_eq!(order(&lots(Some(5), Some(5))), [OTHER_ENTRY, ENTRY]);
    }

    /// Catches: a lot that comes back at the end of the queue; a date that is lost with the last point.
    #[test]
    fn points_come_back_to_the_place_that_they_had() {
        let mut lots = Lots::default();
        lots.grant(lot(OTHER_ENTRY, 10, Some(5)));
        lots.grant(lot(ENTRY, 20, Some(5)));
        let held = lots.hold(&[Allocation { lot: OTHER_ENTRY, points: Points(10) }]);
        assert_eq!(order(&lots), [ENTRY]);
        lots.put_back(held[0], None);
        assert_eq!(order(&lots), [OTHER_ENTRY, ENTRY]);
        assert_eq!(lots.get(0), Some(&lot(OTHER_ENTRY, 10, Some(5))));
    }

    #[test]
    fn a_pending_lot_is_not_spent_until_it_is_released() {
        let mut lots = Lots::default();
        let release = Some(Release::At(Timestamp::from_micros(3)));
        lots.grant(Lot { release, ..lot(ENTRY, 20, None) });
        assert_eq!((order(&lots), lots.scheduled().count()), (Vec::new(), 1));
        lots.change(ENTRY, |lot| lot.release = None);
        assert_eq!((order(&lots), lots.scheduled().count()), (vec![ENTRY], 0));
    }

    #[test]
    fn the_first_points_that_come_back_repay_debt() {
        let part = |lot, points| Allocation { lot, points: Points(points) };
        let back = [part(OTHER_ENTRY, 10), part(ENTRY, 20)];
        let less = |repaid| less_repaid(&back, Points(repaid), |part| &mut part.points);
        assert_eq!(less(0), back);
        assert_eq!(less(12), [part(ENTRY, 18)]);
        assert_eq!(less(30), []);
    }
}
