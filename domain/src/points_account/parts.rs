//! How much of a long account one record says. What is more comes in the next one.
use event_schemas::{Event, catalogue::PointsAccountEvent};

/// A part of an estate holds so much: each key, action, lot and level counts as one, however short it is. Of the longest
/// ones it is less than a record holds.
pub const ESTATE_PART_MAX: u32 = 4_000;

/// So many lots end, or get a later date, by one record of a job.
pub const LOTS_MAX: usize = 10_000;

/// So many lots are released or voided by one record of a job: each is an event of its own.
pub const RELEASES_MAX: usize = 4_000;

/// Points of so many lots are spent or sent at once: they must fit into the record that brings them back, too.
pub const SPENT_LOTS_MAX: usize = 20_000;

/// Whether a record says as much as one may, so that there may be more to do.
#[must_use]
pub fn is_full(events: &[Event]) -> bool {
    let (mut lots, mut releases) = (0, 0);
    for event in events {
        match event {
            Event::PointsAccount(PointsAccountEvent::PointsExpired(event)) => lots += event.allocations.len(),
            Event::PointsAccount(PointsAccountEvent::PointsExpiryExtended(event)) => lots += event.lots.len(),
            Event::PointsAccount(
                PointsAccountEvent::PointsReleased(_) | PointsAccountEvent::PointsVoided(_),
            ) => releases += 1,
            _ => {}
        }
    }
    lots >= LOTS_MAX || releases >= RELEASES_MAX
}
