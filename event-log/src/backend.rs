//! The port: the little that a store must do so that readers and writers can be built over it once.
//!
//! A backend keeps, per partition, a sequence of byte strings with strictly increasing positions. It knows no terms;
//! everything that protects history is in `admit`, the reader and the writer. There are two classes of store:
//!
//! * **Conditional**: `send` stores an entry only if the partition's head is exactly `entry.before` and then makes it
//!   `entry.after`, in the same transaction. The committed transaction is the read-back. The store keeps its head and
//!   returns it at the end of a fetch.
//! * **Open**: `send` may store an entry late, never, or twice, and entries of several writers in any order. `before`
//!   and `after` are not looked at.

use std::{
    fmt::Display,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::{
    admit::State,
    error::{Fault, Reason},
    frame::Record,
    genesis::Genesis,
    hash::Hash,
    ids::Position,
    sweep::InTurn,
};

/// A store of one log.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What `init` recorded. Without it a backend cannot be opened.
    fn genesis(&self) -> &Genesis;

    /// The last positions this process knows of, and whether the store answers.
    fn ends(&self) -> &Ends;

    /// Asks the store where a partition ends, which [`Self::ends`] then knows; nothing is asked where it is known anyway.
    async fn end_now(&self, partition: u16) -> Result<Position, Fault> {
        Ok(self.ends().get(partition))
    }

    /// A reader's own view of one partition; the reader may be anywhere in it.
    fn tail(&self, partition: u16) -> Box<dyn Tail>;

    /// A view of all partitions for who reads them through: in one pass where the store keeps them together, otherwise
    /// partition after partition.
    fn sweep(&self) -> Box<dyn Sweep> {
        Box::new(InTurn::new((0..self.genesis().partitions).map(|partition| self.tail(partition))))
    }

    /// A new producer, for one attempt to claim and the appends of its term. Nothing an older producer still has in
    /// flight may be mixed up with what this one sends.
    ///
    /// # Errors
    /// `None` if the log was opened read-only.
    async fn producer(&self, partition: u16) -> Result<Option<Box<dyn Producer>>, Fault>;
}

/// Reads one partition for one reader.
#[async_trait]
pub trait Tail: Send + Sync {
    /// At most `max_records` records behind `after`, in order, and what stands *at* `after` as of the same read.
    /// Cancelling the call loses nothing.
    async fn fetch(&mut self, after: Position, max_records: usize) -> Result<Fetched, Fault>;

    /// Returns when there may be records behind `after`; at once if there are. May return too early, never too late
    /// by more than 50 ms.
    async fn changed(&mut self, after: Position) -> Result<(), Fault>;
}

/// Reads all partitions for one reader that never goes back.
#[async_trait]
pub trait Sweep: Send + Sync {
    /// At most `max_records` records, each behind what `after` names for its partition, those of one partition in order,
    /// and what stands *at* those positions as of the same read. A partition without a position is left out. No records
    /// mean that all partitions are at their ends. Cancelling the call loses nothing.
    async fn fetch(&mut self, after: &[Option<Position>], max_records: usize) -> Result<Swept, Fault>;
}

/// What a fetch of all partitions found, each with its partition.
#[derive(Debug, Default)]
pub struct Swept {
    /// What stands at the positions that the fetch went on from, of every partition that it looked at.
    pub last: Vec<(u16, Last)>,
    /// The records behind them.
    pub records: Vec<(u16, Stored)>,
    /// Which partitions have nothing behind these records; a conditional store gives its own head.
    pub ended: Vec<(u16, Option<StoreHead>)>,
}

/// What a fetch found.
#[derive(Debug)]
pub struct Fetched {
    /// What stands at the position the fetch went on from.
    pub last: Last,
    /// The records behind it.
    pub records: Vec<Stored>,
    /// The store's own head; a conditional store gives it whenever there is nothing behind the records.
    pub head: Option<StoreHead>,
}

/// What stands at the position of the last record read.
#[derive(Debug)]
pub enum Last {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing.
    Absent,
    /// The store vouches that nothing happened to it since this tail read it (an unbroken connection to one leader).
    Unbroken,
    /// Whatever it is: the partition begins as one of another log.
    OtherLog,
}

/// A record as the store gives it back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Where it stands.
    pub position: Position,
    /// What stands there. What the store knows to be nobody's record begins with 0, as no record does.
    pub bytes: Bytes,
}

/// Sends records of one writer to one partition, in order. The calls return at once.
pub trait Producer: Send + Sync {
    /// Hands an entry over. What became of it comes through the receiver; a receiver whose sender is gone means
    /// [`Delivery::Unknown`].
    fn send(&mut self, entry: Entry) -> oneshot::Receiver<Delivery>;
}

