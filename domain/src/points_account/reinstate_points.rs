//! A redemption was cancelled: its points come back to the lots they were spent from, once; debt is repaid first.
use event_schemas::{Code, EntryId, RedemptionId, Timestamp, points_account::PointsReinstated};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, ExpiryRule, Grace, Phase, State, draft::derived, reservations::allocations};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Gives back the points spent on a redemption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReinstatePoints {
    /// The redemption.
    pub redemption: RedemptionId,
    /// The entry.
    pub entry: EntryId,
    /// Why the redemption was cancelled.
    pub reason: Code,
    /// The sender's clock.
    pub at: Timestamp,
    /// How long points live at least whose date is over by now.
    pub grace: Grace,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
}

pub(super) fn decide(state: &State, command: &ReinstatePoints) -> Result<Vec<Event>, Rejection> {
    let reservation = state.reserved_for(command.redemption)?;
    match reservation.phase {
        Phase::Redeemed => {}
        Phase::Reinstated if planted::is(Bug::ReinstatedTwice) => {}
        Phase::Reinstated => return Ok(Vec::new()),
        Phase::Reserved | Phase::Released => return Err(Rejection::PointsNotSpent),
    }
    let points = reservation.points;
    let mut draft = Draft::of(state);
    draft.expire(derived(command.entry, "expire"), command.at, &command.expiry)?;
    draft.after.lifetime_redeemed = draft.after.lifetime_redeemed.minus(points)?;
    let repaid = draft.credit(points)?;
    let back = reservation.less(repaid);
    let after = draft.after;
    Ok(draft.with(PointsReinstated {
        entry: command.entry,
        redemption: command.redemption,
        reason: Some(command.reason.clone()),
        points,
        allocations: allocations(&back),
        repaid,
        expiries: state.renewals(&back, command.at, &command.grace)?,
        at: Some(command.at),
        after,
    }))
}

#[cfg(test)]
mod tests {
    use event_schemas::{Points, points_account::Allocation};

    use super::*;
    use crate::points_account::{
        Command,
        specs::{commit, earn, reinstate, reserve, settle, state_after, when, when_after},
    };

    fn spent() -> [Command; 4] {
        [earn(1, 10).into(), earn(2, 10).into(), reserve(1, 12).into(), commit(1).into()]
    }

    #[test]
    fn points_come_back_to_the_same_lots_and_are_no_longer_redeemed() {
        let events = when_after(spent(), reinstate(1)).events();
        let [Event::PointsReinstated(reinstated)] = &events[..] else { panic!("{events:?}") };
        let expected = [
            Allocation { lot: earn(1, 0).entry, points: Points(10) },
            Allocation { lot: earn(2, 0).entry, points: Points(2) },
        ];
        assert_eq!(reinstated.allocations, expected);
        assert_eq!((reinstated.after.available, reinstated.after.lifetime_redeemed), (Points(20), Points(0)));
    }

    #[test]
    fn points_come_back_once() {
        when_after(spent().into_iter().chain([reinstate(1).into()]), reinstate(1)).then_unchanged();
    }

    #[test]
    fn points_that_come_back_repay_debt_first() {
        let history =
            [Command::from(settle(1, 1, 10)), reserve(1, 8).into(), commit(1).into(), settle(1, 2, 0).into()];
        let after = state_after(history.into_iter().chain([reinstate(1).into()])).balances();
        assert_eq!((after.available, after.debt, after.lifetime_redeemed), (Points(0), Points(0), Points(0)));
    }

    #[test]
    fn only_spent_points_come_back() {
        when_after([Command::from(earn(1, 10)), reserve(1, 8).into()], reinstate(1))
            .then_rejected(Rejection::PointsNotSpent);
        when(reinstate(1)).then_rejected(Rejection::UnknownRedemption);
    }
}
