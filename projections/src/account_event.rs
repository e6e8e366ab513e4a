//! What every event of an account says in the same way.
use event_schemas::{Event, catalogue::PointsAccountEvent, points_account::Balances};

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
