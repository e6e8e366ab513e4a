//! An account ends because its customer turned out to be another one: everything of it lives on there.
use std::collections::BTreeMap;

use event_schemas::{
    CustomerId, EntryId, Points,
    points_account::{
        Estate, EstateAction, EstateKey, EstateLevel, EstateLot, EstateOrder, EstateReservation,
        EstateTransfer, MovedLot, PointsAccountMerged,
    },
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, State, lots::Held, orders::Level, transfers::Transfer};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Ends the account in favour of another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeAccount {
    /// Whose account this is.
    pub customer: CustomerId,
    /// Whose account goes on.
    pub into: CustomerId,
    /// The entry.
    pub entry: EntryId,
}

pub(super) fn decide(state: &State, command: &MergeAccount) -> Result<Vec<Event>, Rejection> {
    if state.merged_into() == Some(command.into) {
        return Ok(Vec::new());
    }
    if command.customer == command.into {
        return Err(Rejection::MergeToSelf);
    }
    let mut draft = Draft::of(state);
    let all = &mut draft.after;
    let gone = all.available.plus(all.pending)?.plus(all.reserved)?.minus(all.debt)?;
    all.lifetime_transferred = all.lifetime_transferred.minus(gone)?;
    for bucket in
        [&mut all.available, &mut all.pending, &mut all.reserved, &mut all.in_transit, &mut all.debt]
    {
        *bucket = Points::ZERO;
    }
    let after = draft.after;
    let (entry, into) = (command.entry, command.into);
    Ok(draft.with(PointsAccountMerged { entry, into, estate: state.estate(), after }))
}

impl State {
    /// What a merge would leave to the account that goes on.
    #[must_use]
    pub fn estate(&self) -> Estate {
        Estate {
            lots: self.estate_lots(),
            debt: self.balances().debt,
            orders: self.estate_orders(),
            reservations: if planted::is(Bug::MergeForgetsReservations) {
                Vec::new()
            } else {
                self.estate_reservations()
            },
            transfers: self.estate_transfers(),
            actions: self.estate_actions(),
            keys: if planted::is(Bug::MergeForgetsKeys) { Vec::new() } else { self.estate_keys() },
            last_activity_at: self.last_activity_at(),
            frozen: self.frozen(),
        }
    }

    fn estate_lots(&self) -> Vec<EstateLot> {
        let mut owners = BTreeMap::new();
        for (order, settled) in &self.orders {
            for level in &settled.levels {
                owners.extend(level.lots.iter().map(|lot| (lot.place, (*order, level.rule.code()))));
            }
        }
        let lots = self.lots.iter().map(|(place, lot)| {
            let (order, rule) = owners.remove(&place).unzip();
            let (release, expires_at) = (lot.release, lot.expires_at);
            EstateLot { lot: lot.entry, points: lot.points, release, expires_at, order, rule }
        });
        lots.collect()
    }

    fn estate_orders(&self) -> Vec<EstateOrder> {
        let level = |level: &Level| EstateLevel {
            rule: level.rule.code(),
            granted: level.granted,
            clawed: if planted::is(Bug::MergeForgetsClawbacks) { Points::ZERO } else { level.clawed },
        };
        let orders = self.orders.iter().map(|(order, settled)| EstateOrder {
            order: *order,
            version: settled.version,
            levels: settled.levels.iter().map(level).collect(),
        });
        orders.collect()
    }

    fn estate_reservations(&self) -> Vec<EstateReservation> {
        let all = self.reservations.iter().map(|(redemption, one)| EstateReservation {
            redemption: *redemption,
            points: one.points,
            discount: one.discount,
            lots: self.moved(&one.held),
            phase: one.phase,
            entry: one.spent.map(|spent| spent.entry),
            after: one.after,
            spent: one.spent.map(|spent| spent.after),
        });
        all.collect()
    }

