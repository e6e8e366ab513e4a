//! One walk over all partitions: chains, bodies, versions, times, ledgers, and what others remember of them.
use std::collections::{HashMap, HashSet};

use event_log::{
    AdmittedRecord, Checkpoint, Error as LogError, FETCH_RECORDS_MAX, Kind, Log, LogId, MerchantHeads,
    Position, Skipped, Span, Sweeper,
};
use event_schemas::{
    CustomerId, Event, MerchantId, RequestId, StreamType, Timestamp,
    record::{Answer, Body, Meta},
};

use super::{
    Check, Counted, Error, Fault, between::Between, chain, claims::Claims, erasures::Erasures,
    ledger::Account, losses,
};
use crate::progress::Progress;

/// Why the walk ended early.
pub(super) enum Stop {
    Fault(Fault),
    Error(Error),
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        Self::Error(error.into())
    }
}

/// What is wrong with one record.
#[derive(Debug)]
struct Flaw(Check, String);

/// The highest key count that a record saw, and where.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) key_count: u64,
    pub(super) partition: Option<u16>,
    pub(super) position: Option<Position>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct StreamKey {
    merchant: [u8; 16],
    stream_type: StreamType,
    id: [u8; 16],
}

struct Stream {
    version: u64,
    route: [u8; 16],
}

/// An account with its newest record.
#[derive(Default)]
struct Held {
    account: Account,
    partition: u16,
    position: Position,
}

/// All that the records read so far come to.
pub(super) struct History {
    counted: Counted,
    merchants: HashSet<[u8; 16]>,
    streams: HashMap<StreamKey, Stream>,
    accounts: HashMap<StreamKey, Held>,
    between: Between,
    erasures: Erasures,
    heights: Vec<u64>,
    seen: Seen,
    /// What is no fault, but worth knowing.
    notes: Vec<String>,
}

