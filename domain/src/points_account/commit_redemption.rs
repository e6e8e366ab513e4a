//! The reward is issued: its reserved points are spent.
use event_schemas::{EntryId, RedemptionId, points_account::PointsRedeemed};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, Phase, State};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Spends the points reserved for a redemption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitRedemption {
    /// The redemption.
    pub redemption: RedemptionId,
    /// The entry.
    pub entry: EntryId,
}

pub(super) fn decide(state: &State, command: &CommitRedemption) -> Result<Vec<Event>, Rejection> {
    let reservation = state.reserved_for(command.redemption)?;
    match reservation.phase {
        Phase::Reserved => {}
        Phase::Released if planted::is(Bug::CommitAfterRelease) => {}
        Phase::Redeemed | Phase::Reinstated => return Ok(Vec::new()),
        Phase::Released => return Err(Rejection::ReservationEnded),
    }
    let points = reservation.points;
    let mut draft = Draft::of(state);
    draft.after.reserved = draft.after.reserved.minus(points)?;
    draft.after.lifetime_redeemed = draft.after.lifetime_redeemed.plus(points)?;
    let after = draft.after;
    Ok(draft.with(PointsRedeemed {
        entry: command.entry,
        redemption: command.redemption,
        points,
        allocations: reservation.allocations(),
        after,
    }))
}

#[cfg(test)]
mod tests {
    use event_schemas::Points;

    use super::*;
    use crate::points_account::{
        Command,
        specs::{commit, earn, reinstate, release, reserve, state_after, when, when_after},
    };

    fn reserved() -> [Command; 2] {
        [earn(1, 10).into(), reserve(1, 8).into()]
    }

    #[test]
    fn committed_points_are_spent() {
        let state = state_after(reserved().into_iter().chain([commit(1).into()]));
        let after = state.balances();
        assert_eq!(
            (after.available, after.reserved, after.lifetime_redeemed),
            (Points(2), Points(0), Points(8))
        );
        assert_eq!(state.entry_for_redemption(commit(1).redemption).unwrap().points, Points(-8));
    }

    #[test]
    fn points_are_spent_once_even_if_they_came_back() {
        when_after(reserved().into_iter().chain([commit(1).into()]), commit(1)).then_unchanged();
        when_after(reserved().into_iter().chain([commit(1).into(), reinstate(1).into()]), commit(1))
            .then_unchanged();
    }

    #[test]
    fn a_released_reservation_cannot_be_spent() {
        when_after(reserved().into_iter().chain([release(1).into()]), commit(1))
            .then_rejected(Rejection::ReservationEnded);
    }

    #[test]
    fn what_was_never_reserved_cannot_be_spent() {
        when(commit(1)).then_rejected(Rejection::UnknownRedemption);
    }
}
