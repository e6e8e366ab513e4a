//! One partition's way into the tables: lanes of projections that stand at the same place share a reader.
use std::{sync::Arc, time::Duration};

use event_log::{Checkpoint, Log, Position, Reader};
use tokio::sync::watch;

use crate::{
    Error, Progress, ReadStore,
    fold::{self, Batch, save_checkpoints},
    live::Live,
    parked, planted,
    recorded::items,
    session::Session,
};

/// The longest pause after a failure of the log or the store.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The first pause after a failure.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Follows one partition for all projections.
pub(crate) struct Partition {
    log: Log,
    store: ReadStore,
    progress: Progress,
    lanes: Vec<Lane>,
    /// Other tables may be served since the lanes were made.
    moved: watch::Receiver<()>,
    number: u16,
    batch_records_max: usize,
}

/// Projections with equal checkpoints, the reader that stands there, and what it read but could not write yet.
struct Lane {
    reader: Reader,
    /// Places in the registry.
    members: Vec<usize>,
    unwritten: Option<Arc<Batch>>,
    /// Where the log ended, as far as was known, before reads that have not come there yet.
    aim: Position,
    /// How many reads in a row those are.
    short_reads: u32,
}

/// This many reads in a row that do not come to where the log ended before them mean that the lane is far behind, however
/// many records each gave: large ones are few at a time.
const SHORT_READS_BEHIND: u32 = 2;

impl Partition {
    /// Stands every projection at its own checkpoint.
    pub(crate) async fn open(
        log: &Log,
        store: &ReadStore,
        progress: &Progress,
        number: u16,
        batch_records_max: usize,
    ) -> Result<Self, Error> {
        let (moved, lanes) = (store.moved(), Vec::new());
        let (log, store, progress) = (log.clone(), store.clone(), progress.clone());
        let mut partition = Self { log, store, progress, lanes, moved, number, batch_records_max };
        partition.stand().await?;
        Ok(partition)
    }

    /// Makes the lanes anew from where the served tables stand.
    async fn stand(&mut self) -> Result<(), Error> {
        let mut lanes: Vec<Lane> = Vec::new();
        for (member, stored) in standing(&self.store, self.number).await?.into_iter().enumerate() {
            let checkpoint = stored.checkpoint;
            self.progress.set_reached(self.number, &[member], checkpoint.as_ref());
            self.progress.set_parked(member, stored.parked);
            let reader = self.log.reader(self.number, checkpoint)?;
            match lanes.iter_mut().find(|lane| lane.reader.checkpoint() == reader.checkpoint()) {
                Some(lane) => lane.members.push(member),
                None => lanes.push(Lane::new(reader, member)),
            }
        }
        self.lanes = lanes;
        Ok(())
    }

    /// Follows the partition until it must stop for good, and returns why. What may pass is tried again.
    pub(crate) async fn follow(mut self) -> Error {
        let mut pause = BACKOFF_MIN;
        loop {
            match self.advance().await {
                Ok(()) => pause = BACKOFF_MIN,
                Err(error) if error.may_pass() => {
                    self.progress.set_failing(self.number, Some(crate::error::chain(&error)));
                    tracing::warn!(
                        log.partition = self.number,
                        "Projections of partition {} failed and try again: {}",
                        self.number,
                        crate::error::chain(&error)
                    );
                    tokio::time::sleep(pause).await;
                    pause = BACKOFF_MAX.min(pause.saturating_mul(2));
                }
                Err(error) => return error,
            }
        }
    }

    /// Steps, or waits for news if there is nothing to do. A store that lost its last commits is told them again.
    async fn advance(&mut self) -> Result<(), Error> {
        match self.step().await {
            Ok(false) => self.changed().await,
            Err(Error::Moved { .. }) if self.store_is_behind().await? => self.stand().await,
            stepped => stepped.map(drop),
        }
    }

    /// Whether no table stands further than its lane, as in a standby that took over; further on, another program folds.
    async fn store_is_behind(&self) -> Result<bool, Error> {
        let standing = standing(&self.store, self.number).await?;
        let is_behind = |lane: &Lane, member: &usize| {
            let stored = standing.get(*member).and_then(|stored| stored.checkpoint.as_ref());
            stored.is_none_or(|stored| stored.position <= lane.stands_at())
        };
        Ok(self.lanes.iter().all(|lane| lane.members.iter().all(|member| is_behind(lane, member))))
    }

