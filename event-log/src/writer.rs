//! Appends to a claimed partition: one implementation over all backends.
//!
//! Records are chained onto a speculative state and sent at once; a task answers them in order when each is done: on a
//! conditional store when its transaction committed, on an open one when it is also read back as admitted.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    admit::{Admission, State, admit},
    backend::{Entry, Producer, StoreHead},
    checkpoint::{Checkpoint, Covering},
    error::{AppendError, Error, Stopped},
    frame::{BODY_LEN_MAX, Frame, Kind, Record},
    genesis::Genesis,
    hash::Hash,
    ids::{Position, Term},
    log::{Log, Timing},
    merchant::MerchantHeads,
    reader::Reader,
    resolve::{InFlight, Resolver, Sent},
};

/// What may be appended; claims are made by claiming only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewKind {
    /// A command's answer with its events.
    Commit,
    /// A command's answer without events.
    Outcome,
    /// Says nothing; belongs to no merchant, route or stream, whatever the record says.
    Barrier,
}

/// A record to append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRecord {
    /// What it is.
    pub kind: NewKind,
    /// Whose it is.
    pub merchant: [u8; 16],
    /// Decides, with the merchant, which partition it belongs to.
    pub route: [u8; 16],
    /// Which aggregate it is about.
    pub stream: [u8; 16],
    /// How many inserts the key store has counted.
    pub key_count: u64,
    /// The rest, at most [`BODY_LEN_MAX`] bytes; the log never looks into it.
    pub body: bytes::Bytes,
}

impl NewRecord {
    /// A record that says nothing; once admitted, everything before it is.
    pub fn barrier(key_count: u64) -> Self {
        let nobody = [0; 16];
        let body = bytes::Bytes::new();
        Self { kind: NewKind::Barrier, merchant: nobody, route: nobody, stream: nobody, key_count, body }
    }
}

/// Where a record became history: durable and admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Where it stands.
    pub position: Position,
    /// Its place among the admitted records of the partition; a claim's is what the claimer expected.
    pub height: u64,
    /// The head of the chain after it.
    pub head: Hash,
    /// Its hash.
    pub hash: Hash,
}

impl Appended {
    pub(crate) fn new(position: Position, record: &Record, after: &State) -> Self {
        Self { position, height: after.height, head: after.head, hash: record.hash }
    }
}

/// The owner's hand on one partition, for one term.
pub struct Writer {
    genesis: Genesis,
    partition: u16,
    claimed: Appended,
    key_count: u64,
    producer: Box<dyn Producer>,
    /// As if everything sent were admitted.
    speculative: State,
    merchants: MerchantHeads,
    in_flight: mpsc::UnboundedSender<Sent>,
    timing: Timing,
    shared: Arc<Shared>,
}

/// What the writer, its answers and the task that gives them have in common.
pub(crate) struct Shared {
    pub(crate) stopped: OnceLock<Stopped>,
    covering: Mutex<Covering>,
}

impl Shared {
    /// What is admitted, as far as answers were given.
    pub(crate) fn covering(&self) -> MutexGuard<'_, Covering> {
        self.covering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a writer knows to be admitted, for whoever looks on from outside. It stays true when the writer has stopped.
#[derive(Clone)]
pub struct Watch(Arc<Shared>);

impl Watch {
    /// The checkpoint behind the last own record that was answered, and the highest key count up to there.
    pub fn admitted(&self) -> (Checkpoint, u64) {
        let covering = self.0.covering();
        (covering.checkpoint, covering.key_count)
    }
}

impl Writer {
    pub(crate) fn start(
        log: &Log,
        producer: Box<dyn Producer>,
        claimed: Appended,
        covering: Covering,
        reader: Reader,
    ) -> Self {
        let (in_flight, queue) = mpsc::unbounded_channel();
        let Covering { checkpoint, ref merchants, key_count } = covering;
        let merchants = merchants.clone();
        let shared = Arc::new(Shared { stopped: OnceLock::new(), covering: Mutex::new(covering) });
        tokio::spawn(Resolver::new(queue, reader, shared.clone()).run());
        Self {
            genesis: *log.genesis(),
            partition: checkpoint.partition,
            claimed,
            key_count,
            producer,
            speculative: checkpoint.state,
            merchants,
            in_flight,
            timing: log.timing(),
            shared,
        }
    }

