//! An account takes in what another one left. Points of either repay debt of either.
use event_schemas::{
    CustomerId, EntryId, Points,
    points_account::{
        Allocation, Estate, EstateLot, EstatePartAbsorbed, EstateReservation, MovedLot, PointsAccountAbsorbed,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    Draft, Event, State,
    draft::total,
    estate::Worth,
    keys::{Entry, Key},
    lots::{Held, Lot},
    orders::{OwnLot, Rule},
    reservations::{Reservation, Spent},
    transfers::{Transfer, Transit},
};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Takes in the estate of an account that ended, or a part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AbsorbAccount {
    /// Whose account ended: the business key.
    pub from: CustomerId,
    /// Which part it is, if more are to come. They come in order, each when the one before was taken in.
    pub part: Option<u32>,
    /// What lives on.
    pub estate: Estate,
    /// The entry.
    pub entry: EntryId,
}

pub(super) fn decide(state: &State, command: &AbsorbAccount) -> Result<Vec<Event>, Rejection> {
    if state.took_in(command.from, command.part) {
        return Ok(Vec::new());
    }
    let estate = &command.estate;
    let worth = Worth::of(estate)?;
    let mut draft = Draft::of(state);
    let all = &mut draft.after;
    all.available = all.available.plus(worth.available)?;
    all.pending = all.pending.plus(worth.pending)?;
    all.reserved = all.reserved.plus(worth.reserved)?;
    all.in_transit = all.in_transit.plus(worth.in_transit)?;
    if !planted::is(Bug::MergeDropsDebt) {
        all.debt = all.debt.plus(estate.debt)?;
    }
    all.lifetime_transferred = all.lifetime_transferred.plus(worth.net)?;
    let owed = if planted::is(Bug::MergeLeavesDebt) { Points::ZERO } else { all.debt.min(all.available) };
    // One of the two has no points that can be spent, so it does not matter which is asked first.
    let mut allocations = draft.take(owed, &[]);
    let missing = owed.minus(total(&allocations)?)?;
    allocations.extend(from_estate(&estate.lots, missing));
    draft.debit(owed, Points::ZERO)?;
    draft.after.debt = draft.after.debt.minus(owed)?;
    let after = draft.after;
    let (entry, from, estate, repaid) = (command.entry, command.from, estate.clone(), owed);
    Ok(match command.part {
        Some(part) => {
            draft.with(EstatePartAbsorbed { entry, from, part, estate, repaid, allocations, after })
        }
        None => draft.with(PointsAccountAbsorbed { entry, from, estate, repaid, allocations, after }),
    })
}

fn from_estate(lots: &[EstateLot], points: Points) -> Vec<Allocation> {
    let mut active: Vec<_> = lots.iter().filter(|lot| lot.release.is_none()).collect();
    active.sort_by_key(|lot| (lot.expires_at.is_none(), lot.expires_at));
    let mut missing = points.0;
    let mut taken = Vec::new();
    for lot in active {
        let part = missing.min(lot.points.0);
        if part > 0 {
            missing -= part;
            taken.push(Allocation { lot: lot.lot, points: Points(part) });
        }
    }
    taken
}

impl State {
    /// Whose accounts it took in, at least in part; those not counted that they had taken in themselves.
    pub fn absorbed(&self) -> impl Iterator<Item = CustomerId> + '_ {
        self.absorbed.keys().copied()
    }

    /// Whether the whole estate of this customer's account arrived, as far as it came here.
    #[must_use]
    pub fn has_absorbed(&self, from: CustomerId) -> bool {
        self.absorbed.get(&from) == Some(&None)
    }

    /// Whether this part, or the last one, was taken in before.
    pub(super) fn took_in(&self, from: CustomerId, part: Option<u32>) -> bool {
        self.absorbed
            .get(&from)
            .is_some_and(|newest| newest.is_none_or(|newest| part.is_some_and(|part| part <= newest)))
    }

    pub(super) fn absorb_part(&mut self, event: &EstatePartAbsorbed) {
        self.absorbed.insert(event.from, Some(event.part));
        self.absorb(&event.estate, &event.allocations);
    }

    pub(super) fn absorb_last(&mut self, event: &PointsAccountAbsorbed) {
        self.absorbed.insert(event.from, None);
        self.absorb(&event.estate, &event.allocations);
    }

    fn absorb(&mut self, estate: &Estate, repaid_by: &[Allocation]) {
        self.frozen |= estate.frozen;
        self.last_activity_at = self.last_activity_at.max(estate.last_activity_at);
        for order in &estate.orders {
            let settled = self.orders.entry(order.order).or_default();
            settled.version = settled.version.max(order.version);
            for level in &order.levels {
                let known = settled.level_mut(&Rule::of(&level.rule));
                known.granted.0 += level.granted.0;
                known.clawed.0 += level.clawed.0;
            }
        }
        estate.lots.iter().for_each(|lot| self.inherit_lot(lot));
        self.lots.draw(repaid_by);
        for one in &estate.reservations {
            let reservation = self.inherited(one);
            self.reservations.entry(one.redemption).or_insert(reservation);
        }
        for one in &estate.transfers {
            let held = self.inherited_lots(&one.lots);
            let transit = Transit { to: one.to, points: one.points, held };
            let standing = match self.transfers.get(&one.transfer) {
                Some(Transfer::Received) => Transfer::Arrived(transit),
                _ => Transfer::InTransit(transit),
            };
            self.transfers.insert(one.transfer, standing);
        }
        for used in &estate.actions {
            *self.actions.entry((used.action.clone(), used.period.clone())).or_default() += used.count;
        }
        for first in &estate.keys {
            let content = Some(first.content);
            let entry = Entry { entry: first.entry, points: first.points, after: first.after, content };
            if let Some(key) = Key::of(&first.source) {
                self.keys.entry(key).or_insert(entry);
            }
        }
    }

    fn inherit_lot(&mut self, inherited: &EstateLot) {
        let EstateLot { lot: entry, points, release, expires_at, order, rule } = inherited;
        let lot = Lot { entry: *entry, points: *points, release: *release, expires_at: *expires_at };
        if let (Some(place), Some(order), Some(rule)) = (self.lots.grant(lot), order, rule) {
            let level = self.orders.entry(*order).or_default().level_mut(&Rule::of(rule));
            level.lots.push(OwnLot { place, version: 0 });
        }
    }

    fn inherited(&mut self, one: &EstateReservation) -> Reservation {
        let spent = one.entry.zip(one.spent).map(|(entry, after)| Spent { entry, after });
        let held = self.inherited_lots(&one.lots);
        let (points, discount, after, phase) = (one.points, one.discount, one.after, one.phase);
        Reservation { points, discount, after, phase, held, spent }
    }

    /// Points that may come back to lots, which get their places now.
    fn inherited_lots(&mut self, lots: &[MovedLot]) -> Vec<Held> {
        let held = lots.iter().map(|moved| Held {
            place: self.lots.place(moved.lot).unwrap_or_else(|| self.lots.reserve_place()),
            entry: moved.lot,
            points: moved.points,
            expires_at: moved.expires_at,
        });
        held.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::{
        Command, SettleOrder, settlement_entry,
        specs::{
            absorbing, action, commit, complete, customer, earn, freeze, merged_into, reinstate, release,
            reserve, return_transfer, settle, spend, state_after, transfer_in, transfer_out, when_after,
        },
    };

    #[test]
    fn everything_lives_on() {
        let left = [
            Command::from(earn(1, 10)),
            settle(1, 1, 5).into(),
            reserve(1, 4).into(),
            reserve(2, 3).into(),
            commit(2).into(),
            transfer_out(1, 2).into(),
            action(1, "2026").into(),
            action(2, "2026").into(),
        ];
        let history = || vec![Command::from(earn(9, 1)), absorbing(left.clone())];
        let all = state_after(history()).balances();
        let buckets = (all.available, all.reserved, all.in_transit, all.lifetime_transferred);
        assert_eq!(buckets, (Points(17), Points(4), Points(2), Points(20)));
        let goes_on =
            |command: Command| state_after(history().into_iter().chain([command])).balances().available;
        assert_eq!(goes_on(release(1).into()), Points(21));
        assert_eq!(goes_on(reinstate(2).into()), Points(20));
        assert_eq!(goes_on(settle(1, 2, 0).into()), Points(12));
        assert_eq!(goes_on(complete(1).into()), Points(17));
        when_after(history(), action(3, "2026")).then_rejected(Rejection::ActionLimitReached {
            limit: 2,
            per: event_schemas::merchant::LimitPeriod::Year,
        });
        when_after(history(), earn(1, 10)).then_unchanged();
        when_after(history(), absorbing(left.clone())).then_unchanged();
    }

    /// Catches: a transfer between the two that arrived before the merge and can never end after it.
    #[test]
    fn a_transfer_between_the_two_ends_after_the_merge() {
        let left = || vec![Command::from(earn(1, 10)), transfer_out(1, 4).into()];
        let arrived = || [Command::from(transfer_in(1, 4)), absorbing(left())];
        let after = state_after(arrived().into_iter().chain([complete(1).into()])).balances();
        assert_eq!(
            (after.available, after.in_transit, after.lifetime_transferred),
            (Points(10), Points(0), Points(10))
        );
        when_after(arrived(), return_transfer(1)).then_rejected(Rejection::TransferEnded);
        when_after(arrived(), transfer_in(1, 4)).then_unchanged();
        let on_its_way = || vec![absorbing(left())];
        when_after(on_its_way(), transfer_in(1, 4)).then_rejected(Rejection::TransferToSelf);
        let back = on_its_way().into_iter().chain([return_transfer(1).into()]);
        assert_eq!(state_after(back).balances().available, Points(10));
    }

    /// Catches: a merge that leaves somebody with points and debt.
    #[test]
    fn points_of_either_repay_debt_of_either() {
        let in_debt = || vec![settle(1, 1, 10).into(), spend(1, 10), settle(1, 2, 0).into()];
        let rich = || vec![Command::from(earn(1, 6))];
        for (own, left) in [(in_debt(), rich()), (rich(), in_debt())] {
            let after = state_after(own.into_iter().chain([absorbing(left)])).balances();
            assert_eq!((after.available, after.debt), (Points(0), Points(4)));
        }
    }

    /// Catches: entries named after the order alone, so that two lots of the account have one name.
    #[test]
    fn accounts_that_were_settled_for_the_same_order_keep_their_lots_apart() {
        let of_other = |version, target| {
            Command::from(SettleOrder { customer: merged_into(), ..settle(1, version, target) })
        };
        let history = || vec![of_other(1, 7), absorbing([settle(1, 1, 5).into()])];
        let account = state_after(history());
        let lots: Vec<_> = account.lots().map(|lot| (lot.entry, lot.points)).collect();
        let entry = |customer| settlement_entry(customer, settle(1, 1, 5).order, 1, &Rule::Purchase);
        assert_eq!(lots, [(entry(merged_into()), Points(7)), (entry(customer()), Points(5))]);
        let kept: State = postcard::from_bytes(&postcard::to_stdvec(&account).unwrap()).unwrap();
        assert_eq!(kept, account);
        let refunded = state_after(history().into_iter().chain([of_other(2, 0)]));
        assert_eq!((refunded.balances().available, refunded.lots().count()), (Points(0), 0));
    }

    #[test]
    fn a_freeze_survives_a_merge() {
        let history = vec![Command::from(earn(9, 5)), absorbing(vec![earn(1, 10).into(), freeze()])];
        when_after(history, reserve(1, 1)).then_rejected(Rejection::AccountFrozen);
    }
}
