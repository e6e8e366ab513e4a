//! What a record says behind the log's frame: who asked for what, when, and the whole answer. The one encode and decode.
//!
//! Layout (big-endian): record id 16, stream type 2, first version 8, occurred_at 8, recorded_at 8, correlation 16,
//! trace 24, causation 18, actor 17, command key 16, content digest 16, events 2; then per event number 2, version 2,
//! length 4; then the JSON of each. A record without events ends in one byte (0 unchanged, 1 rejected) and the
//! rejection's JSON. Lengths stand before data, and the log hashes all of it.
use uuid::Uuid;

use crate::{
    CommandKey, CorrelationId, CustomerId, Digest, Event, EventId, RecordId, StaffId, StreamType, Timestamp,
    catalogue::DecodeError, personal,
};

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The system itself: a policy or a schedule.
    System,
    /// Shopify, through a signed webhook.
    Shopify,
    /// A program with the merchant's token.
    Merchant,
    /// The operator of the installation.
    Operator,
    /// A member of staff.
    Staff(StaffId),
    /// The customer.
    Customer(CustomerId),
}

impl Actor {
    /// The kind as a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Shopify => "shopify",
            Self::Merchant => "merchant",
            Self::Operator => "operator",
            Self::Staff(_) => "staff",
            Self::Customer(_) => "customer",
        }
    }
}

/// A W3C trace context: trace id and parent span, all zeros if there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Trace id.
    pub trace: [u8; 16],
    /// Parent span id.
    pub span: [u8; 8],
}

/// Number, version and length before the JSON of all events.
const EVENT_HEAD_LEN: usize = 8;

/// All that a record says beside its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The record's id.
    pub record: RecordId,
    /// Type of its stream; the stream's id is in the frame.
    pub stream_type: StreamType,
    /// Version in the stream of its first event; for a record without events, of the event that would have come.
    pub first_version: u64,
    /// When it happened in business.
    pub occurred_at: Timestamp,
    /// When the owner wrote it; never before the record ahead of it.
    pub recorded_at: Timestamp,
    /// What it has in common with all that the same request caused.
    pub correlation: CorrelationId,
    /// Trace context of the request.
    pub trace: Trace,
    /// The event that caused the command, if a policy sent it.
    pub causation: Option<EventId>,
    /// Who asked.
    pub actor: Actor,
    /// The command's key.
    pub command: CommandKey,
    /// Keyed digest of the command's content.
    pub content: Digest,
}

/// The whole answer to one command.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Accepted: its events.
    Events(Vec<Event>),
    /// Refused: the rejection as JSON with at least a `code`.
    Rejected(String),
    /// Nothing to do: already so.
    Unchanged,
}

/// A record's body.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Who, when, why.
    pub meta: Meta,
    /// What came of it.
    pub answer: Answer,
}

/// A body that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A personal field is in clear, or a value has no JSON.
    #[error("{name} could not be written as JSON")]
    Event {
        /// The event's wire name.
        name: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// More events or bytes than the layout has room for.
    #[error("the record is too large")]
    TooLarge,
}

/// A body that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The bytes end too early or say what they cannot.
    #[error("the record's body is damaged at {0}")]
    Damaged(&'static str),
    /// One of its events.
    #[error("event {index} of the record")]
    Event {
        /// Its place.
        index: u16,
        /// Why.
        source: DecodeError,
    },
}

/// A body that was opened but whose events are still JSON: readers decode only those they want.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Who, when, why.
    pub meta: Meta,
    /// What came of it.
    pub answer: RawAnswer<'a>,
}

/// An answer whose events are still JSON.
#[derive(Clone, Debug)]
pub enum RawAnswer<'a> {
    /// Accepted.
    Events(Vec<RawEvent<'a>>),
    /// Refused: the rejection's JSON.
    Rejected(&'a str),
    /// Nothing to do.
    Unchanged,
}

/// One event that is still JSON.
#[derive(Clone, Copy, Debug)]
pub struct RawEvent<'a> {
    /// Number in the catalogue.
    pub number: u16,
    /// Version it was written in.
    pub version: u16,
    /// Its data.
    pub json: &'a str,
}

