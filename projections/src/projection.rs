//! What a projection is: a name, a version, a table and a pure fold.
use std::panic::{AssertUnwindSafe, catch_unwind};

use event_schemas::{EVENTS, Event, EventId, RecordId, Timestamp};
use rusqlite::Connection;
use uuid::Uuid;

use crate::{
    Recorded,
    table::{Key, Row, Statements},
};

/// A read model that follows the log. Its file holds the table, the fold and the queries together.
pub trait Projection {
    /// One row of its table.
    type Row: Row;
    /// Its name, and its table's before the generation.
    const NAME: &'static str;
    /// Counts up when the table or the fold changes; a new version is built anew from the log.
    const VERSION: u32;

    /// The rows that the event touches; none for events that do not matter here.
    fn touches(event: &Recorded) -> Vec<Key<Self::Row>>;

    /// A touched row after the event. Pure: no clock, no chance, nothing but what it is given.
    fn fold(before: Option<Self::Row>, event: &Recorded) -> Result<Self::Row, Unfoldable>;
}

/// An event that a fold cannot take: its stream is parked for this projection until the fold can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfoldable(pub String);

impl Unfoldable {
    /// The event speaks of a row that should be there.
    #[must_use]
    pub fn without(row: &str) -> Self {
        Self(format!("the event comes before its {row}"))
    }
}

impl From<event_schemas::Overflow> for Unfoldable {
    fn from(overflow: event_schemas::Overflow) -> Self {
        Self(overflow.to_string())
    }
}

/// One line of the registry: a projection without its types.
#[derive(Clone, Copy)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: u32,
    pub(crate) statements: fn(&str) -> Statements,
    pub(crate) apply: fn(&Connection, &Statements, &Recorded) -> Result<(), ApplyError>,
    touches: fn(&Recorded) -> bool,
}

/// Why an event's effect is not in the table.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// The event is poison; nothing of it was written.
    Poison(String),
    /// The store failed; the transaction is to be given up.
    Store(rusqlite::Error),
}

impl From<rusqlite::Error> for ApplyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

impl Definition {
    /// The line of `P`.
    #[must_use]
    pub const fn of<P: Projection>() -> Self {
        Self {
            name: P::NAME,
            version: P::VERSION,
            statements: |table| Statements::of::<P::Row>(table),
            apply: apply::<P>,
            touches: |event| !P::touches(event).is_empty(),
        }
    }

    /// Whether events of this type feed the projection, judged by the type's sample.
    #[must_use]
    pub fn handles(&self, event_type: u16) -> bool {
        let kind = EVENTS.iter().find(|kind| kind.number == event_type);
        let event = kind
            .and_then(|kind| (kind.sample)().ok().map(|json| (kind, json)))
            .and_then(|(kind, json)| Event::decode(kind.number, kind.version, &json).ok());
        event.is_some_and(|event| (self.touches)(&sample(event)))
    }
}

fn sample(event: Event) -> Recorded {
    Recorded {
        merchant: event_schemas::MerchantId(Uuid::nil()),
        stream: Uuid::nil(),
        route: Uuid::nil(),
        version: 1,
        id: EventId { record: RecordId(Uuid::nil()), index: 0 },
        occurred_at: Timestamp::EPOCH,
        recorded_at: Timestamp::EPOCH,
        event,
    }
}

/// Loads the touched rows, folds them all, and only then writes them.
fn apply<P: Projection>(
    connection: &Connection,
    statements: &Statements,
    event: &Recorded,
) -> Result<(), ApplyError> {
    let keys = guarded(|| Ok(P::touches(event)))?;
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        let before = statements.load(connection, &key)?;
        rows.push(guarded(|| P::fold(before, event))?);
    }
    for row in &rows {
        statements.save(connection, row)?;
    }
    Ok(())
}

/// A fold that panics is poison too: the mistake is in the event or in the fold, not in the store.
fn guarded<T>(fold: impl FnOnce() -> Result<T, Unfoldable>) -> Result<T, ApplyError> {
    match catch_unwind(AssertUnwindSafe(fold)) {
        Ok(result) => result.map_err(|Unfoldable(reason)| ApplyError::Poison(reason)),
        Err(_) => Err(ApplyError::Poison("the fold panicked".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_that_panics_is_poison() {
        let answer = guarded(|| -> Result<(), Unfoldable> { panic!("planted") });
        assert!(matches!(answer, Err(ApplyError::Poison(reason)) if reason == "the fold panicked"));
    }
}