    /// Folds the next batch of every lane; false if none had any. Lanes that met become one.
    pub(crate) async fn step(&mut self) -> Result<bool, Error> {
        let mut any = false;
        let store = self.store.clone();
        // As long as this is held, what is served stays served.
        let turn = store.fold_turn().await;
        if self.moved.has_changed().unwrap_or(false) {
            self.stand().await?;
            self.moved.mark_unchanged();
        }
        for lane in &mut self.lanes {
            let end = self.log.end(self.number);
            any |= lane.step(&self.store, &self.progress, end, self.batch_records_max).await?;
        }
        drop(turn);
        if self.lanes.len() > 1 {
            self.merge();
        }
        self.progress.set_keeps_up(self.number, self.lanes.iter().all(Lane::keeps_up));
        self.progress.set_failing(self.number, None);
        Ok(any)
    }

    fn merge(&mut self) {
        let mut merged: Vec<Lane> = Vec::with_capacity(self.lanes.len());
        for lane in self.lanes.drain(..) {
            match merged.iter_mut().find(|other| other.reader.checkpoint() == lane.reader.checkpoint()) {
                Some(other) => other.members.extend(lane.members),
                None => merged.push(lane),
            }
        }
        self.lanes = merged;
    }

    /// All lanes are at the end, so the first one's news is everybody's; or other tables are served.
    async fn changed(&mut self) -> Result<(), Error> {
        // A receiver of its own leaves the news for the next step.
        let mut moved = self.moved.clone();
        let Some(lane) = self.lanes.first_mut() else { return std::future::pending().await };
        tokio::select! {
            changed = lane.reader.changed() => Ok(changed?),
            _ = moved.changed() => Ok(()),
        }
    }
}

impl Lane {
    fn new(reader: Reader, member: usize) -> Self {
        Self { reader, members: vec![member], unwritten: None, aim: Position::START, short_reads: 0 }
    }

    /// What it knows to be written.
    fn stands_at(&self) -> Position {
        self.unwritten.as_ref().map_or_else(|| self.reader.checkpoint().position, |batch| batch.from.position)
    }

    const fn keeps_up(&self) -> bool {
        self.short_reads < SHORT_READS_BEHIND
    }

    async fn step(
        &mut self,
        store: &ReadStore,
        progress: &Progress,
        end: Position,
        records_max: usize,
    ) -> Result<bool, Error> {
        let batch = match self.unwritten.take() {
            Some(batch) => batch,
            None => match self.read(end, records_max).await? {
                Some(batch) => Arc::new(batch),
                None => {
                    let (at, read) = (self.reader.checkpoint(), self.reader.read_position());
                    progress.note_nothing_between(at.partition, at.position, read);
                    return Ok(false);
                }
            },
        };
        self.unwritten = Some(Arc::clone(&batch));
        let folded = store.together().fold(store, &self.members, &batch).await?;
        if planted::is_apart(&batch) {
            planted::hold_at("checkpoint").await;
            let (tables, members, to) = (store.tables(), self.members.clone(), batch.to);
            let save = move |session: &dyn Session| {
                Ok(save_checkpoints(session, &tables.at(session, &members)?, &to)?)
            };
            let saved = store.write(save).await;
            if saved.is_err() {
                planted::hold_at("checkpoint:failed").await;
            }
            saved?;
        }
        self.unwritten = None;
        for (member, parked) in self.members.iter().zip(folded) {
            progress.set_parked(*member, parked);
        }
        let events = batch.events();
        metrics::counter!("projection_events_total").increment(u64::try_from(events).unwrap_or(u64::MAX));
        progress.set_reached(batch.to.partition, &self.members, Some(&batch.to));
        Ok(true)
    }