    /// Sends a record and returns at once; the answer comes through the [`Pending`], in order of the calls.
    ///
    /// # Errors
    /// Nothing was sent: the writer is stopped, the route belongs elsewhere, or the body is too large.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the record is given away, though its bytes are copied once"
    )]
    pub fn append(&mut self, new: NewRecord) -> Result<Pending, AppendError> {
        if let Some(stopped) = self.shared.stopped.get() {
            return Err(stopped.clone().into());
        }
        let body_len = new.body.len();
        if body_len > BODY_LEN_MAX {
            return Err(AppendError::TooLarge { body_len });
        }
        let frame = self.frame(&new);
        let belongs_to = self.genesis.partition_of(frame.merchant, frame.route);
        if frame.kind.is_routed() && belongs_to != self.partition {
            return Err(AppendError::Misrouted { partition: self.partition, belongs_to });
        }
        let record = Record::encode(frame, &new.body);
        self.send(record).map_err(AppendError::Stopped)
    }

    /// The partition it owns.
    pub fn partition(&self) -> u16 {
        self.partition
    }

    /// The term it owns it in.
    pub fn term(&self) -> Term {
        self.speculative.term()
    }

    /// The own claim.
    pub fn claimed(&self) -> Appended {
        self.claimed
    }

    /// The highest key count of any record admitted up to the claim; refuse a key store that is behind it.
    pub fn key_count(&self) -> u64 {
        self.key_count
    }

    /// The last own record that was answered; the claim at first.
    pub fn admitted(&self) -> Position {
        self.shared.covering().checkpoint.position
    }

    /// Tells what is admitted to whoever looks on from outside.
    pub fn watch(&self) -> Watch {
        Watch(self.shared.clone())
    }

    /// Where to claim from after a doubt: admitted records only. Copies the head of every merchant.
    pub fn covering(&self) -> Covering {
        self.shared.covering().clone()
    }

    /// The owner's checkpoint right behind all that was sent so far, once all of it is admitted; for a snapshot of
    /// what the owner's state is now. Nothing comes if the writer stops before.
    pub fn covering_of_sent(&self) -> oneshot::Receiver<Covering> {
        let (answer, covering) = oneshot::channel();
        // If the task stopped, the answer's sender is dropped here.
        drop(self.in_flight.send(Sent::Mark(answer)));
        covering
    }

    /// Why it takes no more records, if so.
    pub fn stopped(&self) -> Option<Stopped> {
        self.shared.stopped.get().cloned()
    }

    /// The record's place in the chain, and in its merchant's.
    fn frame(&self, new: &NewRecord) -> Frame {
        let kind = match new.kind {
            NewKind::Commit => Kind::Commit,
            NewKind::Outcome => Kind::Outcome,
            NewKind::Barrier => Kind::Barrier,
        };
        let bare = Frame {
            kind,
            term: self.speculative.term(),
            seq: self.speculative.seq + 1,
            height: self.speculative.height + 1,
            prev: self.speculative.head,
            merchant: [0; 16],
            merchant_seq: 0,
            merchant_prev: Hash::ZERO,
            route: [0; 16],
            stream: [0; 16],
            key_count: new.key_count,
        };
        if !kind.is_routed() {
            return bare;
        }
        let NewRecord { merchant, route, stream, .. } = *new;
        let last = self.merchants.get(&merchant);
        Frame { merchant, merchant_seq: last.seq + 1, merchant_prev: last.hash, route, stream, ..bare }
    }

    fn send(&mut self, record: Record) -> Result<Pending, Stopped> {
        let before = StoreHead::from(&self.speculative);
        let refused = match admit(&mut self.speculative, &record) {
            Admission::Admitted => self.merchants.follow(&record.frame, record.hash).err(),
            Admission::Diverged(reason) => Some(reason),
            Admission::Stale => Some(crate::Reason::Stale),
            Admission::Orphan => Some(crate::Reason::Orphan),
        };
        if let Some(reason) = refused {
            return Err(reason.at(self.partition, self.admitted()).into());
        }
        let (answer, pending) = oneshot::channel();
        let (frame, hash) = (record.frame, record.hash);
        let delivery = self.producer.send(Entry { record, before, after: (&self.speculative).into() });
        let deadline = Instant::now() + self.timing.append_timeout;
        let in_flight = InFlight { frame, hash, after: self.speculative, delivery, deadline, answer };
        // If the task stopped meanwhile, the answer's sender is dropped here and `Pending` says why.
        drop(self.in_flight.send(Sent::Record(in_flight)));
        Ok(Pending { answer: pending, shared: self.shared.clone(), partition: self.partition })
    }
}

/// The answer to come for one record: done, or why it will never be known through this writer.
#[must_use = "a record is history only once this resolves"]
pub struct Pending {
    answer: oneshot::Receiver<Result<Appended, Stopped>>,
    shared: Arc<Shared>,
    partition: u16,
}

impl Future for Pending {
    type Output = Result<Appended, Stopped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answered| {
            answered.unwrap_or_else(|_| {
                let stopped = self.shared.stopped.get().cloned();
                Err(stopped.unwrap_or_else(|| {
                    doubt(self.partition, Error::AppendTimedOut { partition: self.partition })
                }))
            })
        })
    }
}

pub(crate) fn doubt(partition: u16, source: Error) -> Stopped {
    Stopped::Doubt { partition, source: Arc::new(source) }
}
