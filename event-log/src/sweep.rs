//! Reads all partitions in one pass, in the order in which the store gives them, and admits each by its own state.

use async_trait::async_trait;

use crate::{
    backend::{Fetched, Stored, Sweep, Swept, Tail},
    checkpoint::Checkpoint,
    error::{Diverged, Error, Fault},
    genesis::Genesis,
    ids::Position,
    mutation::{Mutation, planted},
    progress::{Progress, told},
    reader::{AdmittedRecord, Batch, FETCH_RECORDS_MAX, Skipped},
};

/// What of one partition to read; by default all of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Behind this checkpoint, or from the beginning.
    pub from: Option<Checkpoint>,
    /// Up to this position, or to the end. Up to where it begins means nothing of it.
    pub until: Option<Position>,
}

impl Span {
    /// From a checkpoint to the end.
    #[must_use]
    pub const fn behind(from: Checkpoint) -> Self {
        Self { from: Some(from), until: None }
    }
}

/// Reads all partitions of a log to their ends. What holds for a [`crate::Reader`] holds here for each partition.
pub struct Sweeper {
    genesis: Genesis,
    sweep: Box<dyn Sweep>,
    parts: Vec<Part>,
    stopped: Option<Diverged>,
}

/// One partition of a sweep.
#[derive(Clone, Copy)]
struct Part {
    progress: Progress,
    until: Option<Position>,
    /// The store gave something behind `until`.
    is_beyond: bool,
}

impl Sweeper {
    pub(crate) fn new(
        genesis: Genesis,
        sweep: Box<dyn Sweep>,
        spans: impl Iterator<Item = (Checkpoint, Option<Position>)>,
    ) -> Self {
        let part = |(from, until)| Part { progress: Progress::new(from), until, is_beyond: false };
        Self { genesis, sweep, parts: spans.map(part).collect(), stopped: None }
    }

    /// The next records of any partitions, at least one unless all are at their ends, at most `max_records` or
    /// [`FETCH_RECORDS_MAX`]. Those of one partition are in order; how partitions alternate is the store's choice.
    ///
    /// A fetch that finds another history returns none of its records. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Diverged`] for any partition, from then on for ever; [`Error::Storage`], which may pass.
    pub async fn next(&mut self, max_records: usize) -> Result<Batch, Error> {
        let skipped_before = self.skipped();
        loop {
            if let Some(diverged) = self.stopped {
                return Err(diverged.into());
            }
            let after: Vec<_> = self.parts.iter().map(Part::after).collect();
            let swept = self.sweep.fetch(&after, max_records.clamp(1, FETCH_RECORDS_MAX)).await?;
            let at_end = swept.records.is_empty();
            let mut parts = self.parts.clone();
            match take(&self.genesis, &mut parts, swept) {
                Ok(records) => {
                    self.parts = parts;
                    if at_end || !records.is_empty() {
                        return Ok(Batch { records, skipped: self.skipped().since(skipped_before) });
                    }
                }
                Err(diverged) => {
                    told(&self.genesis, diverged);
                    self.stopped = Some(diverged);
                }
            }
        }
    }

    /// Where to resume: for each partition in order, after its last admitted record.
    pub fn checkpoints(&self) -> impl ExactSizeIterator<Item = &Checkpoint> {
        self.parts.iter().map(|part| &part.progress.checkpoint)
    }

    /// What was skipped since it was made, in all partitions.
    pub fn skipped(&self) -> Skipped {
        self.sum_of(|progress| progress.skipped)
    }

    /// Of that, what stands before the checkpoints. Who resumes from them skips the rest again.
    pub fn skipped_before_checkpoints(&self) -> Skipped {
        self.sum_of(|progress| progress.skipped_before)
    }

    fn sum_of(&self, skipped: impl Fn(&Progress) -> Skipped) -> Skipped {
        self.parts.iter().map(|part| skipped(&part.progress)).fold(Skipped::default(), Skipped::and)
    }
}

impl Part {
    /// Where to go on; nothing if it has all it is to have.
    fn after(&self) -> Option<Position> {
        let position = self.progress.read_position;
        let has_all = self.is_beyond || self.until.is_some_and(|until| position >= until);
        (!has_all).then_some(position)
    }

    fn read(&mut self, genesis: &Genesis, stored: Stored) -> Result<Option<AdmittedRecord>, Diverged> {
        let (partition, position) = (self.progress.checkpoint.partition, stored.position);
        let is_beyond = self.until.is_some_and(|until| position > until);
        if is_beyond && !planted(Mutation::SweepBeyondSpan) {
            self.is_beyond = true;
            return Ok(None);
        }
        self.progress.read(genesis, stored).map_err(|reason| reason.at(partition, position))
    }
}

fn take(genesis: &Genesis, parts: &mut [Part], swept: Swept) -> Result<Vec<AdmittedRecord>, Diverged> {
    for (partition, last) in &swept.last {
        let progress = &parts[usize::from(*partition)].progress;
        progress.recheck(last).map_err(|reason| reason.at(*partition, progress.read_position))?;
    }
    let mut records = Vec::with_capacity(swept.records.len());
    for (partition, stored) in swept.records {
        let by = if planted(Mutation::SweepByOneState) { 0 } else { usize::from(partition) };
        records.extend(parts[by].read(genesis, stored)?);
    }
    for (partition, head) in swept.ended {
        let part = &parts[usize::from(partition)];
        // Who reads up to a place is not at the end, where the store's head is.
        if part.until.is_none() {
            part.progress.check_end(genesis, head)?;
        }
    }
    Ok(records)
}

/// Partition after partition, for stores that do not keep them together.
pub(crate) struct InTurn {
    tails: Vec<Box<dyn Tail>>,
    at: usize,
}

impl InTurn {
    pub(crate) fn new(tails: impl Iterator<Item = Box<dyn Tail>>) -> Self {
        Self { tails: tails.collect(), at: 0 }
    }
}

#[async_trait]
impl Sweep for InTurn {
    async fn fetch(&mut self, after: &[Option<Position>], max_records: usize) -> Result<Swept, Fault> {
        let (mut swept, partitions, begin) = (Swept::default(), self.tails.len(), self.at);
        for at in (begin..partitions).chain(0..begin) {
            let (Some(after), Ok(partition)) = (after[at], u16::try_from(at)) else { continue };
            let Fetched { last, records, head } = self.tails[at].fetch(after, max_records).await?;
            let any = !records.is_empty();
            let all = !any || head.is_some();
            swept.last.push((partition, last));
            swept.records.extend(records.into_iter().map(|stored| (partition, stored)));
            if all {
                swept.ended.push((partition, head));
            }
            if any {
                self.at = if all { (at + 1) % partitions } else { at };
                break;
            }
        }
        Ok(swept)
    }
}
