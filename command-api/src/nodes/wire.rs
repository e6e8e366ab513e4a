//! What nodes say to each other: an ask for an aggregate that the other one owns, and what came of it.
//!
//! A command's circumstances, and an answer, are written as a record writes them. The aggregate comes packed, so both
//! nodes must be of one format; another one's message is refused, and the caller asks again.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Aggregate, Command, DueKind, StreamRef};
use event_log::{BoxError, PositionToken};
use event_schemas::{
    CommandKey, CorrelationId, CustomerId, Digest, MerchantId, RecordId, StreamType, Timestamp,
    record::{Actor, Answer, Body, Meta, Trace},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    commands::{Answered, Envelope, Lane, Made, Origin, Outcome, Unavailable},
    owner::{DueQuery, DueStream, packed},
    problem,
};

/// Raised when a message or a packed aggregate changes its shape.
pub(super) const FORMAT: u32 = 4;

/// An ask of another node.
#[derive(Serialize, Deserialize)]
pub(super) struct Ask {
    format: u32,
    merchant: MerchantId,
    stream: Stream,
    bulk: bool,
    pub(super) what: What,
}

/// An aggregate.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Stream {
    stream_type: u16,
    id: Uuid,
    route: Uuid,
}

impl From<StreamRef> for Stream {
    fn from(stream: StreamRef) -> Self {
        let StreamRef { stream_type, id, route } = stream;
        Self { stream_type: stream_type.number(), id, route }
    }
}

impl TryFrom<Stream> for StreamRef {
    type Error = WireError;
    fn try_from(stream: Stream) -> Result<Self, WireError> {
        let Stream { stream_type: number, id, route } = stream;
        let stream_type = StreamType::from_number(number).ok_or(WireError::Stream(number))?;
        Ok(Self { stream_type, id, route })
    }
}

/// What is wanted of the aggregate.
#[derive(Serialize, Deserialize)]
pub(super) enum What {
    /// To decide a command.
    Command { circumstances: Bytes, command: Box<Command> },
    /// To find the outcome of a key.
    Recall(CommandKey),
    /// To look, with proof.
    Read,
    /// To look, without proof.
    Glance,
    /// To list the streams of a partition that are due.
    Due(Box<Wanted>),
    /// To save streams anew.
    Renew(Vec<Stream>),
}

/// Which due streams of a partition are wanted.
#[derive(Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) partition: u16,
    kind: DueKind,
    up_to: Timestamp,
    merchant: Option<MerchantId>,
    after: Option<DueAt>,
    limit: usize,
}

/// A stream that is due.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct DueAt {
    at: Timestamp,
    merchant: MerchantId,
    stream: Stream,
}

impl From<DueStream> for DueAt {
    fn from(due: DueStream) -> Self {
        Self { at: due.at, merchant: due.merchant, stream: due.stream.into() }
    }
}

impl TryFrom<DueAt> for DueStream {
    type Error = WireError;
    fn try_from(due: DueAt) -> Result<Self, WireError> {
        Ok(Self { at: due.at, merchant: due.merchant, stream: due.stream.try_into()? })
    }
}

impl Wanted {
    pub(super) fn new(partition: u16, query: DueQuery) -> Self {
        let DueQuery { kind, up_to, merchant, after, limit } = query;
        Self { partition, kind, up_to, merchant, after: after.map(DueAt::from), limit }
    }

    pub(super) fn query(&self) -> Result<DueQuery, WireError> {
        let Self { kind, up_to, merchant, after, limit, .. } = *self;
        Ok(DueQuery { kind, up_to, merchant, after: after.map(DueStream::try_from).transpose()?, limit })
    }
}

/// Bytes within JSON.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Bytes(Vec<u8>);

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        STANDARD.encode(bytes.0)
    }
}

impl TryFrom<String> for Bytes {
    type Error = base64::DecodeError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD.decode(text).map(Self)
    }
}

/// A message of another format, or damaged.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the other node speaks format {0} and this one {FORMAT}: they run different versions")]
    Format(u32),
    #[error("the message names a type of stream that this version does not know: {0}")]
    Stream(u16),
    #[error("the message is no ask or no answer of this format")]
    Shape(#[source] BoxError),
}

impl WireError {
    fn shape(error: impl Into<BoxError>) -> Self {
        Self::Shape(error.into())
    }
}

impl Ask {
    /// The ask for an aggregate.
    pub(super) fn new(merchant: MerchantId, stream: StreamRef, lane: Lane, what: What) -> Self {
        Self { format: FORMAT, merchant, stream: stream.into(), bulk: lane == Lane::Bulk, what }
    }

