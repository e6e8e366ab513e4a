//! The only file that names `cqrs_es`: our deciders as its aggregates, a claimed partition as its event store.
//!
//! Its `CqrsFramework::execute` drops a rejected command before `commit` and returns no position, so we call load,
//! handle and commit ourselves. The rejection is an event of the adapter (`Recorded::Rejected`) and the framework's
//! error is impossible. Its snapshot, aggregate and memory stores, its `GenericQuery` and its replay are not used: they
//! apply events twice, lose updates, or pass over failed reads. The tests below show that ours does not.
#[cfg(feature = "postgres")]
pub(crate) mod cold;

use std::{
    collections::HashMap,
    convert::Infallible,
    error::Error,
    sync::{Arc, Mutex as SyncMutex, OnceLock, PoisonError},
};

use cqrs_es::{
    Aggregate as HostedAggregate, AggregateContext, AggregateError, DomainEvent, EventEnvelope, EventStore,
    event_sink::EventSink,
};
use domain::{Aggregate, Command, Decider, Rejection};
use event_log::{AppendError, BODY_LEN_MAX, Kind, NewKind, Stopped};
use event_schemas::{
    Event, FieldAddress, Sealed, StreamType,
    personal::{Seal, SealError},
    record::{Answer, Body, Meta},
};
use privacy::KeyStore;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _, ser::Error as _,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{
    commands::{Envelope, Made, Outcome, Unavailable},
    owner::{Partition, StateError, StreamKey, forgets, meta},
    planted::Hand,
};

/// A command's record is on its way.
pub(crate) struct Handed {
    pub(crate) hand: Hand,
    pub(crate) outcome: Outcome,
    pub(crate) made: Option<Made>,
}

/// No record of the command is on its way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The writer stopped; the command may be decided again after the next claim.
    #[error("the writer stopped")]
    Stopped(#[source] Stopped),
    /// The state that the command is about cannot be had.
    #[error("the state cannot be had")]
    State(#[source] StateError),
    /// Told to the caller.
    #[error(transparent)]
    Refused(Unavailable),
}

impl Failure {
    fn fault(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Refused(Unavailable::fault(error))
    }
}

/// A decider whose state, commands and events have a place in the registries of the domain.
pub(crate) trait Hostable:
    Decider<Command: Send + Sync, Event: Into<Event> + Send + Sync>
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    fn from_aggregate(aggregate: Aggregate) -> Option<Self>;
    fn into_aggregate(self) -> Aggregate;
    fn command(command: &Command) -> Option<&Self::Command>;
    fn event(event: Event) -> Option<Self::Event>;
}

macro_rules! hosted {
    ($($name:ident => $module:ident;)*) => {
        $( impl Hostable for domain::$module::State {
            fn from_aggregate(aggregate: Aggregate) -> Option<Self> {
                if let Aggregate::$name(state) = aggregate { Some(state) } else { None }
            }
            fn into_aggregate(self) -> Aggregate {
                Aggregate::$name(self)
            }
            fn command(command: &Command) -> Option<&Self::Command> {
                if let Command::$name(command) = command { Some(command) } else { None }
            }
            fn event(event: Event) -> Option<Self::Event> {
                if let Event::$name(event) = event { Some(event) } else { None }
            }
        } )*

        /// Decides a command and hands its record to the log, without waiting for it. The state is evolved already.
        pub(crate) async fn execute(
            partition: &Arc<Mutex<Partition>>,
            envelope: &Arc<Envelope>,
        ) -> Result<Handed, Failure> {
            match envelope.stream.stream_type {
                $( StreamType::$name => execute_as::<domain::$module::State>(partition, envelope).await, )*
            }
        }

        /// The events of one aggregate, as the framework's repository has them.
        #[cfg(feature = "postgres")]
        async fn serialized(
            repository: &postgres_es::PostgresEventRepository,
            stream_type: StreamType,
            name: &str,
        ) -> Result<Vec<cqrs_es::persist::SerializedEvent>, cqrs_es::persist::PersistenceError> {
            use cqrs_es::persist::PersistedEventRepository as _;
            match stream_type {
                $( StreamType::$name => repository.get_events::<Hosted<domain::$module::State>>(name).await, )*
            }
        }
    };
}

