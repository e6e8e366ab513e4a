//! The other side took the points: they are no longer in transit.
use event_schemas::{TransferId, points_account::PointsTransferCompleted};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, State, transfers::Transfer};
use crate::Rejection;

/// Ends a transfer that arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompleteTransfer {
    /// The transfer.
    pub transfer: TransferId,
}

pub(super) fn decide(state: &State, command: &CompleteTransfer) -> Result<Vec<Event>, Rejection> {
    let transit = match state.transfers.get(&command.transfer) {
        Some(Transfer::InTransit(transit) | Transfer::Arrived(transit)) => transit,
        Some(Transfer::Completed) => return Ok(Vec::new()),
        Some(Transfer::Returned) => return Err(Rejection::TransferEnded),
        Some(Transfer::Received) | None => return Err(Rejection::TransferUnknown),
    };
    let points = transit.points;
    let mut draft = Draft::of(state);
    draft.after.in_transit = draft.after.in_transit.minus(points)?;
    let after = draft.after;
    Ok(draft.with(PointsTransferCompleted { transfer: command.transfer, points, after }))
}

#[cfg(test)]
mod tests {
    use event_schemas::Points;

    use super::*;
    use crate::points_account::{
        Command,
        specs::{complete, earn, return_transfer, state_after, transfer_out, when, when_after},
    };

    #[test]
    fn a_transfer_that_arrived_is_gone_for_good() {
        let history = || [Command::from(earn(1, 10)), transfer_out(1, 4).into(), complete(1).into()];
        let after = state_after(history()).balances();
        let seen = (after.available, after.in_transit, after.lifetime_transferred);
        assert_eq!(seen, (Points(6), Points(0), Points(-4)));
        when_after(history(), complete(1)).then_unchanged();
        when_after(history(), return_transfer(1)).then_rejected(Rejection::TransferEnded);
    }

    #[test]
    fn what_never_left_cannot_arrive() {
        when(complete(1)).then_rejected(Rejection::TransferUnknown);
    }
}
