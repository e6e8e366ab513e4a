//! A claimed partition in memory: the state of every stream, and the first outcome of every command key.
use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    str::FromStr,
};

use domain::{Aggregate, Due, StreamRef};
use event_log::{AdmittedRecord, BoxError, Kind, Log, NewKind, NewRecord, PositionToken};
use event_schemas::{
    CommandKey, Event, MerchantId, StreamType, Timestamp,
    record::{Answer, Body, Meta},
};
use privacy::KeyStore;
use uuid::Uuid;

use super::due::{DueIndex, DueQuery, DueStream};
use crate::{
    clock::Clock,
    commands::Outcome,
    planted::{Hand, Writer},
};

/// A stream as the state knows it: another merchant's id is simply an unknown stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamKey {
    pub(crate) merchant: MerchantId,
    pub(crate) stream_type: StreamType,
    pub(crate) id: Uuid,
}

impl StreamKey {
    pub(crate) fn new(merchant: MerchantId, stream: StreamRef) -> Self {
        Self { merchant, stream_type: stream.stream_type, id: stream.id }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.merchant, self.stream_type.number(), self.id)
    }
}

/// A text is not a stream's name.
#[derive(Debug, thiserror::Error)]
#[error("expected <merchant>/<stream type>/<id>")]
pub(crate) struct NotAStream;

impl FromStr for StreamKey {
    type Err = NotAStream;
    fn from_str(text: &str) -> Result<Self, NotAStream> {
        let mut parts = text.split('/');
        let mut part = || parts.next().ok_or(NotAStream);
        let merchant = part()?.parse().map_err(|_| NotAStream)?;
        let number = part()?.parse().map_err(|_| NotAStream)?;
        let id = part()?.parse().map_err(|_| NotAStream)?;
        let stream_type = StreamType::from_number(number).ok_or(NotAStream)?;
        Ok(Self { merchant, stream_type, id })
    }
}

/// The first outcome of a command key, for ever.
#[derive(Clone, Debug)]
pub(crate) struct First {
    pub(crate) outcome: Outcome,
    /// Where its record stands; absent until it is admitted.
    pub(crate) at: Option<PositionToken>,
}

/// One stream.
pub(crate) struct Stream {
    /// Absent while a command is at work on it. If that command broke it, it stays absent: the aggregate is parked.
    pub(crate) aggregate: Option<Aggregate>,
    /// How many events it has.
    pub(crate) version: u64,
    answers: HashMap<CommandKey, First>,
    /// What the index says it is due for.
    due: Vec<Due>,
}

/// A record that contradicts the state it is folded into.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("the stream has {have} events, and the record says its first would be number {found}")]
    Version { have: u64, found: u64 },
    #[error("the rejection in the record cannot be read")]
    Rejection(#[source] serde_json::Error),
}

/// What all admitted records come to.
pub(crate) struct Folded {
    log: Log,
    partition: u16,
    streams: HashMap<StreamKey, Stream>,
    recorded_at: Timestamp,
    due: DueIndex,
}

impl Folded {
    pub(crate) fn new(log: Log, partition: u16) -> Self {
        Self {
            log,
            partition,
            streams: HashMap::new(),
            recorded_at: Timestamp::EPOCH,
            due: DueIndex::default(),
        }
    }

    /// Takes in one admitted record.
    pub(crate) fn admit(&mut self, record: &AdmittedRecord) -> Result<(), BoxError> {
        if matches!(record.frame.kind, Kind::Claim | Kind::Barrier) {
            return Ok(());
        }
        let Body { meta, answer } = Body::decode(&record.body)?;
        let key = StreamKey {
            merchant: MerchantId::from_bytes(record.frame.merchant),
            stream_type: meta.stream_type,
            id: Uuid::from_bytes(record.frame.stream),
        };
        let at = PositionToken::new(self.log.id(), self.partition, record.position, record.head);
        self.recorded_at = self.recorded_at.max(meta.recorded_at);
        let stream = self.stream(key);
        if meta.first_version != stream.version + 1 {
            return Err(Unfit::Version { have: stream.version, found: meta.first_version }.into());
        }
        let outcome = match answer {
            Answer::Events(events) => {
                stream.fold(key, &events)?;
                Outcome::Accepted
            }
            Answer::Unchanged => Outcome::Unchanged,
            Answer::Rejected(json) => {
                Outcome::Rejected(serde_json::from_str(&json).map_err(Unfit::Rejection)?)
            }
        };
        stream.answers.insert(meta.command, First { outcome, at: Some(at) });
        self.note_due(key, Uuid::from_bytes(record.frame.route));
        Ok(())
    }