impl RawEvent<'_> {
    /// The event, lifted to its current version.
    pub fn decode(&self) -> Result<Event, DecodeError> {
        Event::decode(self.number, self.version, self.json)
    }
}

impl Body {
    /// The bytes that follow the frame.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(1024);
        write_meta(&mut out, &self.meta);
        match &self.answer {
            Answer::Events(events) => write_events(&mut out, events)?,
            Answer::Rejected(json) => {
                out.extend_from_slice(&[0, 0, 1]);
                out.extend_from_slice(json.as_bytes());
            }
            Answer::Unchanged => out.extend_from_slice(&[0, 0, 0]),
        }
        Ok(out)
    }

    /// Reads all of it.
    pub fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
        let view = View::open(bytes)?;
        let answer = match view.answer {
            RawAnswer::Events(raw) => Answer::Events(
                (0..).zip(&raw).map(|(index, raw)| decode_at(index, raw)).collect::<Result<_, _>>()?,
            ),
            RawAnswer::Rejected(json) => Answer::Rejected(json.to_owned()),
            RawAnswer::Unchanged => Answer::Unchanged,
        };
        Ok(Self { meta: view.meta, answer })
    }
}

fn decode_at(index: u16, raw: &RawEvent<'_>) -> Result<Event, BodyError> {
    raw.decode().map_err(|source| BodyError::Event { index, source })
}

impl<'a> View<'a> {
    /// Opens the body without decoding its events.
    pub fn open(bytes: &'a [u8]) -> Result<Self, BodyError> {
        let mut cursor = Cursor { rest: bytes };
        let meta = read_meta(&mut cursor)?;
        let count = cursor.u16("the number of events")?;
        let answer = if count == 0 { read_outcome(&cursor)? } else { read_events(&mut cursor, count)? };
        Ok(Self { meta, answer })
    }
}

