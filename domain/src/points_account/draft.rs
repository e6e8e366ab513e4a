//! A decision on its way: the balances so far, and what it took from lots, without a copy of the state.
use std::collections::BTreeMap;

use event_schemas::{
    EntryId, Points, Timestamp,
    points::Overflow,
    points_account::{
        Allocation, Balances, ExpiryReason, MovedLot, PointsAccountOpened, PointsExpired, PointsReleased,
        Release,
    },
};
use uuid::Uuid;

use super::{
    Event, ExpiryRule, LOTS_MAX, SPENT_LOTS_MAX, State,
    lots::{Lot, Place},
};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// What a decision has put together so far.
pub(super) struct Draft<'a> {
    pub(super) state: &'a State,
    pub(super) after: Balances,
    drawn: BTreeMap<Place, i64>,
    events: Vec<Event>,
    /// So many lots may end.
    endings: usize,
}

impl<'a> Draft<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        let events = if state.opened() { Vec::new() } else { vec![PointsAccountOpened {}.into()] };
        Self { state, after: state.balances(), drawn: BTreeMap::new(), events, endings: usize::MAX }
    }

    /// The same, of which no more lots end than a record says: whoever asks asks again.
    pub(super) fn in_parts(state: &'a State) -> Self {
        Self { endings: LOTS_MAX, ..Self::of(state) }
    }

    /// Whether no more lots may end in this record.
    pub(super) const fn is_full(&self) -> bool {
        self.endings == 0
    }

    pub(super) fn push(&mut self, event: impl Into<Event>) {
        self.events.push(event.into());
    }

    /// Ends the decision with its last event.
    pub(super) fn with(mut self, event: impl Into<Event>) -> Vec<Event> {
        self.push(event);
        self.events
    }

    pub(super) fn events(self) -> Vec<Event> {
        self.events
    }

    /// Points of a lot that this decision has not taken yet.
    pub(super) fn left(&self, place: Place, lot: &Lot) -> i64 {
        lot.points.0 - self.drawn.get(&place).copied().unwrap_or(0)
    }

    /// Up to this many points that can be spent: from the preferred lots first, then soonest expiry first.
    pub(super) fn take(&mut self, points: Points, preferred: &[Place]) -> Vec<Allocation> {
        let state = self.state;
        let own = preferred.iter().filter_map(|place| state.lots.get(*place).map(|lot| (*place, lot)));
        let others = state.lots.spendable().filter(|(place, _)| !preferred.contains(place));
        self.draw(points, own.filter(|(_, lot)| lot.release.is_none()).chain(others))
    }

    /// Points that may come back to their lots, by a record that has room for them.
    pub(super) fn take_to_return(&mut self, points: Points) -> Result<Vec<Allocation>, Rejection> {
        let taken = self.take(points, &[]);
        if taken.len() > SPENT_LOTS_MAX {
            return Err(Rejection::TooManyLots { max: SPENT_LOTS_MAX });
        }
        Ok(taken)
    }

    /// Up to this many pending points of these lots.
    pub(super) fn take_pending(&mut self, points: Points, lots: &[Place]) -> Vec<Allocation> {
        let state = self.state;
        let own = lots.iter().filter_map(|place| state.lots.get(*place).map(|lot| (*place, lot)));
        self.draw(points, own.filter(|(_, lot)| lot.release.is_some()))
    }

    fn draw<'b>(&mut self, points: Points, lots: impl Iterator<Item = (Place, &'b Lot)>) -> Vec<Allocation> {
        let mut missing = points.0;
        let mut allocations = Vec::new();
        if missing <= 0 {
            return allocations;
        }
        for (place, lot) in lots {
            let taken = missing.min(self.left(place, lot));
            if taken > 0 {
                missing -= taken;
                *self.drawn.entry(place).or_default() += taken;
                allocations.push(Allocation { lot: lot.entry, points: Points(taken) });
            }
            if missing == 0 {
                break;
            }
        }
        allocations
    }

    /// The same points with the dates of their lots.
    pub(super) fn moved(&self, allocations: &[Allocation]) -> Vec<MovedLot> {
        let lots = &self.state.lots;
        let moved = allocations.iter().filter_map(|Allocation { lot, points }| {
            let expires_at = lots.get(lots.place(*lot)?)?.expires_at;
            Some(MovedLot { lot: *lot, points: *points, expires_at })
        });
        moved.collect()
    }

    /// Adds points that can be spent. Debt is repaid first; the answer is how much of it.
    pub(super) fn credit(&mut self, points: Points) -> Result<Points, Overflow> {
        let owed = if planted::is(Bug::CreditIgnoresDebt) { Points::ZERO } else { self.after.debt };
        let repaid = points.min(owed);
        self.after.debt = self.after.debt.minus(repaid)?;
        self.after.available = self.after.available.plus(points.minus(repaid)?)?;
        Ok(repaid)
    }

    /// Takes points that can be spent, and owes those that are short.
    pub(super) fn debit(&mut self, taken: Points, to_debt: Points) -> Result<(), Overflow> {
        self.after.available = self.after.available.minus(taken)?;
        self.after.debt = self.after.debt.plus(to_debt)?;
        Ok(())
    }

    /// Ends the points of lots whose date is over, so that nothing else happens to them.
    pub(super) fn expire_lots(&mut self, entry: EntryId, as_of: Timestamp) -> Result<bool, Rejection> {
        let state = self.state;
        let over = state.lots.ending(i64::MIN, as_of).take(self.endings);
        let over = self.draw(Points(i64::MAX), over);
        self.expired(entry, as_of, ExpiryReason::Lot, over)
    }

    /// Ends the points that can be spent if the account was inactive too long.
    pub(super) fn expire_inactive(
        &mut self,
        entry: EntryId,
        as_of: Timestamp,
        rule: &ExpiryRule,
    ) -> Result<bool, Rejection> {
        let state = self.state;
        let Some(last) = state.last_activity_at() else { return Ok(false) };
        if rule.of_inactivity(last)?.is_none_or(|end| as_of < end) {
            return Ok(false);
        }
        let open = state.lots.spendable().filter(|(place, _)| !self.drawn.contains_key(place));
        let all: Vec<_> = open.take(self.endings).collect();
        let all = self.draw(Points(i64::MAX), all.into_iter());
        self.expired(derived(entry, "inactivity"), as_of, ExpiryReason::Inactivity, all)
    }

    /// What comes before a command that spends: points whose time is over are not there any more.
    pub(super) fn expire(
        &mut self,
        entry: EntryId,
        as_of: Timestamp,
        rule: &ExpiryRule,
    ) -> Result<bool, Rejection> {
        let lots = self.expire_lots(entry, as_of)?;
        Ok(self.expire_inactive(entry, as_of, rule)? || lots)
    }

    fn expired(
        &mut self,
        entry: EntryId,
        as_of: Timestamp,
        reason: ExpiryReason,
        allocations: Vec<Allocation>,
    ) -> Result<bool, Rejection> {
        if allocations.is_empty() {
            return Ok(false);
        }
        let points = total(&allocations)?;
        self.endings = self.endings.saturating_sub(allocations.len());
        self.after.available = self.after.available.minus(points)?;
        self.after.lifetime_expired = self.after.lifetime_expired.plus(points)?;
        self.push(PointsExpired { entry, as_of, reason, allocations, points, after: self.after });
        Ok(true)
    }

    /// Makes what is left of a pending lot active.
    pub(super) fn release(
        &mut self,
        place: Place,
        lot: &Lot,
        at: Timestamp,
        rule: &ExpiryRule,
    ) -> Result<(), Rejection> {
        let points = Points(self.left(place, lot));
        if !points.is_positive() {
            return Ok(());
        }
        // A job that comes late makes no point live longer.
        let active_at = match lot.release {
            Some(Release::At(due)) => due.min(at),
            _ => at,
        };
        self.after.pending = self.after.pending.minus(points)?;
        let repaid = self.credit(points)?;
        self.push(PointsReleased {
            entry: derived(lot.entry, "release"),
            lot: lot.entry,
            points,
            repaid,
            expires_at: rule.of_lot(active_at)?,
            at: Some(at),
            after: self.after,
        });
        Ok(())
    }
}

/// The id of an entry that follows from another one: the same at every run.
pub(super) fn derived(entry: EntryId, what: &str) -> EntryId {
    EntryId(Uuid::new_v5(&entry.0, what.as_bytes()))
}

pub(super) fn total(allocations: &[Allocation]) -> Result<Points, Overflow> {
    Points::sum(allocations.iter().map(|one| one.points))
}
