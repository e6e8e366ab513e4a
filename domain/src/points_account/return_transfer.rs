//! The other side refused the points: they come back to the lots that they left; debt is repaid first.
use event_schemas::{
    Code, EntryId, Timestamp, TransferId,
    points_account::{MovedLot, PointsTransferReturned},
};
use serde::{Deserialize, Serialize};

use super::{
    Draft, Event, Grace, State,
    draft::derived,
    lots::{Held, less_repaid},
    transfers::Transfer,
};
use crate::Rejection;

/// Takes back a transfer that was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReturnTransfer {
    /// The transfer.
    pub transfer: TransferId,
    /// The entry.
    pub entry: EntryId,
    /// Why.
    pub reason: Code,
    /// The sender's clock.
    pub at: Timestamp,
    /// How long points live at least whose date is over by now.
    pub grace: Grace,
}

pub(super) fn decide(state: &State, command: &ReturnTransfer) -> Result<Vec<Event>, Rejection> {
    let transit = match state.transfers.get(&command.transfer) {
        Some(Transfer::InTransit(transit)) => transit,
        Some(Transfer::Returned) => return Ok(Vec::new()),
        Some(Transfer::Completed | Transfer::Arrived(_)) => return Err(Rejection::TransferEnded),
        Some(Transfer::Received) | None => return Err(Rejection::TransferUnknown),
    };
    let points = transit.points;
    let mut draft = Draft::of(state);
    draft.expire_lots(derived(command.entry, "expire"), command.at)?;
    draft.after.in_transit = draft.after.in_transit.minus(points)?;
    draft.after.lifetime_transferred = draft.after.lifetime_transferred.plus(points)?;
    let repaid = draft.credit(points)?;
    let back = less_repaid(&transit.held, repaid, |held| &mut held.points);
    let after = draft.after;
    Ok(draft.with(PointsTransferReturned {
        entry: command.entry,
        transfer: command.transfer,
        points,
        lots: back.iter().map(|held| returned(state, held, command)).collect::<Result<_, _>>()?,
        repaid,
        reason: command.reason.clone(),
        after,
    }))
}

fn returned(state: &State, held: &Held, command: &ReturnTransfer) -> Result<MovedLot, Rejection> {
    let renewed = state.renewals(std::slice::from_ref(held), command.at, &command.grace)?;
    let expires_at = renewed.first().map(|one| one.expires_at).or_else(|| state.date_of(held));
    Ok(MovedLot { lot: held.entry, points: held.points, expires_at })
}

#[cfg(test)]
mod tests {
    use event_schemas::Points;

    use super::*;
    use crate::points_account::{
        Command, EarnPoints,
        specs::{
            at, complete, earn, grace, per_lot, return_transfer, state_after, transfer_out, when, when_after,
        },
    };

    #[test]
    fn a_transfer_that_was_refused_comes_back_to_its_lots_once() {
        let dated = EarnPoints { expiry: per_lot(1), ..earn(1, 10) };
        let before = state_after([dated.clone()]);
        let history =
            || [Command::from(dated.clone()), transfer_out(1, 10).into(), return_transfer(1).into()];
        let account = state_after(history());
        assert_eq!(account.balances(), before.balances());
        assert_eq!(account.lots().collect::<Vec<_>>(), before.lots().collect::<Vec<_>>());
        when_after(history(), return_transfer(1)).then_unchanged();
        when_after(history(), complete(1)).then_rejected(Rejection::TransferEnded);
        when(return_transfer(1)).then_rejected(Rejection::TransferUnknown);
    }

    #[test]
    fn points_that_come_back_after_their_date_live_the_days_of_grace() {
        let dated = EarnPoints { expiry: per_lot(1), ..earn(1, 10) };
        let late = ReturnTransfer { at: at(60), grace: grace(30), ..return_transfer(1) };
        let account = state_after::<Command>([dated.into(), transfer_out(1, 10).into(), late.into()]);
        assert_eq!(account.lots().next().unwrap().expires_at, Some(at(91)));
        assert_eq!(account.balances().available, Points(10));
    }
}