/// The body of the same record with every ciphertext emptied; nothing if it holds none.
pub fn without_sealed(body: &[u8]) -> Result<Option<Vec<u8>>, BodyError> {
    let View { meta, answer } = View::open(body)?;
    let RawAnswer::Events(events) = answer else { return Ok(None) };
    let emptied: Vec<_> = events.iter().map(|event| personal::emptied(event.json)).collect();
    if events.iter().zip(&emptied).all(|(event, emptied)| event.json == *emptied) {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(body.len());
    write_meta(&mut out, &meta);
    out.extend_from_slice(&u16::try_from(events.len()).unwrap_or(u16::MAX).to_be_bytes());
    for (event, emptied) in events.iter().zip(&emptied) {
        out.extend_from_slice(&event.number.to_be_bytes());
        out.extend_from_slice(&event.version.to_be_bytes());
        out.extend_from_slice(&u32::try_from(emptied.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    emptied.iter().for_each(|json| out.extend_from_slice(json.as_bytes()));
    Ok(Some(out))
}

fn write_meta(out: &mut Vec<u8>, meta: &Meta) {
    out.extend_from_slice(&meta.record.bytes());
    out.extend_from_slice(&meta.stream_type.number().to_be_bytes());
    out.extend_from_slice(&meta.first_version.to_be_bytes());
    out.extend_from_slice(&meta.occurred_at.micros().to_be_bytes());
    out.extend_from_slice(&meta.recorded_at.micros().to_be_bytes());
    out.extend_from_slice(&meta.correlation.bytes());
    out.extend_from_slice(&meta.trace.trace);
    out.extend_from_slice(&meta.trace.span);
    let cause = meta.causation.map(|event| (event.record.bytes(), event.index)).unwrap_or_default();
    out.extend_from_slice(&cause.0);
    out.extend_from_slice(&cause.1.to_be_bytes());
    let (kind, id) = match meta.actor {
        Actor::System => (0, [0; 16]),
        Actor::Shopify => (1, [0; 16]),
        Actor::Merchant => (2, [0; 16]),
        Actor::Operator => (3, [0; 16]),
        Actor::Staff(id) => (4, id.bytes()),
        Actor::Customer(id) => (5, id.bytes()),
    };
    out.push(kind);
    out.extend_from_slice(&id);
    out.extend_from_slice(&meta.command.bytes());
    out.extend_from_slice(&meta.content.0);
}

fn read_meta(cursor: &mut Cursor<'_>) -> Result<Meta, BodyError> {
    Ok(Meta {
        record: RecordId::from_bytes(cursor.array("the record id")?),
        stream_type: StreamType::from_number(cursor.u16("the stream type")?)
            .ok_or(BodyError::Damaged("the stream type, which no stream has"))?,
        first_version: u64::from_be_bytes(cursor.array("the first version")?),
        occurred_at: Timestamp::from_micros(i64::from_be_bytes(cursor.array("occurred_at")?)),
        recorded_at: Timestamp::from_micros(i64::from_be_bytes(cursor.array("recorded_at")?)),
        correlation: CorrelationId::from_bytes(cursor.array("the correlation")?),
        trace: Trace { trace: cursor.array("the trace")?, span: cursor.array("the trace")? },
        causation: read_causation(cursor)?,
        actor: read_actor(cursor)?,
        command: CommandKey::from_bytes(cursor.array("the command key")?),
        content: Digest(cursor.array("the content digest")?),
    })
}

fn read_causation(cursor: &mut Cursor<'_>) -> Result<Option<EventId>, BodyError> {
    let record = Uuid::from_bytes(cursor.array("the causation")?);
    let index = cursor.u16("the causation")?;
    Ok((!record.is_nil()).then_some(EventId { record: RecordId(record), index }))
}

fn read_actor(cursor: &mut Cursor<'_>) -> Result<Actor, BodyError> {
    let [kind] = cursor.array("the actor")?;
    let id = cursor.array("the actor")?;
    Ok(match kind {
        0 => Actor::System,
        1 => Actor::Shopify,
        2 => Actor::Merchant,
        3 => Actor::Operator,
        4 => Actor::Staff(StaffId::from_bytes(id)),
        5 => Actor::Customer(CustomerId::from_bytes(id)),
        _ => return Err(BodyError::Damaged("the actor, whose kind is unknown")),
    })
}

fn write_events(out: &mut Vec<u8>, events: &[Event]) -> Result<(), EncodeError> {
    let count = u16::try_from(events.len()).ok().filter(|count| *count > 0).ok_or(EncodeError::TooLarge)?;
    out.extend_from_slice(&count.to_be_bytes());
    let mut heads = out.len();
    out.resize(heads + events.len() * EVENT_HEAD_LEN, 0);
    for event in events {
        let begin = out.len();
        event.write_json(out).map_err(|source| EncodeError::Event { name: event.name(), source })?;
        let length = u32::try_from(out.len() - begin).map_err(|_| EncodeError::TooLarge)?;
        let head = &mut out[heads..heads + EVENT_HEAD_LEN];
        head[..2].copy_from_slice(&event.number().to_be_bytes());
        head[2..4].copy_from_slice(&event.version().to_be_bytes());
        head[4..].copy_from_slice(&length.to_be_bytes());
        heads += EVENT_HEAD_LEN;
    }
    Ok(())
}

fn read_events<'a>(cursor: &mut Cursor<'a>, count: u16) -> Result<RawAnswer<'a>, BodyError> {
    let table = (0..count)
        .map(|_| {
            Ok((
                cursor.u16("an event's type")?,
                cursor.u16("an event's version")?,
                cursor.u32("an event's length")?,
            ))
        })
        .collect::<Result<Vec<_>, BodyError>>()?;
    let mut text =
        std::str::from_utf8(cursor.rest).map_err(|_| BodyError::Damaged("the events, not UTF-8"))?;
    let mut events = Vec::with_capacity(table.len());
    for (number, version, length) in table {
        let (json, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| text.split_at_checked(length))
            .ok_or(BodyError::Damaged("an event, which is shorter than its length"))?;
        events.push(RawEvent { number, version, json });
        text = rest;
    }
    if !text.is_empty() {
        return Err(BodyError::Damaged("the end, where bytes are left over"));
    }
    Ok(RawAnswer::Events(events))
}

fn read_outcome<'a>(cursor: &Cursor<'a>) -> Result<RawAnswer<'a>, BodyError> {
    match cursor.rest {
        [0] => Ok(RawAnswer::Unchanged),
        [1, json @ ..] => std::str::from_utf8(json)
            .map(RawAnswer::Rejected)
            .map_err(|_| BodyError::Damaged("the rejection, not UTF-8")),
        _ => Err(BodyError::Damaged("the outcome")),
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], BodyError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(BodyError::Damaged(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, BodyError> {
        self.array(what).map(u16::from_be_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, BodyError> {
        self.array(what).map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::{CustomerEvent, PointsAccountEvent},
        customer::CustomerRegistered,
        payload::Payload,
        personal::Personal,
        points_account::{PointsAccountOpened, PointsEarned},
        sample,
    };

    fn meta() -> Meta {
        Meta {
            record: RecordId::from_bytes([1; 16]),
            stream_type: StreamType::PointsAccount,
            first_version: 7,
            occurred_at: sample::time(),
            recorded_at: sample::time(),
            correlation: CorrelationId::from_bytes([2; 16]),
            trace: Trace { trace: [3; 16], span: [4; 8] },
            causation: Some(EventId { record: RecordId::from_bytes([5; 16]), index: 2 }),
            actor: Actor::Staff(StaffId::from_bytes([6; 16])),
            command: CommandKey::from_bytes([7; 16]),
            content: sample::DIGEST,
        }
    }

    fn earned() -> PointsAccountEvent {
        PointsEarned::sample().into()
    }

    fn bodies() -> [Body; 3] {
        let opened = PointsAccountEvent::from(PointsAccountOpened {});
        [
            Body { meta: meta(), answer: Answer::Events(vec![opened.into(), earned().into()]) },
            Body {
                meta: Meta { causation: None, ..meta() },
                answer: Answer::Rejected(r#"{"code":"x"}"#.into()),
            },
            Body { meta: Meta { actor: Actor::System, ..meta() }, answer: Answer::Unchanged },
        ]
    }

    #[test]
    fn a_body_without_its_ciphertexts_is_the_same_record() {
        let opened = PointsAccountEvent::from(PointsAccountOpened {});
        let sealed = CustomerEvent::from(CustomerRegistered::sample());
        let body = Body { meta: meta(), answer: Answer::Events(vec![sealed.into(), opened.into()]) };
        let bytes = body.encode().unwrap();
        let emptied = without_sealed(&bytes).unwrap().unwrap();
        let Body { meta, answer: Answer::Events(events) } = Body::decode(&emptied).unwrap() else { panic!() };
        assert_eq!((meta, events.len()), (body.meta, 2));
        let Event::Customer(CustomerEvent::CustomerRegistered(registered)) = &events[0] else { panic!() };
        assert_eq!(registered.email, Some(Personal::Sealed(crate::Sealed(Vec::new()))));
        assert!(bytes.len() > emptied.len());
        assert_eq!(without_sealed(&emptied).unwrap(), None);
    }

    #[test]
    fn every_kind_of_answer_reads_back_as_written() {
        for body in bodies() {
            assert_eq!(Body::decode(&body.encode().unwrap()).unwrap(), body);
        }
    }

    #[test]
    fn a_body_cut_anywhere_is_damaged_and_never_a_shorter_answer() {
        for body in [&bodies()[0], &bodies()[2]] {
            let bytes = body.encode().unwrap();
            for length in 0..bytes.len() {
                assert!(Body::decode(&bytes[..length]).is_err(), "cut to {length}");
            }
        }
    }

    #[test]
    fn a_record_with_a_personal_field_in_clear_cannot_be_written() {
        let clear = PointsEarned {
            reference: Some(Personal::Clear("820982911946154508".into())),
            ..PointsEarned::sample()
        };
        let body =
            Body { meta: meta(), answer: Answer::Events(vec![PointsAccountEvent::from(clear).into()]) };
        let error = body.encode().unwrap_err();
        assert!(matches!(error, EncodeError::Event { name: "points-earned", .. }));
    }

    #[test]
    fn a_view_shows_types_and_json_without_decoding() {
        let bytes = bodies()[0].encode().unwrap();
        let RawAnswer::Events(raw) = View::open(&bytes).unwrap().answer else { panic!("events expected") };
        assert_eq!(raw.iter().map(|event| event.number).collect::<Vec<_>>(), [401, 402]);
        assert_eq!(raw[0].json, "{}");
    }
}
