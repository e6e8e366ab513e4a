//! Points leave for another customer. They are in transit until the other side took or refused them.
use event_schemas::{
    Code, CustomerId, EntryId, Personal, Points, Timestamp, TransferId, points_account::PointsTransferredOut,
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, ExpiryRule, State, draft::derived};
use crate::Rejection;

/// Sends points to another customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferPointsOut {
    /// The transfer: the business key on both sides.
    pub transfer: TransferId,
    /// Whose account this is.
    pub from: CustomerId,
    /// Who is to have them.
    pub to: CustomerId,
    /// How many, above zero.
    pub points: Points,
    /// Why.
    pub reason: Code,
    /// What both customers may read.
    #[serde(with = "event_schemas::personal::transit")]
    pub note: Option<Personal<String>>,
    /// The entry.
    pub entry: EntryId,
    /// The sender's clock.
    pub at: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
}

pub(super) fn decide(state: &State, command: &TransferPointsOut) -> Result<Vec<Event>, Rejection> {
    if let Some(first) = state.transfers.get(&command.transfer) {
        let same = first.sent_as(command.to, command.points);
        return if same { Ok(Vec::new()) } else { Err(Rejection::SourceConflict) };
    }
    if command.from == command.to {
        return Err(Rejection::TransferToSelf);
    }
    state.not_frozen()?;
    if !command.points.is_positive() {
        return Err(Rejection::PointsNotPositive);
    }
    let mut draft = Draft::of(state);
    draft.expire(derived(command.entry, "expire"), command.at, &command.expiry)?;
    let available = draft.after.available;
    if command.points > available {
        return Err(Rejection::InsufficientPoints { needed: command.points, available });
    }
    let allocations = draft.take_to_return(command.points)?;
    let lots = draft.moved(&allocations);
    draft.debit(command.points, Points::ZERO)?;
    draft.after.in_transit = draft.after.in_transit.plus(command.points)?;
    draft.after.lifetime_transferred = draft.after.lifetime_transferred.minus(command.points)?;
    let after = draft.after;
    Ok(draft.with(PointsTransferredOut {
        entry: command.entry,
        transfer: command.transfer,
        to: command.to,
        points: command.points,
        lots,
        reason: command.reason.clone(),
        note: command.note.clone(),
        after,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::{
        Command,
        specs::{earn, state_after, transfer_out, when_after},
    };

    #[test]
    fn points_that_left_are_in_transit() {
        let after = state_after::<Command>([earn(1, 10).into(), transfer_out(1, 4).into()]).balances();
        let seen = (after.available, after.in_transit, after.lifetime_transferred);
        assert_eq!(seen, (Points(6), Points(4), Points(-4)));
    }

    #[test]
    fn a_transfer_leaves_once() {
        let history = || [Command::from(earn(1, 10)), transfer_out(1, 4).into()];
        when_after(history(), transfer_out(1, 4)).then_unchanged();
        when_after(history(), transfer_out(1, 5)).then_rejected(Rejection::SourceConflict);
    }

    #[test]
    fn a_transfer_needs_points_and_another_customer() {
        when_after([earn(1, 10)], transfer_out(1, 11))
            .then_rejected(Rejection::InsufficientPoints { needed: Points(11), available: Points(10) });
        when_after([earn(1, 10)], transfer_out(1, 0)).then_rejected(Rejection::PointsNotPositive);
        let to_self = TransferPointsOut { to: transfer_out(1, 1).from, ..transfer_out(1, 1) };
        when_after([earn(1, 10)], to_self).then_rejected(Rejection::TransferToSelf);
    }
}