    pub(super) const fn merchant(&self) -> MerchantId {
        self.merchant
    }

    pub(super) fn stream(&self) -> Result<StreamRef, WireError> {
        self.stream.try_into()
    }
}

impl What {
    /// To save these streams anew.
    pub(super) fn renew(streams: &[StreamRef]) -> Self {
        Self::Renew(streams.iter().copied().map(Stream::from).collect())
    }

    /// The command, with all that its record will say about it.
    pub(super) fn command(envelope: &Envelope) -> Result<Self, WireError> {
        let Envelope { stream, command, key, content, occurred_at, origin, .. } = envelope;
        let Origin { actor, correlation, trace, causation } = *origin;
        let meta = Meta {
            occurred_at: *occurred_at,
            correlation,
            trace,
            causation,
            actor,
            command: *key,
            content: *content,
            ..bare(RecordId(Uuid::nil()), stream.stream_type)
        };
        let circumstances = Body { meta, answer: Answer::Unchanged }.encode().map_err(WireError::shape)?;
        Ok(Self::Command { circumstances: Bytes(circumstances), command: Box::new(command.clone()) })
    }
}

/// The envelope of a command that came from another node.
pub(super) fn envelope(ask: &Ask, circumstances: &Bytes, command: &Command) -> Result<Envelope, WireError> {
    let Body { meta, .. } = Body::decode(&circumstances.0).map_err(WireError::shape)?;
    let Meta { occurred_at, correlation, trace, causation, actor, command: key, content, .. } = meta;
    Ok(Envelope {
        merchant: ask.merchant,
        stream: ask.stream()?,
        command: command.clone(),
        key,
        content,
        occurred_at,
        origin: Origin { actor, correlation, trace, causation },
        lane: if ask.bulk { Lane::Bulk } else { Lane::Interactive },
    })
}

/// What another node says.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    format: u32,
    pub(super) answer: Result<Given, Refusal>,
}

/// An answer with the state that it was given from.
#[derive(Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) what: Came,
    /// None if nobody looks at one.
    aggregate: Option<Bytes>,
}

/// What came of an ask; the same kinds as of [`What`].
#[derive(Serialize, Deserialize)]
pub(super) enum Came {
    Command(Decided),
    Recall(Option<Decided>),
    Read(String),
    Glance,
    Due(Vec<DueAt>),
    Renewed,
}

/// What came of a command.
#[derive(Serialize, Deserialize)]
pub(super) struct Decided {
    outcome: Outcome,
    at: String,
    replayed: bool,
    /// The record that the call made, as the log has it.
    made: Option<Bytes>,
}

/// Why there is no answer.
#[derive(Serialize, Deserialize)]
pub(super) enum Refusal {
    Overloaded,
    NotOwned,
    Stopped,
    KeysAway,
    AggregateParked,
    Key(KeyRefusal),
    Fault(String),
    RecordTooLarge(usize),
}

/// What the key store said, where the caller is told more than that there is a fault.
#[derive(Serialize, Deserialize)]
pub(super) enum KeyRefusal {
    Redacted { merchant: MerchantId, subject: CustomerId },
    ShopErased { merchant: MerchantId },
    KeyMissing { merchant: MerchantId, what: String },
    Damaged { what: String },
}

impl KeyRefusal {
    fn of(error: &privacy::Error) -> Option<Self> {
        Some(match error {
            privacy::Error::Redacted { merchant, subject } => {
                Self::Redacted { merchant: *merchant, subject: *subject }
            }
            privacy::Error::ShopErased { merchant } => Self::ShopErased { merchant: *merchant },
            privacy::Error::KeyMissing { merchant, what } => {
                Self::KeyMissing { merchant: *merchant, what: what.clone() }
            }
            privacy::Error::Damaged { what } => Self::Damaged { what: what.clone() },
            _ => return None,
        })
    }
}

impl From<KeyRefusal> for privacy::Error {
    fn from(refusal: KeyRefusal) -> Self {
        match refusal {
            KeyRefusal::Redacted { merchant, subject } => Self::Redacted { merchant, subject },
            KeyRefusal::ShopErased { merchant } => Self::ShopErased { merchant },
            KeyRefusal::KeyMissing { merchant, what } => Self::KeyMissing { merchant, what },
            KeyRefusal::Damaged { what } => Self::Damaged { what },
        }
    }
}

impl Told {
    /// The answer, with the aggregate that it was given from.
    pub(super) fn given(what: Came, aggregate: Option<Vec<u8>>) -> Self {
        Self { format: FORMAT, answer: Ok(Given { what, aggregate: aggregate.map(Bytes) }) }
    }