/// A record to store, with the heads it stands between.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What to store.
    pub record: Record,
    /// The head it extends.
    pub before: StoreHead,
    /// The head after it.
    pub after: StoreHead,
}

/// What became of an entry.
#[derive(Debug)]
pub enum Delivery {
    /// Durable, as far as the store can say (fsync, or all replicas), at this position.
    Stored(Position),
    /// Certainly not stored: the head was another one, of this term. Conditional stores only.
    Refused {
        /// The number of the term that the store is in.
        number: u64,
    },
    /// It may be stored, may come to be stored, or may be lost.
    Unknown(Fault),
    /// Not stored: the record at the head is not what the head says. Conditional stores only.
    Diverged(Reason),
}

/// Where a conditional store says a partition ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreHead {
    /// Number of the current term.
    pub number: u64,
    /// How many records there are.
    pub height: u64,
    /// The rolling hash over them.
    pub hash: Hash,
}

impl From<&State> for StoreHead {
    fn from(state: &State) -> Self {
        Self { number: state.number, height: state.height, hash: state.head }
    }
}

/// The last known position of every partition, for those who wait for more or ask how far behind they are; and what was
/// last heard of the store.
#[derive(Debug)]
pub struct Ends {
    positions: Vec<watch::Sender<Position>>,
    reads: Heard,
    writes: Heard,
}

/// What a store is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Records, or where they end.
    Read,
    /// To store records.
    Write,
}

/// Whoever needs the store asks again sooner; an older failure is of somebody who asks no more.
const SILENCE_COUNTS: Duration = Duration::from_secs(60);

/// Why a store that does not answer does not, and when it last did not.
#[derive(Debug, Default)]
struct Heard {
    is_silent: AtomicBool,
    why: Mutex<Option<(String, Instant)>>,
}

impl Heard {
    fn take(&self, answer: Result<(), &dyn Display>) {
        if answer.is_ok() && !self.is_silent.load(Ordering::Acquire) {
            return;
        }
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_silent.store(answer.is_err(), Ordering::Release);
        *why = answer.err().map(|fault| (fault.to_string(), Instant::now()));
    }

    fn why(&self) -> Option<String> {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        let why = why.as_ref().filter(|(_, at)| at.elapsed() < SILENCE_COUNTS);
        why.map(|(why, _)| why.clone())
    }
}

impl Ends {
    /// All at the start.
    pub fn new(partitions: u16) -> Self {
        let positions = (0..partitions).map(|_| watch::Sender::new(Position::START)).collect();
        Self { positions, reads: Heard::default(), writes: Heard::default() }
    }

    /// The last known position; the start for a partition that does not exist.
    pub fn get(&self, partition: u16) -> Position {
        self.positions.get(usize::from(partition)).map_or(Position::START, |end| *end.borrow())
    }

    /// Wakes who waits, if the position is news.
    pub fn advance(&self, partition: u16, position: Position) {
        if let Some(end) = self.positions.get(usize::from(partition)) {
            end.send_if_modified(|end| {
                let news = position > *end;
                *end = position.max(*end);
                news
            });
        }
    }

    /// For who wants to know when a partition grows.
    ///
    /// # Panics
    /// If there is no such partition; readers and writers exist only for those that are.
    pub fn subscribe(&self, partition: u16) -> watch::Receiver<Position> {
        self.positions[usize::from(partition)].subscribe()
    }

    /// Takes in whether the store answered. Only another answer of the same kind ends a silence: a store may be read and
    /// take nothing.
    pub fn heard(&self, asked: Asked, answer: Result<(), &dyn Display>) {
        match asked {
            Asked::Read => self.reads.take(answer),
            Asked::Write => self.writes.take(answer),
        }
    }

    /// Why the store does not answer, if it last did not; not to be shown to everybody.
    pub fn silence(&self) -> Option<String> {
        self.writes.why().or_else(|| self.reads.why())
    }
}

/// Waits until the end is behind `after`. The [`Ends`] outlive their receivers: both belong to the backend.
pub(crate) async fn wait_beyond(end: &mut watch::Receiver<Position>, after: Position) -> Result<(), Fault> {
    let waited = end.wait_for(|end| *end > after).await;
    waited.map(drop).map_err(|gone| Fault::new("wait for more", gone))
}

/// Records that share one allocation, each with its position and where it ends there.
pub(crate) fn cut(bytes: Vec<u8>, ends: Vec<(Position, usize)>) -> impl Iterator<Item = Stored> {
    let (bytes, mut begin) = (Bytes::from(bytes), 0);
    ends.into_iter().map(move |(position, end)| {
        let bytes = bytes.slice(begin..end);
        begin = end;
        Stored { position, bytes }
    })
}
