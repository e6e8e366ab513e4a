//! No reward was issued: its reserved points go back to their lots, less what repays debt that arose meanwhile.
use event_schemas::{Code, EntryId, RedemptionId, Timestamp, points_account::PointsReservationReleased};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, Grace, Phase, State, draft::derived, reservations::allocations};
use crate::Rejection;

/// Gives back the points reserved for a redemption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseReservation {
    /// The redemption.
    pub redemption: RedemptionId,
    /// Why it failed.
    pub reason: Code,
    /// The sender's clock.
    pub at: Timestamp,
    /// How long points live at least whose date is over by now.
    pub grace: Grace,
}

pub(super) fn decide(state: &State, command: &ReleaseReservation) -> Result<Vec<Event>, Rejection> {
    let reservation = state.reserved_for(command.redemption)?;
    match reservation.phase {
        Phase::Reserved => {}
        Phase::Released => return Ok(Vec::new()),
        Phase::Redeemed | Phase::Reinstated => return Err(Rejection::ReservationEnded),
    }
    let points = reservation.points;
    let mut draft = Draft::of(state);
    let ended = derived(EntryId(command.redemption.0), "expire-at-release");
    draft.expire_lots(ended, command.at)?;
    draft.after.reserved = draft.after.reserved.minus(points)?;
    let repaid = draft.credit(points)?;
    let back = reservation.less(repaid);
    let after = draft.after;
    Ok(draft.with(PointsReservationReleased {
        redemption: command.redemption,
        points,
        allocations: allocations(&back),
        repaid,
        reason: command.reason.clone(),
        expiries: state.renewals(&back, command.at, &command.grace)?,
        after,
    }))
}

#[cfg(test)]
mod tests {
    use event_schemas::Points;

    use super::*;
    use crate::points_account::{
        Command,
        specs::{commit, earn, release, reserve, settle, state_after, when, when_after},
    };

    #[test]
    fn released_points_can_be_spent_again() {
        let state = state_after([Command::from(earn(1, 10)), reserve(1, 8).into(), release(1).into()]);
        assert_eq!((state.balances().available, state.balances().reserved), (Points(10), Points(0)));
        when_after([Command::from(earn(1, 10)), reserve(1, 8).into(), release(1).into()], release(1))
            .then_unchanged();
    }

    #[test]
    fn released_points_repay_debt_that_arose_meanwhile() {
        let history = [Command::from(settle(1, 1, 10)), reserve(1, 8).into(), settle(1, 2, 5).into()];
        let events = when_after(history, release(1)).events();
        let [Event::PointsReservationReleased(released)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((released.points, released.repaid), (Points(8), Points(3)));
        assert_eq!((released.after.available, released.after.debt), (Points(5), Points(0)));
    }

    #[test]
    fn spent_points_are_not_released() {
        when_after([Command::from(earn(1, 10)), reserve(1, 8).into(), commit(1).into()], release(1))
            .then_rejected(Rejection::ReservationEnded);
        when(release(1)).then_rejected(Rejection::UnknownRedemption);
    }
}
