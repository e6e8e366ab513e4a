//! One opened log: where readers and writers come from.

use std::{sync::Arc, time::Duration};

use crate::{
    admit::State,
    backend::{Backend, Last},
    checkpoint::{Checkpoint, Covering},
    claim,
    error::{BoxError, Diverged, Error, Reason},
    frame::Record,
    genesis::{Class, Genesis},
    hash::roll,
    ids::{LogId, Position},
    missing::Missing,
    reader::{AdmittedRecord, Reader},
    sweep::{Span, Sweeper},
    writer::Writer,
};

/// An opened log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    backend: Arc<dyn Backend>,
    timing: Timing,
    missing: Missing,
}

/// How long a writer waits before it doubts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// From handing a record over until it must be durable and read back.
    pub append_timeout: Duration,
    /// For all attempts of one claim together.
    pub claim_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { append_timeout: Duration::from_secs(10), claim_timeout: Duration::from_secs(30) }
    }
}

impl Log {
    /// A log over any backend.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, timing: Timing::default(), missing: Missing::default() }
    }

    /// The same log with other times.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// Who the log is, for ever.
    pub fn id(&self) -> LogId {
        self.genesis().log_id
    }

    /// How many partitions it has, for ever.
    pub fn partitions(&self) -> u16 {
        self.genesis().partitions
    }

    /// What its store promises.
    pub fn class(&self) -> Class {
        self.genesis().class
    }

    /// Which partition a merchant's route lives in; [`crate::REFERENCE_ROUTE`] lives in partition 0.
    pub fn partition_of(&self, merchant: [u8; 16], route: [u8; 16]) -> u16 {
        self.genesis().partition_of(merchant, route)
    }

    /// The last position of a partition that this process knows of; cheap, for measuring lag.
    pub fn end(&self, partition: u16) -> Position {
        self.backend.ends().get(partition)
    }

    /// The last position of a partition as the store says now, for who reads nothing of it.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`], [`Error::Storage`].
    pub async fn end_now(&self, partition: u16) -> Result<Position, Error> {
        self.check(partition)?;
        Ok(self.backend.end_now(partition).await?)
    }

    /// Why the store does not answer, if it last did not, as far as this log's readers and writers know. It may name hosts.
    pub fn silence(&self) -> Option<String> {
        self.backend.ends().silence()
    }

    /// Somebody who read it, such as another node, says that there is a record at this position. What this process knows
    /// of the log's end follows.
    pub fn heard_of(&self, partition: u16, position: Position) {
        self.backend.ends().advance(partition, position);
    }

    /// Partitions in which a record is missing and nobody claimed behind it for 10 s, as far as this log's readers know.
    /// History stands still there, and what was sent is not answered; it never happens on a conditional store.
    pub fn partitions_with_a_hole(&self) -> Vec<u16> {
        self.missing.overdue()
    }

    /// The state of a partition before its first record.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`].
    pub fn start(&self, partition: u16) -> Result<State, Error> {
        self.check(partition)?;
        Ok(self.genesis().state(partition))
    }

    /// Reads a partition from a checkpoint, or from its beginning. Whether the checkpoint's record is still there is
    /// checked by the first fetch, before anything is admitted.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`]; [`Error::Diverged`] for a checkpoint of another log or partition.
    pub fn reader(&self, partition: u16, from: Option<Checkpoint>) -> Result<Reader, Error> {
        self.check(partition)?;
        let from = from.unwrap_or_else(|| Checkpoint::start(self.genesis(), partition));
        from.check(self.genesis(), partition).map_err(|reason| reason.at(partition, from.position))?;
        Ok(Reader::new(*self.genesis(), self.backend.tail(partition), from, self.missing.clone()))
    }

    /// Reads all partitions in one pass; each as its place in `spans` says, and whole where that has none. Checkpoints are
    /// checked as those of [`Self::reader`] are.
    ///
    /// # Errors
    /// [`Error::Diverged`] for a checkpoint of another log or partition.
    pub fn sweep(&self, spans: &[Span]) -> Result<Sweeper, Error> {
        let span = |partition: u16| {
            let Span { from, until } = spans.get(usize::from(partition)).copied().unwrap_or_default();
            let from = from.unwrap_or_else(|| Checkpoint::start(self.genesis(), partition));
            from.check(self.genesis(), partition).map_err(|reason| reason.at(partition, from.position))?;
            Ok((from, until))
        };
        let spans = (0..self.partitions()).map(span).collect::<Result<Vec<_>, Error>>()?;
        Ok(Sweeper::new(*self.genesis(), self.backend.sweep(), spans.into_iter()))
    }

    /// Takes a partition over, reading it from its beginning. Every admitted record up to the own claim goes to
    /// `on_record` in order, claims and barriers too. Drop the future to give up.
    ///
    /// # Errors
    /// [`Error::ClaimTimedOut`], [`Error::Owner`] if `on_record` fails, [`Error::ReadOnly`], and those of [`Reader::next`].
    pub async fn claim<F>(&self, partition: u16, on_record: F) -> Result<Writer, Error>
    where
        F: FnMut(&AdmittedRecord) -> Result<(), BoxError> + Send,
    {
        self.check(partition)?;
        self.claim_from(partition, Covering::start(self.genesis(), partition), on_record).await
    }

    /// Takes a partition over from an owner's checkpoint: `on_record` gets only the records behind it.
    ///
    /// # Errors
    /// Those of [`Self::claim`], and [`Error::Diverged`] if the checkpoint is not of this history.
    pub async fn claim_from<F>(&self, partition: u16, from: Covering, on_record: F) -> Result<Writer, Error>
    where
        F: FnMut(&AdmittedRecord) -> Result<(), BoxError> + Send,
    {
        claim::claim(self, partition, from, on_record).await
    }

    /// What an owner's checkpoint is before the first record of a partition.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`].
    pub fn covering_start(&self, partition: u16) -> Result<Covering, Error> {
        self.check(partition)?;
        Ok(Covering::start(self.genesis(), partition))
    }

    /// How the log contradicts what somebody remembers of it; nothing if the record is still there that was admitted last.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`], [`Error::Storage`]; [`Error::Diverged`] with [`Reason::Newer`] if what follows is not for
    /// this program, which is no loss.
    pub async fn contradicts(&self, remembered: &Checkpoint) -> Result<Option<Diverged>, Error> {
        let looked = match self.reader(remembered.partition, Some(*remembered)) {
            Ok(mut reader) => reader.next(1).await.map(drop),
            Err(error) => Err(error),
        };
        match looked {
            Ok(()) => Ok(None),
            Err(Error::Diverged(diverged)) if diverged.reason != Reason::Newer => Ok(Some(diverged)),
            Err(error) => Err(error),
        }
    }

    /// Reads one record again that was admitted at this position, for who remembers only where it stands. Its bytes and
    /// its route are checked; that it extends the chain only a [`Reader`] can tell.
    ///
    /// # Errors
    /// [`Error::NoSuchPartition`], [`Error::Storage`]; [`Error::Diverged`] if there is nothing at the position, or what
    /// can never have been a record there.
    pub async fn record_at(&self, partition: u16, position: Position) -> Result<AdmittedRecord, Error> {
        self.check(partition)?;
        let diverged = |reason: Reason| reason.at(partition, position);
        let bytes = match self.backend.tail(partition).fetch(position, 0).await?.last {
            Last::Bytes(bytes) => bytes,
            Last::Absent => return Err(diverged(Reason::LastReadGone).into()),
            Last::OtherLog => return Err(diverged(Reason::OtherHistory).into()),
            // A tail that has read nothing yet has nothing to vouch for.
            Last::Unbroken => return Err(diverged(Reason::LastReadChanged).into()),
        };
        let record = Record::decode(bytes).map_err(|why| diverged(why.into()))?;
        let Record { frame, hash, .. } = record;
        if frame.kind.is_routed() && self.partition_of(frame.merchant, frame.route) != partition {
            return Err(diverged(Reason::Misrouted).into());
        }
        let (body, head) = (record.body(), roll(frame.prev, hash));
        Ok(AdmittedRecord { partition, position, frame, body, hash, height: frame.height, head })
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn shared_backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    pub(crate) fn genesis(&self) -> &Genesis {
        self.backend.genesis()
    }

    pub(crate) fn timing(&self) -> Timing {
        self.timing
    }

    fn check(&self, partition: u16) -> Result<(), Error> {
        let partitions = self.partitions();
        if partition < partitions { Ok(()) } else { Err(Error::NoSuchPartition { partition, partitions }) }
    }
}
