//! Reads one partition, admits record by record, and stops for good when the history is not the one it read before.

use bytes::Bytes;
use tracing::error;

use crate::{
    admit::{Admission, State, admit},
    backend::{Fetched, Last, StoreHead, Stored, Tail},
    checkpoint::Checkpoint,
    error::{Diverged, Error, Reason},
    frame::{Frame, Record, hash_of},
    genesis::{Class, Genesis},
    hash::Hash,
    ids::Position,
    mutation::{Mutation, planted},
};

/// The most records that one fetch returns, whatever is asked for.
pub const FETCH_RECORDS_MAX: usize = 2_000;

/// A record that is history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdmittedRecord {
    /// The partition it is in.
    pub partition: u16,
    /// Where it stands.
    pub position: Position,
    /// Its fixed head.
    pub frame: Frame,
    /// What follows the frame.
    pub body: Bytes,
    /// Its hash.
    pub hash: Hash,
    /// How many records are admitted with it; for a claim the frame only says what its writer expected.
    pub height: u64,
    /// The head of the chain after it.
    pub head: Hash,
}

/// What one call to [`Reader::next`] found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// Admitted records in order; none at the end of the partition.
    pub records: Vec<AdmittedRecord>,
    /// What was skipped between and behind them.
    pub skipped: Skipped,
}

/// How many records were read and are not history. Always zero on conditional stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Skipped {
    /// Of an older term, or duplicates.
    pub stale: u64,
    /// Behind a gap in their term.
    pub orphans: u64,
    /// Not records at all.
    pub undecodable: u64,
}

/// Reads one partition from a checkpoint on.
pub struct Reader {
    genesis: Genesis,
    partition: u16,
    tail: Box<dyn Tail>,
    progress: Progress,
    stopped: Option<Diverged>,
}

/// What changes from fetch to fetch, as a whole or not at all.
#[derive(Clone, Copy)]
struct Progress {
    checkpoint: Checkpoint,
    /// The last record *read*, skipped or not; it must still be there at the next fetch.
    read_position: Position,
    read_hash: Hash,
    skipped: Skipped,
}

impl Reader {
    pub(crate) fn new(genesis: Genesis, tail: Box<dyn Tail>, from: Checkpoint) -> Self {
        let progress = Progress {
            checkpoint: from,
            read_position: from.position,
            read_hash: from.hash,
            skipped: Skipped::default(),
        };
        Self { genesis, partition: from.partition, tail, progress, stopped: None }
    }

    /// The next records, at least one unless the end is reached, at most `max_records` or [`FETCH_RECORDS_MAX`].
    ///
    /// A fetch that finds another history returns none of its records. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Diverged`], from then on for ever; [`Error::Storage`], which may pass.
    pub async fn next(&mut self, max_records: usize) -> Result<Batch, Error> {
        let skipped_before = self.progress.skipped;
        loop {
            if let Some(diverged) = self.stopped {
                return Err(diverged.into());
            }
            let max_records = max_records.clamp(1, FETCH_RECORDS_MAX);
            let fetched = self.tail.fetch(self.progress.read_position, max_records).await?;
            let (at_end, all_read) = (fetched.records.is_empty(), fetched.records.len() < max_records);
            let mut progress = self.progress;
            let records = progress.take(&self.genesis, fetched, all_read);
            let records = records.map_err(|diverged| self.stop(diverged))?;
            self.progress = progress;
            if at_end || !records.is_empty() {
                return Ok(Batch { records, skipped: self.progress.skipped.since(skipped_before) });
            }
        }
    }

    /// Returns when there may be more behind what was read; at once if there is. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Diverged`] after the reader stopped; [`Error::Storage`], which may pass.
    pub async fn changed(&mut self) -> Result<(), Error> {
        match self.stopped {
            Some(diverged) => Err(diverged.into()),
            None => Ok(self.tail.changed(self.progress.read_position).await?),
        }
    }

    /// Where to resume: after the last admitted record.
    pub fn checkpoint(&self) -> Checkpoint {
        self.progress.checkpoint
    }

    /// Position of the last admitted record.
    pub fn position(&self) -> Position {
        self.progress.checkpoint.position
    }

