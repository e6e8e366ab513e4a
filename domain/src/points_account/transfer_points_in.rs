//! Points arrive from another customer, as new lots with the dates that they had; debt is repaid first.
use event_schemas::{
    CustomerId, EntryId, Points, Timestamp, TransferId,
    points_account::{MovedLot, PointsTransferredIn},
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, ExpiryRule, State, draft::derived, lots::less_repaid, transfers::Transfer};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Takes in what another customer sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferPointsIn {
    /// The transfer: the business key on both sides.
    pub transfer: TransferId,
    /// Who had them.
    pub from: CustomerId,
    /// How many.
    pub points: Points,
    /// The lots as they left.
    pub lots: Vec<MovedLot>,
    /// The entry.
    pub entry: EntryId,
    /// The sender's clock.
    pub at: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
}

pub(super) fn decide(state: &State, command: &TransferPointsIn) -> Result<Vec<Event>, Rejection> {
    match state.transfers.get(&command.transfer) {
        None => {}
        Some(_) if planted::is(Bug::TransferArrivesTwice) => {}
        Some(Transfer::Received | Transfer::Arrived(_)) => return Ok(Vec::new()),
        // Both ends became one account on the way.
        Some(Transfer::InTransit(_) | Transfer::Completed | Transfer::Returned) => {
            return Err(Rejection::TransferToSelf);
        }
    }
    state.not_frozen()?;
    let sent = Points::sum(command.lots.iter().map(|lot| lot.points))?;
    if !command.points.is_positive() || sent != command.points {
        return Err(Rejection::PointsNotPositive);
    }
    let mut draft = Draft::of(state);
    draft.expire_inactive(command.entry, command.at, &command.expiry)?;
    draft.after.lifetime_transferred = draft.after.lifetime_transferred.plus(command.points)?;
    let repaid = draft.credit(command.points)?;
    let new = command
        .lots
        .iter()
        .enumerate()
        .map(|(number, lot)| MovedLot { lot: derived(command.entry, &format!("lot-{number}")), ..*lot });
    let lots = less_repaid(&new.collect::<Vec<_>>(), repaid, |lot| &mut lot.points);
    let after = draft.after;
    Ok(draft.with(PointsTransferredIn {
        entry: command.entry,
        transfer: command.transfer,
        from: command.from,
        points: command.points,
        lots,
        repaid,
        at: Some(command.at),
        after,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::{
        Command,
        specs::{at, earn, settle, spend, state_after, transfer_in, transfer_out, when_after},
    };

    #[test]
    fn points_arrive_once_with_the_dates_that_they_had() {
        let account = state_after([transfer_in(1, 4)]);
        let all = account.balances();
        assert_eq!(
            (all.available, all.lifetime_transferred, all.lifetime_earned),
            (Points(4), Points(4), Points(0))
        );
        assert_eq!(account.lots().next().unwrap().expires_at, Some(at(32)));
        when_after([transfer_in(1, 4)], transfer_in(1, 4)).then_unchanged();
    }

    #[test]
    fn points_that_arrive_repay_debt_first() {
        let debt = [settle(1, 1, 10).into(), spend(1, 10), settle(1, 2, 7).into()];
        let after = state_after(debt.into_iter().chain([transfer_in(1, 4).into()])).balances();
        assert_eq!((after.available, after.debt), (Points(1), Points(0)));
    }

    /// Catches: a transfer between two accounts that became one, which would be there twice.
    #[test]
    fn what_an_account_sent_it_does_not_take_in() {
        let history = [Command::from(earn(1, 10)), transfer_out(1, 4).into()];
        when_after(history, transfer_in(1, 4)).then_rejected(Rejection::TransferToSelf);
    }
}