    /// Notes what a stream is due for after a change. A parked one is not listed: nobody could work it off.
    fn note_due(&mut self, key: StreamKey, route: Uuid) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let now = stream.aggregate.as_ref().map(Aggregate::due).unwrap_or_default();
        if now != stream.due {
            self.due.replace(key, route, &stream.due, &now);
            stream.due = now;
        }
    }

    /// The streams that are due.
    pub(crate) fn due(&self, query: &DueQuery) -> Vec<DueStream> {
        self.due.find(query)
    }

    /// Takes an aggregate back with what the command came to.
    pub(crate) fn put_back(
        &mut self,
        key: StreamKey,
        route: Uuid,
        aggregate: Aggregate,
        events: usize,
        command: CommandKey,
        outcome: Outcome,
    ) {
        let stream = self.stream(key);
        stream.aggregate = Some(aggregate);
        stream.version += events as u64;
        stream.answers.insert(command, First { outcome, at: None });
        self.note_due(key, route);
    }

    /// The stream, from nothing if it is unknown.
    pub(crate) fn stream(&mut self, key: StreamKey) -> &mut Stream {
        self.streams.entry(key).or_insert_with(|| Stream {
            aggregate: Some(Aggregate::new(key.stream_type)),
            version: 0,
            answers: HashMap::new(),
            due: Vec::new(),
        })
    }

    /// Lets `look` see the aggregate; `false` if it is parked.
    pub(crate) fn see(&self, key: StreamKey, look: impl FnOnce(&Aggregate)) -> bool {
        match self.streams.get(&key).map(|stream| &stream.aggregate) {
            Some(Some(aggregate)) => look(aggregate),
            Some(None) => return false,
            None => look(&Aggregate::new(key.stream_type)),
        }
        true
    }

    pub(crate) fn first(&self, stream: StreamKey, key: CommandKey) -> Option<&First> {
        self.streams.get(&stream)?.answers.get(&key)
    }

    /// Notes where the record of a key was admitted.
    pub(crate) fn settle(&mut self, stream: StreamKey, key: CommandKey, at: PositionToken) {
        if let Some(first) = self.streams.get_mut(&stream).and_then(|s| s.answers.get_mut(&key)) {
            first.at = Some(at);
        }
    }

    pub(crate) fn parked(&self) -> usize {
        self.streams.values().filter(|stream| stream.aggregate.is_none()).count()
    }
}

impl Stream {
    /// A panic parks the aggregate, here too: otherwise one poisonous record would keep the partition down for ever.
    fn fold(&mut self, key: StreamKey, events: &[Event]) -> Result<(), BoxError> {
        self.version += events.len() as u64;
        let Some(mut aggregate) = self.aggregate.take() else { return Ok(()) };
        let folded = catch_unwind(AssertUnwindSafe(|| {
            events.iter().try_for_each(|event| aggregate.evolve(event))?;
            Ok::<_, domain::Misplaced>(aggregate)
        }));
        match folded {
            Ok(aggregate) => self.aggregate = Some(aggregate?),
            Err(_) => {
                tracing::error!(stream = %key, "Folding stream {key} panicked; its aggregate is parked");
            }
        }
        Ok(())
    }
}

/// A partition that this process owns.
pub(crate) struct Partition {
    pub(crate) folded: Folded,
    pub(crate) keys: KeyStore,
    writer: Writer,
    clock: Clock,
}

impl Partition {
    pub(crate) fn new(folded: Folded, writer: event_log::Writer, keys: KeyStore, clock: Clock) -> Self {
        Self { folded, keys, writer: Writer::new(writer), clock }
    }

    /// The time for the next record; never before the record ahead of it.
    pub(crate) fn stamp(&mut self) -> Timestamp {
        self.folded.recorded_at = self.folded.recorded_at.max(self.clock.now());
        self.folded.recorded_at
    }

    pub(crate) fn log(&self) -> &Log {
        &self.folded.log
    }

    pub(crate) fn number(&self) -> u16 {
        self.folded.partition
    }

    /// Hands a command's record to the log.
    pub(crate) fn append(
        &mut self,
        merchant: MerchantId,
        stream: StreamRef,
        body: Vec<u8>,
        kind: NewKind,
    ) -> Result<Hand, event_log::AppendError> {
        self.writer.append(NewRecord {
            kind,
            merchant: merchant.bytes(),
            route: stream.route.into_bytes(),
            stream: stream.id.into_bytes(),
            key_count: self.keys.insert_count(),
            body: body.into(),
        })
    }

    /// Hands a record to the log that says nothing; once it is admitted, all before it is.
    pub(crate) fn append_barrier(&mut self) -> Result<Hand, event_log::AppendError> {
        self.writer.append(NewRecord::barrier(self.keys.insert_count()))
    }
}

/// The meta of a command's record.
pub(crate) fn meta(envelope: &crate::commands::Envelope, first_version: u64, recorded_at: Timestamp) -> Meta {
    Meta {
        record: event_schemas::RecordId(crate::chance::id()),
        stream_type: envelope.stream.stream_type,
        first_version,
        occurred_at: envelope.occurred_at.min(recorded_at),
        recorded_at,
        correlation: envelope.origin.correlation,
        trace: envelope.origin.trace,
        causation: envelope.origin.causation,
        actor: envelope.origin.actor,
        command: envelope.key,
        content: envelope.content,
    }
}
