//! For tests here and above: a log to write histories into, folding in an order of the test's choice, a dump of all rows.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use event_log::{Log, NewKind, NewRecord, PositionToken, Writer};
use event_schemas::{
    CommandKey, CorrelationId, Digest, Event, MerchantId, RecordId, Timestamp,
    record::{Actor, Answer, Body, Meta, Trace},
};
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use crate::{Definition, Error, Progress, Projections, ReadStore, ValueRef, partition::Partition};

pub use event_schemas::StreamRef as Stream;
#[cfg(feature = "postgres")]
pub use postgres_store::testing::TestDatabase;

/// Owns every partition of a log and writes what a test says, a minute after what it said before.
pub struct History {
    log: Log,
    writers: Vec<Writer>,
    versions: HashMap<(MerchantId, Stream), u64>,
    now: Timestamp,
}

const MINUTE_US: i64 = 60_000_000;

impl History {
    /// Claims all partitions.
    ///
    /// # Panics
    /// If the log refuses.
    pub async fn start(log: Log) -> Self {
        let mut writers = Vec::new();
        for partition in 0..log.partitions() {
            writers.push(log.claim(partition, |_| Ok(())).await.unwrap_or_else(|error| panic!("{error}")));
        }
        let now = event_schemas::sample::time();
        Self { log, writers, versions: HashMap::new(), now }
    }

    /// When the newest record was recorded.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The version that the stream's next event will have.
    #[must_use]
    pub fn next_version(&self, merchant: MerchantId, stream: Stream) -> u64 {
        self.versions.get(&(merchant, stream)).copied().unwrap_or(0) + 1
    }

    /// Appends one record of these events, happening when it is recorded.
    pub async fn append(
        &mut self,
        merchant: MerchantId,
        stream: Stream,
        events: Vec<Event>,
    ) -> PositionToken {
        self.append_as(merchant, stream, RecordId(Uuid::now_v7()), None, events).await
    }

    /// The same under a record id of the test's choice, perhaps having happened at another time.
    ///
    /// # Panics
    /// If the log refuses, or an event holds something personal in clear.
    pub async fn append_as(
        &mut self,
        merchant: MerchantId,
        stream: Stream,
        record: RecordId,
        occurred_at: Option<Timestamp>,
        events: Vec<Event>,
    ) -> PositionToken {
        let meta = self.meta(merchant, stream, record, occurred_at);
        self.versions.insert((merchant, stream), meta.first_version + events.len() as u64 - 1);
        let body = Body { meta, answer: Answer::Events(events) };
        let body = body.encode().unwrap_or_else(|error| panic!("{error}"));
        self.append_bytes(merchant, stream, body).await
    }

    /// Appends a record without events: a refusal, or that nothing was to be done.
    ///
    /// # Panics
    /// If the log refuses.
    pub async fn append_outcome(
        &mut self,
        merchant: MerchantId,
        stream: Stream,
        actor: Actor,
        answer: Answer,
    ) -> PositionToken {
        let meta = Meta { actor, ..self.meta(merchant, stream, RecordId(Uuid::now_v7()), None) };
        let body = Body { meta, answer }.encode().unwrap_or_else(|error| panic!("{error}"));
        self.append_kind(NewKind::Outcome, merchant, stream, body).await
    }

    /// A minute passes, and this is what the next record says of itself.
    fn meta(
        &mut self,
        merchant: MerchantId,
        stream: Stream,
        record: RecordId,
        occurred_at: Option<Timestamp>,
    ) -> Meta {
        self.now = Timestamp::from_micros(self.now.micros() + MINUTE_US);
        Meta {
            record,
            stream_type: stream.stream_type,
            first_version: self.next_version(merchant, stream),
            occurred_at: occurred_at.unwrap_or(self.now),
            recorded_at: self.now,
            correlation: CorrelationId(Uuid::nil()),
            trace: Trace::default(),
            causation: None,
            actor: Actor::System,
            command: CommandKey(Uuid::now_v7()),
            content: Digest([0; 16]),
        }
    }

    /// Appends a commit with this body as it is.
    ///
    /// # Panics
    /// If the log refuses.
    pub async fn append_bytes(
        &mut self,
        merchant: MerchantId,
        stream: Stream,
        body: Vec<u8>,
    ) -> PositionToken {
        self.append_kind(NewKind::Commit, merchant, stream, body).await
    }