hosted! {
    Merchant => merchant;
    Customer => customer;
    LoyaltyOrder => loyalty_order;
    PointsAccount => points_account;
    Redemption => redemption;
    Reward => reward;
    Product => product;
    PosDevice => pos_device;
    PrivacyRequest => privacy_request;
}

async fn execute_as<D: Hostable>(
    partition: &Arc<Mutex<Partition>>,
    envelope: &Arc<Envelope>,
) -> Result<Handed, Failure> {
    let store = ClaimedStore::new(partition.clone(), envelope.clone());
    let mut context: Loaded<D> = store.load_aggregate(&store.name).await.map_err(failure)?;
    let sealing = context.sealing();
    let sink = EventSink::default();
    let handled = context.aggregate().handle(envelope.clone(), &sealing, &sink).await;
    handled.map_err(AggregateError::UserError).map_err(failure)?;
    if let Some(failed) = sealing.failed.into_inner() {
        context.give_back();
        return Err(failed);
    }
    context.encoded = sealing.encoded.into_inner();
    store.commit(sink.collect().await, context, HashMap::new()).await.map_err(failure)?;
    let handed = store.handed.into_inner().unwrap_or_else(PoisonError::into_inner);
    handed.ok_or_else(|| Failure::fault("the store committed nothing"))
}

/// Our failures travel through the framework in its box for unexpected ones.
fn failure(error: AggregateError<Infallible>) -> Failure {
    match error {
        AggregateError::UserError(never) => match never {},
        AggregateError::UnexpectedError(ours) => match ours.downcast::<Failure>() {
            Ok(failure) => *failure,
            Err(other) => Failure::fault(other),
        },
        other => Failure::fault(other.to_string()),
    }
}

fn unexpected(failure: Failure) -> AggregateError<Infallible> {
    AggregateError::UnexpectedError(Box::new(failure))
}

/// A decider as the framework's aggregate. Boxed, because it is handed on by value and may be large.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hosted<D>(Box<D>);

impl<D: Hostable> HostedAggregate for Hosted<D> {
    const TYPE: &'static str = D::STREAM.name();
    type Command = Arc<Envelope>;
    type Event = Recorded;
    type Error = Infallible;
    type Services = Sealing;

    /// Decides, seals, encodes, applies. What cannot be sealed, or does not fit a record, is not applied either, so the
    /// state stays true.
    async fn handle(
        &mut self,
        envelope: Arc<Envelope>,
        sealing: &Sealing,
        sink: &EventSink<Self>,
    ) -> Result<(), Infallible> {
        #[cfg(test)]
        assert_ne!(envelope.key, crate::testing::POISON, "a planted panic");
        let decided = match D::command(&envelope.command) {
            Some(command) => self.0.decide(command),
            None => Err(Rejection::WrongStream),
        };
        let answer = match decided {
            Err(rejection) => vec![Recorded::Rejected(rejection)],
            Ok(events) => sealing.seal(events.into_iter().map(Into::into).collect()),
        };
        for recorded in answer {
            sink.write(recorded, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, recorded: Recorded) {
        let Recorded::Event(event) = recorded else { return };
        if let Some(event) = D::event(event) {
            self.0.evolve(&event);
        }
    }
}

/// What the framework calls an event: one of ours, or the rejection that is a command's whole answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Recorded {
    Event(Event),
    Rejected(Rejection),
}

impl DomainEvent for Recorded {
    fn event_type(&self) -> String {
        match self {
            Self::Event(event) => event.name().to_owned(),
            Self::Rejected(rejection) => rejection.code().to_owned(),
        }
    }

