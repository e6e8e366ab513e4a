//! What every event of an account says in the same way.
use event_schemas::{
    Event, Overflow, Points,
    catalogue::PointsAccountEvent,
    points_account::{Balances, Ledger},
};

use crate::Recorded;

/// What a statement counts: `available + reserved − debt`. Pending points do not count yet; what is held only changes
/// its bucket.
pub(crate) const COUNTED: &[Ledger] = &[Ledger::Available, Ledger::Reserved, Ledger::Debt];

/// The account's event, if it is one.
pub(crate) const fn of(event: &Recorded) -> Option<&PointsAccountEvent> {
    match &event.event {
        Event::PointsAccount(event) => Some(event),
        _ => None,
    }
}

/// The balances after the event; nothing for an event that moves no points.
pub(crate) fn after(event: &PointsAccountEvent) -> Option<Balances> {
    match event {
        PointsAccountEvent::PointsAccountOpened(_) => Some(Balances::default()),
        moved => moved.after().copied(),
    }
}

/// The signed change of the sum of these accounts.
pub(crate) fn change(event: &PointsAccountEvent, ledgers: &[Ledger]) -> Result<Points, Overflow> {
    let postings = event.postings()?;
    let counted = postings.iter().filter(|posting| ledgers.contains(&posting.ledger));
    Points::sum(counted.map(|posting| posting.points))
}