    async fn append_kind(
        &mut self,
        kind: NewKind,
        merchant: MerchantId,
        stream: Stream,
        body: Vec<u8>,
    ) -> PositionToken {
        let route = stream.route.into_bytes();
        let partition = self.log.partition_of(merchant.bytes(), route);
        let record = NewRecord {
            kind,
            merchant: merchant.bytes(),
            route,
            stream: stream.id.into_bytes(),
            key_count: 0,
            body: body.into(),
        };
        let writer = &mut self.writers[usize::from(partition)];
        let pending = writer.append(record).unwrap_or_else(|error| panic!("{error}"));
        let appended = pending.await.unwrap_or_else(|error| panic!("{error}"));
        PositionToken::new(self.log.id(), partition, appended.position, appended.head)
    }
}

/// Folds the whole log into the store, taking partitions and batch sizes from `choose(below)`.
///
/// # Errors
/// Those of the projections.
pub async fn fold_interleaved(
    log: &Log,
    store: &ReadStore,
    mut choose: impl FnMut(usize) -> usize,
) -> Result<Progress, Error> {
    let progress = Progress::new(log.clone(), crate::all().iter().map(|line| line.name).collect());
    let mut waiting = Vec::new();
    for number in 0..log.partitions() {
        waiting.push(Partition::open(log, store, &progress, number, choose(4) + 1).await?);
    }
    while !waiting.is_empty() {
        let chosen = choose(waiting.len());
        if !waiting[chosen].step().await? {
            drop(waiting.swap_remove(chosen));
        }
    }
    Ok(progress)
}

/// Folds the whole log into the store, record by record, all partitions at once; `before` is told the number of every
/// round. Gives, by partition, what ended it before its end.
///
/// # Errors
/// What keeps a partition from being opened.
pub async fn fold_at_once(
    log: &Log,
    store: &ReadStore,
    mut before: impl FnMut(usize),
) -> Result<BTreeMap<u16, Error>, Error> {
    let progress = Progress::new(log.clone(), crate::all().iter().map(|line| line.name).collect());
    let mut following = BTreeMap::new();
    for number in 0..log.partitions() {
        following.insert(number, Partition::open(log, store, &progress, number, 1).await?);
    }
    let (mut failed, mut round) = (BTreeMap::new(), 0);
    while !following.is_empty() {
        before(round);
        round += 1;
        let mut steps = JoinSet::new();
        for (number, mut partition) in std::mem::take(&mut following) {
            steps.spawn(async move { (number, partition.step().await, partition) });
        }
        for (number, stepped, partition) in steps.join_all().await {
            match stepped {
                Ok(true) => drop(following.insert(number, partition)),
                Ok(false) => {}
                Err(error) => drop(failed.insert(number, error)),
            }
        }
    }
    Ok(failed)
}

/// As a node that folds nothing and takes rows that stand behind the log for current for this long.
///
/// # Errors
/// Those of [`Projections::start`].
pub async fn watch_only(log: Log, store: ReadStore, patience: Duration) -> Result<Projections, Error> {
    let nothing = watch::Sender::new(BTreeSet::new());
    Projections::start_patient(log, store, Some(nothing.subscribe()), patience).await
}

/// Does to the store what a program with a newer version of this projection does when it opens it.
///
/// # Errors
/// Those of the store.
pub async fn upgrade(store: &ReadStore, name: &str) -> Result<(), Error> {
    for known in crate::all().iter().filter(|known| known.name == name) {
        let newer: &'static Definition =
            Box::leak(Box::new(Definition { version: known.version + 1, ..*known }));
        store.write(move |session| crate::store::prepare(session, newer).map(drop)).await?;
    }
    Ok(())
}

/// All rows of all projections as text, in the order of their keys.
///
/// # Errors
/// Those of the store.
pub async fn dump(store: &ReadStore) -> Result<Vec<String>, Error> {
    let tables = store.tables();
    store
        .read(move |session| {
            let mut rows = Vec::new();
            for live in tables.all(session)? {
                let name = live.definition.name;
                session.each(&live.shape.scan(), &[], &mut |row| {
                    let columns = 0..live.shape.columns.len();
                    let cells: Vec<_> =
                        columns.map(|column| row.cell(column).map(cell)).collect::<Result<_, _>>()?;
                    rows.push(format!("{name}: {}", cells.join(" | ")));
                    Ok(())
                })?;
            }
            rows.sort();
            Ok(rows)
        })
        .await
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => text.to_owned(),
        ValueRef::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