    /// What was skipped since the reader was made.
    pub fn skipped(&self) -> Skipped {
        self.progress.skipped
    }

    /// Stops for good; also for what only the reader's user can see.
    pub(crate) fn stop(&mut self, diverged: Diverged) -> Diverged {
        error!(
            log.id = %self.genesis.log_id,
            log.partition = self.partition,
            log.position = diverged.position.get(),
            "Stopped reading partition {} of log {}: {diverged}", self.partition, self.genesis.log_id,
        );
        self.stopped = Some(diverged);
        diverged
    }
}

impl Progress {
    fn take(
        &mut self,
        genesis: &Genesis,
        fetched: Fetched,
        all_read: bool,
    ) -> Result<Vec<AdmittedRecord>, Diverged> {
        let partition = self.checkpoint.partition;
        self.recheck(&fetched.last).map_err(|reason| reason.at(partition, self.read_position))?;
        let mut records = Vec::with_capacity(fetched.records.len());
        for stored in fetched.records {
            let position = stored.position;
            let admitted = self.read(genesis, stored).map_err(|reason| reason.at(partition, position))?;
            records.extend(admitted);
        }
        let keeps_head = genesis.class == Class::Conditional;
        if keeps_head && all_read && fetched.head != Some(StoreHead::from(&self.checkpoint.state)) {
            return Err(Reason::StoreHead.at(partition, self.read_position));
        }
        Ok(records)
    }

    fn recheck(&self, last: &Last) -> Result<(), Reason> {
        if self.read_position == Position::START || planted(Mutation::SkipRecheck) {
            return Ok(());
        }
        match last {
            Last::Unbroken => Ok(()),
            Last::Bytes(bytes) if hash_of(bytes) == self.read_hash => Ok(()),
            Last::Bytes(_) => Err(Reason::LastReadChanged),
            Last::Absent => Err(Reason::LastReadGone),
        }
    }

    fn read(&mut self, genesis: &Genesis, stored: Stored) -> Result<Option<AdmittedRecord>, Reason> {
        let Stored { position, bytes } = stored;
        if position <= self.read_position {
            return Err(Reason::OutOfOrder);
        }
        self.read_position = position;
        let Ok(record) = Record::decode(bytes.clone()) else {
            return self.skip_undecodable(&bytes);
        };
        self.read_hash = record.hash;
        match admit(&mut self.checkpoint.state, &record) {
            Admission::Admitted => self.admitted(genesis, position, &record).map(Some),
            Admission::Stale => {
                self.skipped.stale += 1;
                Ok(None)
            }
            Admission::Orphan => {
                self.skipped.orphans += 1;
                Ok(None)
            }
            Admission::Diverged(reason) => Err(reason),
        }
    }

    fn skip_undecodable(&mut self, bytes: &[u8]) -> Result<Option<AdmittedRecord>, Reason> {
        if self.checkpoint.state.class == Class::Conditional {
            return Err(Reason::Undecodable);
        }
        error!(
            log.partition = self.checkpoint.partition,
            log.position = self.read_position.get(),
            "Skipped undecodable bytes in partition {} at position {}",
            self.checkpoint.partition,
            self.read_position,
        );
        self.read_hash = hash_of(bytes);
        self.skipped.undecodable += 1;
        Ok(None)
    }

    fn admitted(
        &mut self,
        genesis: &Genesis,
        position: Position,
        record: &Record,
    ) -> Result<AdmittedRecord, Reason> {
        let partition = self.checkpoint.partition;
        let Record { frame, hash, .. } = *record;
        if frame.kind.is_routed() && genesis.partition_of(frame.merchant, frame.route) != partition {
            return Err(Reason::Misrouted);
        }
        self.checkpoint.position = position;
        self.checkpoint.hash = hash;
        let State { height, head, .. } = self.checkpoint.state;
        Ok(AdmittedRecord { partition, position, frame, body: record.body(), hash, height, head })
    }
}

impl Skipped {
    fn since(self, before: Self) -> Self {
        Self {
            stale: self.stale - before.stale,
            orphans: self.orphans - before.orphans,
            undecodable: self.undecodable - before.undecodable,
        }
    }
}