    fn event_version(&self) -> String {
        match self {
            Self::Event(event) => event.version().to_string(),
            Self::Rejected(_) => String::new(),
        }
    }
}

/// A recorded answer as the framework would write it; our store writes record bodies instead.
#[derive(Serialize, Deserialize)]
enum Wire {
    Event { number: u16, version: u16, json: String },
    Rejected(Rejection),
}

impl Serialize for Recorded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = match self {
            Self::Rejected(rejection) => Wire::Rejected(rejection.clone()),
            Self::Event(event) => {
                let json = event.to_json().map_err(S::Error::custom)?;
                Wire::Event { number: event.number(), version: event.version(), json }
            }
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recorded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Wire::deserialize(deserializer)? {
            Wire::Rejected(rejection) => Ok(Self::Rejected(rejection)),
            Wire::Event { number, version, json } => {
                Event::decode(number, version, &json).map(Self::Event).map_err(D::Error::custom)
            }
        }
    }
}

/// Seals what a command's events say of a person: between the decision and the log, where version and event id are known.
pub(crate) struct Sealing {
    keys: KeyStore,
    /// Without a subject nothing can be sealed, and an event that needs it fails.
    address: Option<FieldAddress>,
    meta: Meta,
    /// The record's body, if it has events.
    encoded: OnceLock<Vec<u8>>,
    failed: OnceLock<Failure>,
}

impl Sealing {
    /// The sealed events; none, and the failure noted, if one of them cannot be sealed or all are more than a record
    /// holds.
    fn seal(&self, mut events: Vec<Event>) -> Vec<Recorded> {
        for (index, event) in (0..).zip(&mut events) {
            let mut field = FieldSeal { sealing: self, index, event_type: event.number() };
            match event.seal(&mut field).map_err(Unsealed::from) {
                Ok(()) => {}
                // Between the fence and the word of it in the stream. It is an answer, as it will be after that.
                Err(Unsealed::Erased(rejection)) => return vec![Recorded::Rejected(rejection)],
                Err(Unsealed::Failed(failure)) => {
                    drop(self.failed.set(failure));
                    return Vec::new();
                }
            }
        }
        if events.is_empty() {
            return Vec::new();
        }
        let body = Body { meta: self.meta, answer: Answer::Events(events) };
        match body.encode().map_err(Failure::fault).and_then(fitting) {
            Ok(bytes) => drop(self.encoded.set(bytes)),
            Err(failure) => {
                drop(self.failed.set(failure));
                return Vec::new();
            }
        }
        let Answer::Events(events) = body.answer else { return Vec::new() };
        events.into_iter().map(Recorded::Event).collect()
    }
}

/// Why an event could not be sealed.
enum Unsealed {
    /// What is asked of whoever was erased is refused.
    Erased(Rejection),
    Failed(Failure),
}

impl From<SealError> for Unsealed {
    fn from(error: SealError) -> Self {
        match error.source.downcast_ref() {
            Some(privacy::Error::Redacted { .. }) => Self::Erased(Rejection::AccountRedacted),
            Some(privacy::Error::ShopErased { .. }) => Self::Erased(Rejection::ShopRedacted),
            Some(privacy::Error::Unavailable(_)) => Self::Failed(Failure::Refused(Unavailable::KeysAway)),
            _ => Self::Failed(Failure::fault(error)),
        }
    }
}

/// A body that the log takes.
fn fitting(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    match bytes.len() {
        len if len > BODY_LEN_MAX => Err(Failure::Refused(Unavailable::RecordTooLarge { len })),
        _ => Ok(bytes),
    }
}

/// Seals the fields of one event; most events have none and cost nothing.
struct FieldSeal<'a> {
    sealing: &'a Sealing,
    index: u16,
    event_type: u16,
}

