//! What a projection is: a name, a version, a table and a pure fold of events, or a row of each record.
use event_schemas::{EVENTS, Event, EventId, RecordId, Timestamp, record::Actor};
use uuid::Uuid;

use crate::{
    Answered, Recorded,
    folding::{Events, Folding, Records},
    table::{Key, Row, Shape},
};

/// A read model that follows the log. Its file holds the table, the fold and the queries together.
pub trait Projection {
    /// One row of its table.
    type Row: Row;
    /// What an event does to one row; `()` where the event alone says it.
    type Change: Send;
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
    pub(crate) shape: fn(String) -> Shape,
    pub(crate) folding: fn() -> Box<dyn Folding>,
    /// Whether records as a whole matter to it, and not only their events.
    pub(crate) is_of_records: bool,
    pub(crate) touches: fn(&Recorded) -> bool,
}

impl Definition {
    /// The line of `P`.
    #[must_use]
    pub const fn of<P: Projection + 'static>() -> Self {
        Self {
            name: P::NAME,
            version: P::VERSION,
            shape: Shape::of::<P::Row>,
            folding: || Box::new(Events::<P>::default()),
            is_of_records: false,
            touches: |event| !P::touches(event).is_empty(),
        }
    }

    /// The line of a projection that keeps one row of every record.
    #[must_use]
    pub const fn of_records<P: OfRecords + 'static>() -> Self {
        Self {
            name: P::NAME,
            version: P::VERSION,
            shape: Shape::of::<P::Row>,
            folding: || Box::new(Records::<P>::default()),
            is_of_records: true,
            touches: |_| true,
        }
    }

    /// Whether events of this type feed the projection, judged by the type's sample.
    #[must_use]
    pub fn handles(&self, event_type: u16) -> bool {
        sample_of(event_type).is_some_and(|sample| (self.touches)(&sample))
    }
}

/// What an event of this type looks like; nothing of an unknown one.
pub(crate) fn sample_of(event_type: u16) -> Option<Recorded> {
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