/// What is followed within one partition.
struct Following<'a> {
    log: LogId,
    heads: MerchantHeads,
    claims: Claims,
    recorded_at: Timestamp,
    remembered: &'a [Checkpoint],
    /// Where the store said that the partition ends, and whether a record was there.
    end: Position,
    ended: bool,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            counted: Counted::default(),
            merchants: HashSet::new(),
            streams: HashMap::new(),
            accounts: HashMap::new(),
            between: Between::default(),
            erasures: Erasures::default(),
            heights: Vec::new(),
            seen: Seen::default(),
            notes: Vec::new(),
        }
    }

    /// What is no fault, but worth knowing.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn counted(&self) -> Counted {
        Counted {
            streams: self.streams.len() as u64,
            accounts: self.accounts.len() as u64,
            merchants: self.merchants.len() as u64,
            ..self.counted
        }
    }

    pub(super) fn highest_key_count(&self) -> Seen {
        self.seen
    }

    /// How many records the partition had.
    pub(super) fn height(&self, partition: u16) -> u64 {
        self.heights.get(usize::from(partition)).copied().unwrap_or(0)
    }

    /// Reads all partitions to their ends, in one pass; `remembered` is by partition. A batch that diverges is read again
    /// record by record, so that what is wrong with a record before the break is found first.
    pub(super) async fn read(
        &mut self,
        log: &Log,
        remembered: &[Vec<Checkpoint>],
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        let (mut sweeper, mut step) = (log.sweep(&[])?, FETCH_RECORDS_MAX);
        // By the sweeper before, if a batch diverged.
        let mut skipped_before = Skipped::default();
        let mut following = Vec::new();
        for (begin, remembered) in sweeper.checkpoints().zip(remembered) {
            following.push(Following::begin(log, begin, remembered)?);
        }
        loop {
            let read = sweeper.next(step).await;
            let Skipped { stale, orphans, undecodable } = skipped_before.and(sweeper.skipped());
            self.counted = Counted { stale, orphans, undecodable, ..self.counted };
            let records = match read {
                Ok(batch) => batch.records,
                Err(LogError::Diverged(_)) if step > 1 => {
                    skipped_before = sweeper.skipped_before_checkpoints();
                    let resumed: Vec<_> = sweeper.checkpoints().map(|from| Span::behind(*from)).collect();
                    (sweeper, step) = (log.sweep(&resumed)?, 1);
                    continue;
                }
                Err(LogError::Diverged(found)) => {
                    return Err(fault(
                        Check::Chain,
                        found.partition,
                        found.position,
                        found.reason.to_string(),
                    ));
                }
                Err(error) if is_damage(&error) => return Err(damaged(&sweeper, &error)),
                Err(error) => return Err(error.into()),
            };
            if records.is_empty() {
                break;
            }
            for record in &records {
                let taken = self.take(&mut following[usize::from(record.partition)], record);
                taken
                    .map_err(|Flaw(check, reason)| fault(check, record.partition, record.position, reason))?;
            }
            progress.advance(records.len() as u64);
        }
        for (following, end) in following.iter().zip(sweeper.checkpoints()) {
            following.check_end(end)?;
            self.notes.extend(following.claims.notes());
            self.heights.push(end.state.height);
        }
        self.notes.extend(self.erasures.notes());
        Ok(())
    }

    /// Checks what can only be said of an account at the end of its history.
    pub(super) fn close(&self) -> Result<(), Stop> {
        let breach = |held: &Held| {
            let (check, reason) = held.account.close().err()?;
            let (partition, position) = (Some(held.partition), Some(held.position));
            Some(Fault { check, partition, position, reason })
        };
        let breaches = self.accounts.values().filter_map(breach);
        let first = breaches.min_by_key(|fault| (fault.partition, fault.position));
        first.map_or(Ok(()), |fault| Err(Stop::Fault(fault)))
    }

    fn take(&mut self, following: &mut Following<'_>, record: &AdmittedRecord) -> Result<(), Flaw> {
        self.counted.records += 1;
        following.ended |= record.position == following.end;
        following.compare(record)?;
        following.claims.take(record);
        self.notes.extend(losses::declared(record));
        let followed = following.heads.follow(&record.frame, record.hash);
        followed.map_err(|reason| Flaw(Check::MerchantChain, reason.to_string()))?;
        if record.frame.key_count > self.seen.key_count {
            let (partition, position) = (Some(record.partition), Some(record.position));
            self.seen = Seen { key_count: record.frame.key_count, partition, position };
        }
        if matches!(record.frame.kind, Kind::Claim | Kind::Barrier) {
            return Ok(());
        }
        self.merchants.insert(record.frame.merchant);
        let Body { meta, answer } =
            Body::decode(&record.body).map_err(|error| Flaw(Check::Body, chain(&error)))?;
        let events = events(record.frame.kind, &meta, answer)?;
        following.time(&meta)?;
        let key = StreamKey {
            merchant: record.frame.merchant,
            stream_type: meta.stream_type,
            id: record.frame.stream,
        };
        self.extend(key, record.frame.route, meta.first_version, events.len() as u64)?;
        self.counted.events += events.len() as u64;
        self.counted.outcomes += u64::from(events.is_empty());
        let merchant = MerchantId::from_bytes(record.frame.merchant);
        for event in &events {
            if let Event::PrivacyRequest(event) = event {
                let request = RequestId::from_bytes(record.frame.stream);
                let taken = self.erasures.take(following.log, merchant, request, event);
                taken.map_err(|reason| Flaw(Check::Erasure, reason))?;
            }
            let Event::PointsAccount(event) = event else { continue };
            let held = self.accounts.entry(key).or_default();
            (held.partition, held.position) = (record.partition, record.position);
            held.account.take(event).map_err(|(check, reason)| Flaw(check, reason))?;
            let whose = CustomerId::from_bytes(record.frame.stream);
            let between = self.between.take(record.frame.merchant, whose, event);
            between.map_err(|reason| Flaw(Check::Between, reason))?;
        }
        Ok(())
    }

    /// A stream that showed up in a second partition would have begun anew there, under another route.
    fn extend(&mut self, key: StreamKey, route: [u8; 16], first: u64, events: u64) -> Result<(), Flaw> {
        let flaw = |reason| Err(Flaw(Check::StreamVersion, reason));
        let stream = self.streams.entry(key).or_insert(Stream { version: 0, route });
        if stream.route != route {
            return flaw("the stream's records before it have another route".to_owned());
        }
        if stream.version.checked_add(1) != Some(first) {
            let have = stream.version;
            return flaw(format!(
                "the stream has {have} events, and the record says that it goes on with {first}"
            ));
        }
        stream.version += events;
        Ok(())
    }
}