impl Seal for FieldSeal<'_> {
    fn seal(&mut self, field: &'static str, clear: &[u8]) -> Result<Sealed, SealError> {
        let failed = |source: Box<dyn Error + Send + Sync>| SealError { field, source };
        let Some(first) = &self.sealing.address else {
            return Err(failed("the stream has no subject".into()));
        };
        let address = FieldAddress {
            version: first.version + u64::from(self.index),
            index: self.index,
            event_type: self.event_type,
            field: field.into(),
            ..first.clone()
        };
        let sealer =
            self.sealing.keys.sealer(first.merchant, first.subject).map_err(|error| failed(error.into()))?;
        sealer.seal(&address, clear).map_err(|error| failed(error.into()))
    }
}

/// A claimed partition as one command sees it.
struct ClaimedStore {
    partition: Arc<Mutex<Partition>>,
    envelope: Arc<Envelope>,
    key: StreamKey,
    /// The stream's, as the framework wants it.
    name: String,
    handed: SyncMutex<Option<Handed>>,
}

impl ClaimedStore {
    fn new(partition: Arc<Mutex<Partition>>, envelope: Arc<Envelope>) -> Self {
        let key = StreamKey::new(envelope.merchant, envelope.stream);
        Self { partition, envelope, key, name: key.to_string(), handed: SyncMutex::new(None) }
    }
}

/// An aggregate taken out of the partition, which is locked until the record is handed to the log: nobody else can
/// decide on the same state. Dropped before that, it stays out, and its stream is parked.
struct Loaded<D> {
    partition: OwnedMutexGuard<Partition>,
    key: StreamKey,
    meta: Meta,
    subject: Option<event_schemas::CustomerId>,
    aggregate: Hosted<D>,
    /// The record's body, where it was encoded before its events were applied.
    encoded: Option<Vec<u8>>,
}

impl<D: Hostable> AggregateContext<Hosted<D>> for Loaded<D> {
    fn aggregate(&mut self) -> &mut Hosted<D> {
        &mut self.aggregate
    }
}

impl<D: Hostable> Loaded<D> {
    fn sealing(&self) -> Sealing {
        let address = self.subject.map(|subject| FieldAddress {
            merchant: self.key.merchant,
            subject,
            stream_type: self.key.stream_type.number(),
            stream: self.key.id,
            version: self.meta.first_version,
            record: self.meta.record,
            index: 0,
            event_type: 0,
            field: "".into(),
        });
        Sealing {
            keys: self.partition.keys.clone(),
            address,
            meta: self.meta,
            encoded: OnceLock::new(),
            failed: OnceLock::new(),
        }
    }

    /// Puts the aggregate back as it was taken.
    fn give_back(mut self) {
        let key = self.key;
        self.partition.folded.give_back(key, (*self.aggregate.0).into_aggregate());
    }
}

impl<D: Hostable> EventStore<Hosted<D>> for ClaimedStore {
    type AC = Loaded<D>;

    /// Reads the stream from the log itself. A read that fails is an error, never the end.
    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<Hosted<D>>>, AggregateError<Infallible>> {
        let (log, partition) = {
            let partition = self.partition.lock().await;
            (partition.log().clone(), partition.number())
        };
        let lost = |error: Box<dyn Error + Send + Sync>| AggregateError::DatabaseConnectionError(error);
        let mut reader = log.reader(partition, None).map_err(|error| lost(error.into()))?;
        let mut found = Vec::new();
        loop {
            let batch = reader.next(1024).await.map_err(|error| lost(error.into()))?;
            if batch.records.is_empty() {
                return Ok(found);
            }
            for record in batch.records.iter().filter(|record| record.frame.kind == Kind::Commit) {
                append_events(&mut found, aggregate_id, record)
                    .map_err(AggregateError::DeserializationError)?;
            }
        }
    }