    /// The next batch of a log that was known to end there.
    async fn read(&mut self, end: Position, records_max: usize) -> Result<Option<Batch>, Error> {
        let from = self.reader.checkpoint();
        if self.short_reads == 0 {
            self.aim = end;
        }
        let read = self.reader.next(records_max).await?;
        let is_short = !read.records.is_empty() && self.reader.position() < self.aim;
        self.short_reads = if is_short { self.short_reads.saturating_add(1) } else { 0 };
        if read.records.is_empty() {
            return Ok(None);
        }
        let records = read
            .records
            .into_iter()
            .map(|record| {
                let items = items(&record).map_err(|source| Error::Unreadable {
                    partition: record.partition,
                    position: record.position,
                    source,
                })?;
                Ok((record, items))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Some(Batch { records, from, to: self.reader.checkpoint() }))
    }
}

/// A served table in one partition.
struct Standing {
    checkpoint: Option<Checkpoint>,
    parked: u64,
}

/// Asked where everything is written, behind all that is on its way.
async fn standing(store: &ReadStore, partition: u16) -> Result<Vec<Standing>, Error> {
    let tables = store.tables();
    let look = move |session: &dyn Session| {
        let (all, counts) = (tables.all(session)?, parked::counts(session)?);
        let stored = fold::Standing::look(session, partition)?;
        let look = |live: &Arc<Live>| {
            let parked = counts.get(&live.parked_as).copied().unwrap_or_default();
            Ok(Standing { checkpoint: stored.checkpoint(live)?, parked })
        };
        all.iter().map(look).collect()
    };
    store.look_behind(look).await
}

#[cfg(test)]
mod tests {
    use event_log::{Class, NewRecord};
    use event_schemas::{
        MerchantId,
        record::{Actor, Answer},
    };
    use uuid::Uuid;

    use super::*;
    use crate::testing::{History, Stream};

    /// A log gives 2,000 records at once at most, whatever is asked for, as one of large records gives even fewer.
    /// Catches: a lane that is behind only if it gets as many records as it asks for.
    #[tokio::test]
    async fn a_lane_is_behind_as_long_as_it_does_not_come_to_the_end_however_little_it_reads_at_once() {
        let log = event_log::memory::init(1, Class::Conditional);
        let mut history = History::start(log.clone()).await;
        let merchant = MerchantId(Uuid::now_v7());
        for _ in 0..4_000 {
            let (actor, answer) = (Actor::System, Answer::Unchanged);
            history.append_outcome(merchant, Stream::merchant(merchant), actor, answer).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let store = ReadStore::open(&folder.path().join("read.db")).await.unwrap();
        let progress = Progress::new(log.clone(), crate::all().iter().map(|line| line.name).collect());
        let mut partition = Partition::open(&log, &store, &progress, 0, 100_000).await.unwrap();
        let mut kept_up = Vec::new();
        while partition.step().await.unwrap() {
            kept_up.push(progress.keeps_up(0));
        }
        assert_eq!(kept_up, [true, false, true]);
        assert_eq!(progress.caught_up_to(0), log.end(0));
    }

    /// Catches: positions of what is folded alone, so that a queue is never done and each question waits in vain.
    #[tokio::test]
    async fn a_late_record_of_a_former_owner_at_the_end_is_nothing_to_wait_for() {
        let log = event_log::memory::init(1, Class::Open);
        let mut former = log.claim(0, |_| Ok(())).await.unwrap();
        let owner = log.claim(0, |_| Ok(())).await.unwrap();
        former.append(NewRecord::barrier(0)).unwrap().await.unwrap_err();
        let folder = tempfile::tempdir().unwrap();
        let store = ReadStore::open(&folder.path().join("read.db")).await.unwrap();
        let progress = Progress::new(log.clone(), crate::all().iter().map(|line| line.name).collect());
        let mut partition = Partition::open(&log, &store, &progress, 0, 100).await.unwrap();
        while partition.step().await.unwrap() {}
        assert!(log.end(0) > owner.claimed().position);
        assert_eq!(progress.token(0).position(), owner.claimed().position);
        assert!(progress.wait_for(0, log.end(0), Duration::ZERO).await);
        assert!(progress.report().iter().all(|report| report.lag_events == 0));
        drop(owner);
        log.claim(0, |_| Ok(())).await.unwrap();
        assert!(!progress.wait_for(0, log.end(0), Duration::ZERO).await);
    }
}