impl<'a> Following<'a> {
    fn begin(log: &Log, begin: &Checkpoint, remembered: &'a [Checkpoint]) -> Result<Self, Stop> {
        let partition = begin.partition;
        if let Some(foreign) = remembered.iter().find(|checkpoint| checkpoint.log_id != log.id()) {
            let reason = "the read models stand in another log".to_owned();
            return Err(fault(Check::Checkpoint, partition, foreign.position, reason));
        }
        let (end, heads) = (log.end(partition), MerchantHeads::default());
        let (claims, ended) = (Claims::behind(begin), end == Position::START);
        let log = log.id();
        Ok(Self { log, heads, claims, recorded_at: Timestamp::EPOCH, remembered, end, ended })
    }

    /// Whoever remembers this record must remember it as it is.
    fn compare(&self, record: &AdmittedRecord) -> Result<(), Flaw> {
        let mut here = self.remembered.iter().filter(|checkpoint| checkpoint.state.height == record.height);
        let same = here.all(|checkpoint| {
            (checkpoint.position, checkpoint.hash, checkpoint.state.head)
                == (record.position, record.hash, record.head)
        });
        if same {
            return Ok(());
        }
        Err(Flaw(Check::Checkpoint, "the read models remember another record here".to_owned()))
    }

    fn check_end(&self, read: &Checkpoint) -> Result<(), Stop> {
        let height = read.state.height;
        let beyond = self.remembered.iter().filter(|checkpoint| checkpoint.state.height > height);
        if let Some(checkpoint) = beyond.min_by_key(|checkpoint| checkpoint.position) {
            let remembered = checkpoint.state.height;
            let reason = format!(
                "the read models remember {remembered} records up to here, the log has {height} left"
            );
            return Err(fault(Check::Checkpoint, read.partition, checkpoint.position, reason));
        }
        if !self.ended {
            let reason = "the store says that the partition ends here, where it has no record".to_owned();
            return Err(fault(Check::Chain, read.partition, self.end, reason));
        }
        Ok(())
    }

    fn time(&mut self, meta: &Meta) -> Result<(), Flaw> {
        let flaw = |reason: &str| Err(Flaw(Check::Time, reason.to_owned()));
        if meta.recorded_at < self.recorded_at {
            return flaw("it was recorded before the record ahead of it");
        }
        if meta.occurred_at > meta.recorded_at {
            return flaw("it happened after it was recorded");
        }
        self.recorded_at = meta.recorded_at;
        Ok(())
    }
}

fn fault(check: Check, partition: u16, position: Position, reason: String) -> Stop {
    Stop::Fault(Fault { check, partition: Some(partition), position: Some(position), reason })
}

/// Which partition the unreadable place belongs to can be read nowhere.
fn damaged(sweeper: &Sweeper, error: &LogError) -> Stop {
    let position = sweeper.checkpoints().map(|checkpoint| checkpoint.position).max();
    let reason = format!("what is behind this position cannot be read: {}", chain(error));
    Stop::Fault(Fault { check: Check::Chain, partition: None, position, reason })
}

/// The events of an answer that fits the record's kind.
fn events(kind: Kind, meta: &Meta, answer: Answer) -> Result<Vec<Event>, Flaw> {
    let flaw = |reason: String| Err(Flaw(Check::Body, reason));
    match (kind, answer) {
        (Kind::Commit, Answer::Events(events)) => {
            match events.iter().find(|event| event.stream_type() != meta.stream_type) {
                None => Ok(events),
                Some(event) => {
                    let (event, stream) = (event.name(), meta.stream_type.name());
                    flaw(format!("an event {event} stands in a stream of type {stream}"))
                }
            }
        }
        (Kind::Outcome, Answer::Unchanged) => Ok(Vec::new()),
        (Kind::Outcome, Answer::Rejected(json)) => match serde_json::from_str::<domain::Rejection>(&json) {
            Ok(_) => Ok(Vec::new()),
            Err(error) => flaw(format!("the rejection cannot be read (column {})", error.column())),
        },
        (_, Answer::Events(_)) => flaw("a record without events holds events".to_owned()),
        (_, Answer::Rejected(_) | Answer::Unchanged) => flaw("a commit holds no events".to_owned()),
    }
}

/// The file itself is damaged, as opposed to a disk or a neighbour that is in the way for now.
pub(super) fn is_damage(error: &LogError) -> bool {
    let LogError::Storage(fault) = error else { return false };
    let Some(error) = fault.source.downcast_ref::<rusqlite::Error>() else { return false };
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
        }
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        _ => false,
    }
}
