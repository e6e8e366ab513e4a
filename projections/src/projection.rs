//! What a projection is: a name, a version, a table and a pure fold of events, or a row of each record.
use std::panic::{AssertUnwindSafe, catch_unwind};

use event_schemas::{EVENTS, Event, EventId, RecordId, Timestamp, record::Actor};
use rusqlite::Connection;
use uuid::Uuid;

use crate::{
    Answered, Recorded,
    recorded::Content,
    table::{Key, Row, Statements},
};

/// A read model that follows the log. Its file holds the table, the fold and the queries together.
pub trait Projection {
    /// One row of its table.
    type Row: Row;
    /// What an event does to one row; `()` where the event alone says it.
    type Change;
    /// Its name, and its table's before the generation.
    const NAME: &'static str;
    /// Counts up when the table or the fold changes; a new version is built anew from the log.
    const VERSION: u32;

    /// The rows that the event touches, each with what it does to it; none for events that do not matter here.
    fn touches(event: &Recorded) -> Vec<(Key<Self::Row>, Self::Change)>;

    /// A touched row after the event. Pure: no clock, no chance, nothing but what it is given.
    fn fold(
        before: Option<Self::Row>,
        event: &Recorded,
        change: Self::Change,
    ) -> Result<Self::Row, Unfoldable>;
}

/// A read model that keeps one row of every record, refusals too.
pub trait OfRecords {
    /// One row of its table.
    type Row: Row;
    /// Its name, and its table's before the generation.
    const NAME: &'static str;
    /// Counts up when the table or the row changes; a new version is built anew from the log.
    const VERSION: u32;

    /// The record's row. Pure.
    fn row(record: &Answered) -> Self::Row;
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
    pub(crate) apply: fn(&Connection, &Statements, &Content) -> Result<(), ApplyError>,
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

    /// The line of a projection that keeps one row of every record.
    #[must_use]
    pub const fn of_records<P: OfRecords>() -> Self {
        Self {
            name: P::NAME,
            version: P::VERSION,
            statements: |table| Statements::of::<P::Row>(table),
            apply: keep::<P>,
            touches: |_| true,
        }
    }

    /// Whether events of this type feed the projection, judged by the type's sample.
    #[must_use]
    pub fn handles(&self, event_type: u16) -> bool {
        sample_of(event_type).is_some_and(|sample| (self.touches)(&sample))
    }
}

fn sample_of(event_type: u16) -> Option<Recorded> {
    let kind = EVENTS.iter().find(|kind| kind.number == event_type)?;
    let json = (kind.sample)().ok()?;
    Event::decode(kind.number, kind.version, &json).ok().map(sample)
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
        actor: Actor::System,
        cause: None,
        event,
    }
}

/// Keeps the record's row; single events are nothing to such a projection.
fn keep<P: OfRecords>(
    connection: &Connection,
    statements: &Statements,
    content: &Content,
) -> Result<(), ApplyError> {
    let Content::Record(record) = content else { return Ok(()) };
    let row = guarded(|| Ok(P::row(record)))?;
    Ok(statements.save(connection, &row)?)
}

/// Takes an event that can be read; one that cannot is poison for whoever folds its type.
fn apply<P: Projection>(
    connection: &Connection,
    statements: &Statements,
    content: &Content,
) -> Result<(), ApplyError> {
    match content {
        Content::Event(event) => take::<P>(connection, statements, event),
        Content::Unreadable { event_type, reason } => {
            let touched = sample_of(*event_type).is_some_and(|sample| !P::touches(&sample).is_empty());
            if touched { Err(ApplyError::Poison(reason.clone())) } else { Ok(()) }
        }
        Content::Record(_) => Ok(()),
    }
}

/// Loads the touched rows, folds them all, and only then writes them.
fn take<P: Projection>(
    connection: &Connection,
    statements: &Statements,
    event: &Recorded,
) -> Result<(), ApplyError> {
    let touched = guarded(|| Ok(P::touches(event)))?;
    let mut rows = Vec::with_capacity(touched.len());
    for (key, change) in touched {
        let before = statements.load(connection, &key)?;
        rows.push(guarded(|| P::fold(before, event, change))?);
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
