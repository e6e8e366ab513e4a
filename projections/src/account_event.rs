//! What every event of an account says in the same way.
use event_schemas::{Event, Overflow, Points, catalogue::PointsAccountEvent, points_account::Balances};

use crate::Recorded;

/// The account's event, if it is one.
pub(crate) const fn of(event: &Recorded) -> Option<&PointsAccountEvent> {
    match &event.event {
        Event::PointsAccount(event) => Some(event),
        _ => None,
    }
}

/// The balances after the event. Exhaustive: a new movement must say where its balances are.
pub(crate) fn after(event: &PointsAccountEvent) -> Balances {
    match event {
        PointsAccountEvent::PointsAccountOpened(_) => Balances::default(),
        PointsAccountEvent::PointsEarned(earned) => earned.after,
        PointsAccountEvent::PointsClawedBack(clawed_back) => clawed_back.after,
        PointsAccountEvent::PointsReserved(reserved) => reserved.after,
        PointsAccountEvent::PointsRedeemed(redeemed) => redeemed.after,
        PointsAccountEvent::PointsReservationReleased(released) => released.after,
        PointsAccountEvent::PointsReinstated(reinstated) => reinstated.after,
        PointsAccountEvent::PointsAdjusted(adjusted) => adjusted.after,
    }
}

/// The signed change of `available + reserved − debt`. Pending points never counted, and forgiven ones were never
/// taken; what is held moves only between buckets.
pub(crate) fn change(event: &PointsAccountEvent) -> Result<Points, Overflow> {
    match event {
        PointsAccountEvent::PointsAccountOpened(_)
        | PointsAccountEvent::PointsReserved(_)
        | PointsAccountEvent::PointsReservationReleased(_) => Ok(Points::ZERO),
        PointsAccountEvent::PointsEarned(earned) => Ok(earned.points),
        PointsAccountEvent::PointsClawedBack(clawed_back) => {
            let from_active = Points::sum(clawed_back.from_active.iter().map(|lot| lot.points))?;
            from_active.plus(clawed_back.to_debt)?.negated()
        }
        PointsAccountEvent::PointsRedeemed(redeemed) => redeemed.points.negated(),
        PointsAccountEvent::PointsReinstated(reinstated) => Ok(reinstated.points),
        PointsAccountEvent::PointsAdjusted(adjusted) => Ok(adjusted.points),
    }
}
