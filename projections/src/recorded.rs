//! One event as a fold sees it: decoded, with all that its record and its place say about it.
use event_log::{AdmittedRecord, Frame, Kind, Position};
use event_schemas::{
    CustomerId, Event, EventId, FieldAddress, MerchantId, Personal, Sealed, StreamType, Timestamp,
    catalogue::DecodeError,
    record::{Actor, BodyError, Meta, RawAnswer, RawEvent, View},
};
use uuid::Uuid;

use crate::{Answered, column::Origin};

/// An event of an admitted record.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The shop.
    pub merchant: MerchantId,
    /// The stream's id; its type is the event's.
    pub stream: Uuid,
    /// What the stream is routed by; the customer, for streams with personal fields.
    pub route: Uuid,
    /// The event's version in its stream, from 1.
    pub version: u64,
    /// The event's name.
    pub id: EventId,
    /// When it happened in business.
    pub occurred_at: Timestamp,
    /// When the owner wrote it.
    pub recorded_at: Timestamp,
    /// Who asked.
    pub actor: Actor,
    /// The event that caused it, if a policy asked.
    pub cause: Option<EventId>,
    /// What happened.
    pub event: Event,
}

impl Recorded {
    /// The person whose stream this is, and under whose key its personal fields are sealed.
    #[must_use]
    pub const fn subject(&self) -> CustomerId {
        CustomerId(self.route)
    }

    /// Where the event's sealed fields come from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin {
            record: self.id.record.0,
            index: self.id.index,
            version: self.version,
            event_type: self.event.number(),
        }
    }
}

/// The ciphertext of a personal field; nothing if there is none. A field in clear never comes out of the log.
pub(crate) fn sealed<T>(field: Option<&Personal<T>>) -> Option<Sealed> {
    match field {
        Some(Personal::Sealed(sealed)) => Some(sealed.clone()),
        Some(Personal::Clear(_)) | None => None,
    }
}

/// Which member of staff or customer asked.
pub(crate) const fn actor_id(actor: Actor) -> Option<Uuid> {
    match actor {
        Actor::Staff(id) => Some(id.0),
        Actor::Customer(id) => Some(id.0),
        Actor::System | Actor::Shopify | Actor::Merchant | Actor::Operator => None,
    }
}

/// The address of a sealed field of a row.
pub(crate) fn address(
    merchant: MerchantId,
    subject: CustomerId,
    stream: (StreamType, Uuid),
    origin: Origin,
    field: &'static str,
) -> FieldAddress {
    FieldAddress {
        merchant,
        subject,
        stream_type: stream.0.number(),
        stream: stream.1,
        version: origin.version,
        record: event_schemas::RecordId(origin.record),
        index: origin.index,
        event_type: origin.event_type,
        field: field.into(),
    }
}

/// What one place of a record holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// An event.
    Event(Box<Recorded>),
    /// Data of a known event that cannot be read: poison for whoever folds such events.
    Unreadable { event_type: u16, reason: String },
    /// The record as a whole, behind its events.
    Record(Box<Answered>),
}

/// One place of a record with the stream it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) stream_type: StreamType,
    pub(crate) version: u64,
    pub(crate) index: u16,
    pub(crate) content: Content,
}

/// Where a record stands and whose events it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) merchant: [u8; 16],
    pub(crate) stream: [u8; 16],
    pub(crate) route: [u8; 16],
    pub(crate) partition: u16,
    pub(crate) position: Position,
}

/// The place of a record as a whole: behind those of its events, of which there are fewer.
const WHOLE: u16 = u16::MAX;

/// All events of a record, then the record itself; nothing for claims and barriers.
pub(crate) fn items(record: &AdmittedRecord) -> Result<Vec<Item>, BodyError> {
    record_items(record, true)
}

/// All events of a record, for tables to which records as a whole are nothing.
pub(crate) fn events(record: &AdmittedRecord) -> Result<Vec<Item>, BodyError> {
    record_items(record, false)
}

fn record_items(record: &AdmittedRecord, and_whole: bool) -> Result<Vec<Item>, BodyError> {
    let Frame { kind, merchant, stream, route, .. } = record.frame;
    match kind {
        Kind::Commit | Kind::Outcome => {
            let (partition, position) = (record.partition, record.position);
            body_items(Place { merchant, stream, route, partition, position }, &record.body, and_whole)
        }
        Kind::Claim | Kind::Barrier => Ok(Vec::new()),
    }
}

/// The same of a body.
///
/// An unknown event or a newer version is an error: a newer program wrote it, and skipping it would be silent loss.
pub(crate) fn items_of(place: Place, body: &[u8]) -> Result<Vec<Item>, BodyError> {
    body_items(place, body, true)
}

fn body_items(place: Place, body: &[u8], and_whole: bool) -> Result<Vec<Item>, BodyError> {
    let View { meta, answer } = View::open(body)?;
    let events: &[RawEvent<'_>] = match &answer {
        RawAnswer::Events(events) => events,
        RawAnswer::Rejected(_) | RawAnswer::Unchanged => &[],
    };
    let item = |(index, raw): (u16, &RawEvent<'_>)| {
        let version = meta.first_version.saturating_add(index.into());
        let content = match raw.decode() {
            Ok(event) => Content::Event(Box::new(recorded(place, &meta, (index, version), event))),
            Err(source @ (DecodeError::UnknownType { .. } | DecodeError::NewerVersion { .. })) => {
                return Err(BodyError::Event { index, source });
            }
            Err(error @ (DecodeError::Upcast { .. } | DecodeError::Data { .. })) => {
                Content::Unreadable { event_type: raw.number, reason: error.to_string() }
            }
        };
        Ok(Item { stream_type: meta.stream_type, version, index, content })
    };
    let mut items = (0..).zip(events).map(item).collect::<Result<Vec<_>, _>>()?;
    if !and_whole {
        return Ok(items);
    }
    let whole = Answered::new(place, meta, &answer, items.iter().map(|item| &item.content));
    items.push(Item {
        stream_type: meta.stream_type,
        // A refusal takes no version of its stream, so records are told apart by their places.
        version: place.position.get(),
        index: WHOLE,
        content: Content::Record(Box::new(whole)),
    });
    Ok(items)
}

fn recorded(place: Place, meta: &Meta, (index, version): (u16, u64), event: Event) -> Recorded {
    Recorded {
        merchant: MerchantId::from_bytes(place.merchant),
        stream: Uuid::from_bytes(place.stream),
        route: Uuid::from_bytes(place.route),
        version,
        id: EventId { record: meta.record, index },
        occurred_at: meta.occurred_at,
        recorded_at: meta.recorded_at,
        actor: meta.actor,
        cause: meta.causation,
        event,
    }
}