    fn estate_transfers(&self) -> Vec<EstateTransfer> {
        let on_their_way = self.transfers.iter().filter_map(|(transfer, state)| match state {
            Transfer::InTransit(transit) | Transfer::Arrived(transit) => Some(EstateTransfer {
                transfer: *transfer,
                to: transit.to,
                points: transit.points,
                lots: self.moved(&transit.held),
            }),
            Transfer::Completed | Transfer::Returned | Transfer::Received => None,
        });
        on_their_way.collect()
    }

    fn estate_actions(&self) -> Vec<EstateAction> {
        let used = self.actions.iter().map(|((action, period), count)| EstateAction {
            action: action.clone(),
            period: period.clone(),
            count: *count,
        });
        used.collect()
    }

    fn estate_keys(&self) -> Vec<EstateKey> {
        let keys = self.keys.iter().filter_map(|(key, first)| {
            Some(EstateKey {
                source: key.source()?,
                entry: first.entry,
                points: first.points,
                after: first.after,
                content: first.content?,
            })
        });
        keys.collect()
    }

    fn moved(&self, held: &[Held]) -> Vec<MovedLot> {
        let moved =
            |held: &Held| MovedLot { lot: held.entry, points: held.points, expires_at: self.date_of(held) };
        held.iter().map(moved).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::{
        Command,
        specs::{
            adjust, commit, complete, customer, earn, freeze, merge, merged_into, release, reserve,
            return_transfer, settle, state_after, transfer_out, when_after,
        },
    };

    fn rich() -> Vec<Command> {
        vec![
            earn(1, 10).into(),
            settle(1, 1, 5).into(),
            reserve(1, 4).into(),
            transfer_out(1, 2).into(),
            merge(),
        ]
    }

    #[test]
    fn a_merged_account_has_nothing_left() {
        let account = state_after(rich());
        let all = account.balances();
        let left = [all.available, all.pending, all.reserved, all.in_transit, all.debt];
        assert_eq!(left, [Points(0); 5]);
        assert_eq!((all.lifetime_earned, all.lifetime_transferred), (Points(15), Points(-15)));
        assert_eq!(account.lots().count(), 0);
    }

    #[test]
    fn a_merged_account_points_to_the_one_that_goes_on() {
        let moved = || Rejection::AccountMerged { into: merged_into() };
        for asked in [
            Command::from(earn(2, 1)),
            settle(1, 2, 0).into(),
            commit(1).into(),
            release(1).into(),
            adjust(1, 1).into(),
            freeze(),
        ] {
            when_after(rich(), asked).then_rejected(moved());
        }
    }

    /// Catches: a repeat that is sent on and awarded again.
    #[test]
    fn a_merged_account_answers_for_what_it_honoured() {
        when_after(rich(), earn(1, 10)).then_unchanged();
        when_after(rich(), reserve(1, 4)).then_unchanged();
        when_after(rich(), transfer_out(1, 2)).then_unchanged();
        when_after(rich(), merge()).then_unchanged();
        when_after(rich(), earn(1, 11)).then_rejected(Rejection::SourceConflict);
    }

    /// Catches: a transfer whose end is told again, sent on to an account that never heard of it.
    #[test]
    fn a_merged_account_answers_for_the_transfers_that_ended_on_it() {
        let ended = |end: Command| vec![earn(1, 10).into(), transfer_out(1, 2).into(), end, merge()];
        when_after(ended(complete(1).into()), complete(1)).then_unchanged();
        when_after(ended(return_transfer(1).into()), return_transfer(1)).then_unchanged();
        when_after(ended(complete(1).into()), return_transfer(1)).then_rejected(Rejection::TransferEnded);
        when_after(rich(), complete(1)).then_rejected(Rejection::AccountMerged { into: merged_into() });
    }

    #[test]
    fn an_account_is_not_merged_into_itself() {
        let own = MergeAccount { customer: customer(), into: customer(), entry: earn(9, 1).entry };
        when_after([earn(1, 10)], own).then_rejected(Rejection::MergeToSelf);
    }
}
