//! Reads one partition, admits record by record, and stops for good when the history is not the one it read before.

use std::mem;

use bytes::Bytes;

use crate::{
    backend::Tail,
    checkpoint::Checkpoint,
    error::{Diverged, Error},
    frame::Frame,
    genesis::Genesis,
    hash::Hash,
    ids::Position,
    missing::{Mark, Missing},
    progress::{Progress, told},
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
    tail: Box<dyn Tail>,
    progress: Progress,
    stopped: Option<Diverged>,
    missing: Missing,
    /// While it stands behind a hole.
    hole: Option<Mark>,
    /// What of the skipped records a call returned; one that was cancelled did not.
    skipped_told: Skipped,
}

impl Reader {
    pub(crate) fn new(genesis: Genesis, tail: Box<dyn Tail>, from: Checkpoint, missing: Missing) -> Self {
        let progress = Progress::new(from);
        Self { genesis, tail, progress, stopped: None, missing, hole: None, skipped_told: progress.skipped }
    }

    /// The next records, at least one unless the end is reached, at most `max_records` or [`FETCH_RECORDS_MAX`].
    ///
    /// A fetch that finds another history returns none of its records. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Diverged`], from then on for ever; [`Error::Storage`], which may pass.
    pub async fn next(&mut self, max_records: usize) -> Result<Batch, Error> {
        loop {
            if let Some(diverged) = self.stopped {
                return Err(diverged.into());
            }
            let max_records = max_records.clamp(1, FETCH_RECORDS_MAX);
            let fetched = self.tail.fetch(self.progress.read_position, max_records).await?;
            let at_end = fetched.records.is_empty();
            let all_read = at_end || fetched.head.is_some();
            let mut progress = self.progress;
            let records = progress.take(&self.genesis, fetched, all_read);
            let records = records.map_err(|diverged| self.stop(diverged))?;
            self.progress = progress;
            self.hole = match (self.progress.orphaned_at, self.hole.take()) {
                (Some(position), None) => {
                    Some(self.missing.mark(self.progress.checkpoint.partition, position))
                }
                (orphaned, hole) => hole.filter(|_| orphaned.is_some()),
            };
            if at_end || !records.is_empty() {
                let told = mem::replace(&mut self.skipped_told, self.progress.skipped);
                return Ok(Batch { records, skipped: self.progress.skipped.since(told) });
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

    /// Position of the last record read, which may have been skipped.
    pub fn read_position(&self) -> Position {
        self.progress.read_position
    }

    /// What was skipped since the reader was made.
    pub fn skipped(&self) -> Skipped {
        self.progress.skipped
    }

    /// Stops for good; also for what only the reader's user can see.
    pub(crate) fn stop(&mut self, diverged: Diverged) -> Diverged {
        told(&self.genesis, diverged);
        self.stopped = Some(diverged);
        diverged
    }
}

impl Skipped {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            stale: self.stale + other.stale,
            orphans: self.orphans + other.orphans,
            undecodable: self.undecodable + other.undecodable,
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            stale: self.stale - before.stale,
            orphans: self.orphans - before.orphans,
            undecodable: self.undecodable - before.undecodable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        future::pending,
        pin::pin,
        task::{Context, Waker},
    };

    use async_trait::async_trait;

    use super::*;
    use crate::{
        backend::{Fetched, Last, Stored},
        error::Fault,
        genesis::Class,
        memory,
    };

    /// Gives a message that is no record, stands still once, and has no more.
    struct Halting(VecDeque<Option<Fetched>>);

    #[async_trait]
    impl Tail for Halting {
        async fn fetch(&mut self, _: Position, _: usize) -> Result<Fetched, Fault> {
            match self.0.pop_front() {
                Some(Some(fetched)) => Ok(fetched),
                Some(None) => pending().await,
                None => Ok(Fetched { last: Last::Unbroken, records: Vec::new(), head: None }),
            }
        }

        async fn changed(&mut self, _: Position) -> Result<(), Fault> {
            Ok(())
        }
    }

    /// With a call that counts from where it began itself this was seen to fail.
    #[tokio::test]
    async fn what_a_cancelled_call_skipped_is_told_by_the_next() {
        let log = memory::init(1, Class::Open);
        let foreign = Stored { position: Position::new(1), bytes: Bytes::new() };
        let fetched = Fetched { last: Last::Unbroken, records: vec![foreign], head: None };
        let tail = Box::new(Halting([Some(fetched), None].into()));
        let from = Checkpoint::start(log.genesis(), 0);
        let mut reader = Reader::new(*log.genesis(), tail, from, Missing::default());
        assert!(pin!(reader.next(10)).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(reader.next(10).await.unwrap().skipped.undecodable, 1);
        assert_eq!(reader.next(10).await.unwrap().skipped.undecodable, 0);
    }
}
