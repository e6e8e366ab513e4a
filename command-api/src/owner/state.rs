//! What the records of a claimed partition come to: every stream, the first outcome of every command key, and what is
//! due. In memory as far as the limits go, and otherwise in the snapshots.
use domain::Aggregate;
use event_log::{AdmittedRecord, BoxError, Covering, Kind, Log, Position, PositionToken};
use event_schemas::{
    CommandKey, Event, Timestamp,
    catalogue::{CustomerEvent, MerchantEvent, PointsAccountEvent},
    record::{Answer, Body},
};
use uuid::Uuid;

use super::{
    answers::Recent,
    due::{DueQuery, DueStream},
    packed::PackError,
    partition::{First, StreamKey},
    snapshots::{Cover, Kept, Row, SnapshotError, Stored},
    stream::{Stream, outcome, stream_of},
    tiers::{Limits, Tiers},
    unsaved::Unsaved,
};
use crate::commands::Outcome;

/// State that should be known cannot be had. What follows from the log is read from the log again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("a packed state cannot be read")]
    Damaged(#[from] PackError),
    #[error("a record of the state cannot be read")]
    Log(#[from] event_log::Error),
    #[error("a record does not fit the state")]
    Unfit(#[source] BoxError),
}

/// What all records come to, those on their way too.
pub(crate) struct Folded {
    log: Log,
    partition: u16,
    recorded_at: Timestamp,
    /// How many streams there are, wherever they are kept.
    known: u64,
    tiers: Tiers,
    recent: Recent,
    unsaved: Unsaved,
    kept: Option<Kept>,
}

impl Folded {
    /// Before the first record; nothing is kept outside the memory.
    pub(super) fn new(log: Log, partition: u16, limits: Limits) -> Self {
        Self {
            log,
            partition,
            recorded_at: Timestamp::EPOCH,
            known: 0,
            tiers: Tiers::new(limits),
            recent: Recent::default(),
            unsaved: Unsaved::default(),
            kept: None,
        }
    }

    /// As the snapshots have it, or before the first record.
    pub(super) fn over(self, kept: Kept, cover: Option<&Cover>) -> Self {
        let (recorded_at, known) =
            cover.map_or((Timestamp::EPOCH, 0), |cover| (cover.recorded_at, cover.streams));
        Self { recorded_at, known, kept: Some(kept), ..self }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn partition(&self) -> u16 {
        self.partition
    }

    /// When the newest record was written, as far as records say it.
    pub(super) const fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// The time for the next record; never before the record ahead of it.
    pub(super) fn stamp(&mut self, now: Timestamp) -> Timestamp {
        self.recorded_at = self.recorded_at.max(now);
        self.recorded_at
    }

    /// Takes in one admitted record.
    pub(crate) async fn admit(&mut self, record: &AdmittedRecord) -> Result<(), StateError> {
        if matches!(record.frame.kind, Kind::Claim | Kind::Barrier) {
            return Ok(());
        }
        let body = Body::decode(&record.body).map_err(|error| StateError::Unfit(error.into()))?;
        let key = stream_of(record, &body);
        self.recorded_at = self.recorded_at.max(body.meta.recorded_at);
        self.wake(key).await?;
        self.before_change(key);
        let Some(stream) = self.tiers.live(key) else { return Ok(()) };
        self.known += u64::from(stream.is_unknown());
        stream.fold(key, &body, record.position).map_err(StateError::Unfit)?;
        let due = stream.due();
        self.unsaved.change(key, Uuid::from_bytes(record.frame.route), due, Some(record.position));
        if is_redacted(&body.answer) {
            self.unsaved.write_whole(key);
        }
        Ok(())
    }

    /// Makes a stream ready for commands: from its packed form, from the snapshots, or from nothing if it is unknown.
    pub(crate) async fn wake(&mut self, key: StreamKey) -> Result<(), StateError> {
        if self.tiers.wake(key)? {
            return Ok(());
        }
        let stream = match &self.kept {
            Some(kept) => self.load(key, kept.load(key).await?).await?,
            None => Stream::new(key),
        };
        self.tiers.insert(key, stream);
        Ok(())
    }

    /// What is stored of a stream, and the records that its row left to its tail.
    async fn load(&self, key: StreamKey, stored: Stored) -> Result<Stream, StateError> {
        let Stored { state, tail } = stored;
        let mut stream = match &state {
            Some(bytes) => Stream::unpack(bytes)?,
            None => Stream::new(key),
        };
        if state.is_some() || !tail.is_empty() {
            metrics::counter!("state_loads_total").increment(1);
        }
        stream.tail = tail.len();
        for position in tail {
            let (record, body) = self.read(position).await?;
            if stream_of(&record, &body) != key {
                return Err(StateError::Unfit("a record of another stream".into()));
            }
            stream.fold(key, &body, position).map_err(StateError::Unfit)?;
        }
        Ok(stream)
    }

    async fn read(&self, position: Position) -> Result<(AdmittedRecord, Body), StateError> {
        let record = self.log.record_at(self.partition, position).await?;
        let body = Body::decode(&record.body).map_err(|error| StateError::Unfit(error.into()))?;
        Ok((record, body))
    }

    /// Lets `look` see the aggregate of a stream that was woken; `false` if it is parked.
    pub(crate) fn see(&self, key: StreamKey, look: impl FnOnce(&Aggregate)) -> bool {
        match self.tiers.peek(key).map(|stream| &stream.aggregate) {
            Some(Some(aggregate)) => look(aggregate),
            Some(None) | None => return false,
        }
        true
    }

    /// The first outcome of a key in a stream that was woken. An old one is read again from its record.
    pub(crate) async fn first(
        &self,
        key: StreamKey,
        command: CommandKey,
    ) -> Result<Option<First>, StateError> {
        if let Some(first) = self.recent.get(key, command) {
            return Ok(Some(first.clone()));
        }
        let Some(stream) = self.tiers.peek(key) else { return Ok(None) };
        for position in stream.answers.candidates(command) {
            let (record, body) = self.read(position).await?;
            if body.meta.command == command && stream_of(&record, &body) == key {
                let at = PositionToken::new(self.log.id(), self.partition, position, record.head);
                let outcome = outcome(&body.answer).map_err(StateError::Unfit)?;
                return Ok(Some(First { outcome, at: Some(at) }));
            }
        }
        Ok(None)
    }

    /// Where the record of a key was admitted, if that was not long ago.
    pub(crate) fn place(&self, key: StreamKey, command: CommandKey) -> Option<PositionToken> {
        self.recent.get(key, command).and_then(|first| first.at)
    }

    /// Takes the aggregate out of a stream that was woken, with the number of its events; none if it is parked.
    pub(crate) fn take(&mut self, key: StreamKey) -> Option<(Aggregate, u64)> {
        self.before_change(key);
        let stream = self.tiers.live(key)?;
        let version = stream.version;
        stream.aggregate.take().map(|aggregate| (aggregate, version))
    }

    /// Takes an aggregate back as it was.
    pub(crate) fn give_back(&mut self, key: StreamKey, aggregate: Aggregate) {
        if let Some(stream) = self.tiers.live(key) {
            stream.aggregate = Some(aggregate);
        }
    }

    /// Takes an aggregate back with what a command came to, whose record is on its way.
    pub(crate) fn put_back(
        &mut self,
        key: StreamKey,
        route: Uuid,
        aggregate: Aggregate,
        events: usize,
        command: CommandKey,
        outcome: Outcome,
    ) {
        self.recent.insert(key, command, First { outcome, at: None });
        let Some(stream) = self.tiers.live(key) else { return };
        self.known += u64::from(stream.is_unknown());
        stream.aggregate = Some(aggregate);
        stream.version += events as u64;
        stream.in_flight += 1;
        let due = stream.due();
        self.unsaved.change(key, route, due, None);
    }

    /// Notes that the oldest record on its way is admitted; a barrier is nobody's.
    pub(crate) fn settle(&mut self, settled: Option<(StreamKey, CommandKey, PositionToken)>) {
        if let Some((key, command, at)) = settled {
            self.recent.settle(key, command, at);
            if let Some(stream) = self.tiers.live(key) {
                stream.settle(command, at.position());
            }
        }
        self.unsaved.settle(settled);
    }

    /// The streams that are due.
    pub(crate) async fn due(&self, query: &DueQuery) -> Result<Vec<DueStream>, StateError> {
        let mut found = self.unsaved.due(query);
        if let Some(kept) = &self.kept {
            let mut page = *query;
            let wanted = found.len() + query.limit;
            loop {
                let stored = kept.due(page).await?;
                let is_last = stored.len() < query.limit;
                page.after = stored.last().copied();
                found.extend(stored.into_iter().filter(|due| !self.unsaved.has(&StreamKey::of(due))));
                if is_last || found.len() >= wanted {
                    break;
                }
            }
            found.sort_unstable();
            found.truncate(query.limit);
        }
        Ok(found)
    }

    pub(crate) fn parked(&self) -> usize {
        self.tiers.parked()
    }
}

/// What saving needs. Without snapshots there is nothing to do.
impl Folded {
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    pub(super) fn unsaved_records(&self) -> usize {
        self.unsaved.records()
    }

    /// Whether the round has nothing more to wait for.
    pub(super) fn is_settled(&self) -> bool {
        self.unsaved.is_settled()
    }

    pub(super) fn begin_round(&mut self, in_flight: usize) {
        self.unsaved.begin(&self.tiers, in_flight);
    }

    /// A planted bug: as if nothing were on its way.
    #[cfg(test)]
    pub(super) fn await_nothing(&mut self) {
        self.unsaved.await_nothing();
    }

    /// Packs some streams of the round; `false` if there are more.
    pub(super) fn pack(&mut self, streams_max: usize) -> bool {
        self.unsaved.pack(&mut self.tiers, streams_max)
    }

    pub(super) fn rows(&mut self) -> Vec<Row> {
        self.unsaved.rows()
    }

    pub(super) fn cover(&self, covering: Covering) -> Cover {
        Cover { covering, recorded_at: self.recorded_at, streams: self.known }
    }

    pub(super) fn round_ended(&mut self, is_saved: bool) {
        if is_saved {
            self.unsaved.saved(&mut self.tiers);
        } else {
            self.unsaved.failed();
        }
    }

    /// Keeps to the limits of memory; `false` if that needs a round first.
    pub(super) fn cool(&mut self) -> bool {
        self.tiers.cool();
        let unsaved = &self.unsaved;
        self.kept.is_none() || self.tiers.evict(|key| !unsaved.has(key))
    }

    /// Streams that are decoded, packed, and only in the snapshots.
    pub(super) fn count(&self) -> (usize, usize, u64) {
        let (live, packed) = self.tiers.count();
        (live, packed, self.known.saturating_sub((live + packed) as u64))
    }

    /// Marks streams as changed, so that the next round writes them whole.
    pub(super) async fn renew(&mut self, key: StreamKey, route: Uuid) -> Result<(), StateError> {
        self.wake(key).await?;
        let Some(stream) = self.tiers.live(key).filter(|stream| !stream.is_unknown()) else { return Ok(()) };
        let due = stream.due();
        self.unsaved.change(key, route, due, None);
        self.unsaved.write_whole(key);
        Ok(())
    }

    /// Has the next round write the stream whole, because it forgot somebody.
    pub(crate) fn forget(&mut self, key: StreamKey) {
        self.unsaved.write_whole(key);
    }

    fn before_change(&mut self, key: StreamKey) {
        self.unsaved.before_change(&mut self.tiers, key);
    }
}

/// Whether the stream forgot somebody with these events: what was saved of it before must not stay.
pub(crate) fn forgets(events: &[Event]) -> bool {
    events.iter().any(|event| {
        matches!(
            event,
            Event::Customer(CustomerEvent::CustomerRedacted(_))
                | Event::PointsAccount(PointsAccountEvent::PointsAccountRedacted(_))
                | Event::Merchant(MerchantEvent::ShopRedacted(_))
        )
    })
}

fn is_redacted(answer: &Answer) -> bool {
    matches!(answer, Answer::Events(events) if forgets(events))
}