    /// No answer.
    pub(super) fn refused(why: &Unavailable) -> Self {
        let refusal = match why {
            Unavailable::Overloaded => Refusal::Overloaded,
            Unavailable::NotOwned => Refusal::NotOwned,
            Unavailable::Stopped => Refusal::Stopped,
            Unavailable::KeysAway => Refusal::KeysAway,
            Unavailable::AggregateParked => Refusal::AggregateParked,
            Unavailable::RecordTooLarge { len } => Refusal::RecordTooLarge(*len),
            Unavailable::Fault(error) => problem::of_keys(&**error)
                .and_then(KeyRefusal::of)
                .map_or_else(|| Refusal::Fault(error.to_string()), Refusal::Key),
        };
        Self { format: FORMAT, answer: Err(refusal) }
    }
}

impl Told {
    /// Where the record stands that answers a command.
    pub(super) fn position(&self) -> Option<PositionToken> {
        match &self.answer.as_ref().ok()?.what {
            Came::Command(decided) => position(&decided.at).ok(),
            Came::Recall(_) | Came::Read(_) | Came::Glance | Came::Due(_) | Came::Renewed => None,
        }
    }
}

impl From<Refusal> for Unavailable {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Overloaded => Self::Overloaded,
            Refusal::NotOwned => Self::NotOwned,
            Refusal::Stopped => Self::Stopped,
            Refusal::KeysAway => Self::KeysAway,
            Refusal::AggregateParked => Self::AggregateParked,
            Refusal::RecordTooLarge(len) => Self::RecordTooLarge { len },
            Refusal::Key(refusal) => Self::fault(privacy::Error::from(refusal)),
            Refusal::Fault(text) => Self::fault(text),
        }
    }
}

impl Given {
    pub(super) fn aggregate(&self) -> Result<Option<Aggregate>, WireError> {
        let unpack = |bytes: &Bytes| packed::unpack(&mut bytes.0.as_slice()).map_err(WireError::shape);
        self.aggregate.as_ref().map(unpack).transpose()
    }
}

impl Decided {
    pub(super) fn new(stream_type: StreamType, answered: &Answered) -> Result<Self, WireError> {
        let made = answered.made.as_ref().map(|made| {
            let body =
                Body { meta: bare(made.record, stream_type), answer: Answer::Events(made.events.to_vec()) };
            body.encode().map(Bytes).map_err(WireError::shape)
        });
        Ok(Self {
            outcome: answered.outcome.clone(),
            at: answered.at.to_string(),
            replayed: answered.replayed,
            made: made.transpose()?,
        })
    }

    pub(super) fn answered(self) -> Result<Answered, WireError> {
        let made = self.made.map(|bytes| {
            let Body { meta, answer } = Body::decode(&bytes.0).map_err(WireError::shape)?;
            let events = if let Answer::Events(events) = answer { events } else { Vec::new() };
            Ok(Made { record: meta.record, events: events.into() })
        });
        let (at, made) = (position(&self.at)?, made.transpose()?);
        Ok(Answered { outcome: self.outcome, at, replayed: self.replayed, made })
    }
}

/// A position as an answer carries it.
pub(super) fn position(text: &str) -> Result<PositionToken, WireError> {
    text.parse().map_err(WireError::shape)
}

/// The packed form in which an aggregate travels.
pub(super) fn packed(aggregate: &Aggregate) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::new();
    packed::pack(aggregate, &mut bytes).map_err(WireError::shape)?;
    Ok(bytes)
}

/// Circumstances that say nothing.
fn bare(record: RecordId, stream_type: StreamType) -> Meta {
    let never = Timestamp::from_micros(0);
    Meta {
        record,
        stream_type,
        first_version: 0,
        occurred_at: never,
        recorded_at: never,
        correlation: CorrelationId(Uuid::nil()),
        trace: Trace::default(),
        causation: None,
        actor: Actor::System,
        command: CommandKey(Uuid::nil()),
        content: Digest([0; 16]),
    }
}

/// A message, whose `format` is looked at before anything else of it.
pub(super) trait Message: Serialize + DeserializeOwned {
    fn encode(&self) -> Result<Vec<u8>, WireError> {
        serde_json::to_vec(self).map_err(WireError::shape)
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        // Another format may have another shape altogether.
        match serde_json::from_slice(bytes).map_err(WireError::shape)? {
            Head { format: FORMAT } => serde_json::from_slice(bytes).map_err(WireError::shape),
            Head { format } => Err(WireError::Format(format)),
        }
    }
}

impl Message for Ask {}
impl Message for Told {}