    async fn load_aggregate(&self, aggregate_id: &str) -> Result<Loaded<D>, AggregateError<Infallible>> {
        if aggregate_id != self.name {
            return Err(unexpected(Failure::fault("the store is of another stream")));
        }
        let key = self.key;
        let mut partition = self.partition.clone().lock_owned().await;
        let recorded_at = partition.stamp();
        partition.folded.wake(key).await.map_err(|error| unexpected(Failure::State(error)))?;
        let taken = partition.folded.take(key).and_then(|(aggregate, version)| {
            D::from_aggregate(aggregate).map(|aggregate| (Hosted(Box::new(aggregate)), version))
        });
        let (aggregate, version) =
            taken.ok_or_else(|| unexpected(Failure::Refused(Unavailable::AggregateParked)))?;
        let meta = meta(&self.envelope, version + 1, recorded_at);
        let subject = self.envelope.stream.subject();
        Ok(Loaded { partition, key, meta, subject, aggregate, encoded: None })
    }

    /// Hands the record to the log and the state back to the partition. The log's answer is awaited outside, or every
    /// group commit would have size one. Gives nothing back: the framework would dispatch it to queries, and ours read
    /// the log.
    async fn commit(
        &self,
        answer: Vec<Recorded>,
        context: Loaded<D>,
        _: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<Hosted<D>>>, AggregateError<Infallible>> {
        let Loaded { mut partition, key, meta, aggregate, encoded, .. } = context;
        let (outcome, recorded) = recorded(answer).map_err(unexpected)?;
        let kind = if outcome == Outcome::Accepted { NewKind::Commit } else { NewKind::Outcome };
        let body = Body { meta, answer: recorded };
        let bytes = encoded.map_or_else(|| body.encode(), Ok);
        let bytes = bytes.map_err(|error| unexpected(Failure::fault(error)))?;
        let hand = partition.append(key.merchant, self.envelope.stream, bytes, kind).map_err(|error| {
            unexpected(match error {
                AppendError::Stopped(stopped) => Failure::Stopped(stopped),
                other => Failure::fault(other),
            })
        })?;
        let events: Arc<[Event]> = match body.answer {
            Answer::Events(events) => events.into(),
            Answer::Rejected(_) | Answer::Unchanged => Arc::default(),
        };
        let (route, aggregate) = (self.envelope.stream.route, (*aggregate.0).into_aggregate());
        partition.folded.put_back(key, route, aggregate, events.len(), meta.command, outcome.clone());
        if forgets(&events) {
            partition.folded.forget(key);
        }
        let made = (!events.is_empty()).then_some(Made { record: meta.record, events });
        *self.handed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Handed { hand, outcome, made });
        Ok(Vec::new())
    }
}

/// The answer as the record's body has it.
fn recorded(answer: Vec<Recorded>) -> Result<(Outcome, Answer), Failure> {
    let mut events = Vec::with_capacity(answer.len());
    for recorded in answer {
        match recorded {
            Recorded::Event(event) => events.push(event),
            Recorded::Rejected(rejection) => {
                let json = serde_json::to_string(&rejection).map_err(Failure::fault)?;
                return Ok((Outcome::Rejected(rejection), Answer::Rejected(json)));
            }
        }
    }
    Ok(if events.is_empty() {
        (Outcome::Unchanged, Answer::Unchanged)
    } else {
        (Outcome::Accepted, Answer::Events(events))
    })
}

/// Adds the record's events, if they are of this stream.
fn append_events<D: Hostable>(
    found: &mut Vec<EventEnvelope<Hosted<D>>>,
    aggregate_id: &str,
    record: &event_log::AdmittedRecord,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Body { meta, answer } = Body::decode(&record.body)?;
    let key = StreamKey {
        merchant: event_schemas::MerchantId::from_bytes(record.frame.merchant),
        stream_type: meta.stream_type,
        id: uuid::Uuid::from_bytes(record.frame.stream),
    };
    let Answer::Events(events) = answer else { return Ok(()) };
    if key.to_string() != aggregate_id {
        return Ok(());
    }
    for (index, event) in events.into_iter().enumerate() {
        found.push(EventEnvelope {
            aggregate_id: aggregate_id.to_owned(),
            sequence: usize::try_from(meta.first_version)? + index,
            payload: Recorded::Event(event),
            metadata: HashMap::new(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
