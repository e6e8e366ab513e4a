//! How everything that changes or asks an aggregate reaches its owner: HTTP handlers, webhook workers and policies alike.
use std::{error::Error, fmt, sync::Arc};

use domain::{Aggregate, Command, Rejection, StreamRef};
use event_log::{BODY_LEN_MAX, Checkpoint, Log, LogId, Position, PositionToken};
use event_schemas::{
    CommandKey, CorrelationId, Digest, Event, EventId, MerchantId, RecordId, Timestamp,
    record::{Actor, Trace},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::{
    nodes::Forwarder,
    owner::{self, Asker, DueQuery, DueStream, Listing, Message, Saving, Work},
    planted::marked::{self, Bug},
};

/// A command with all that its record says about it.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The shop.
    pub merchant: MerchantId,
    /// The aggregate.
    pub stream: StreamRef,
    /// What is asked.
    pub command: Command,
    /// The same key never takes effect twice in the stream; a known key gets the first outcome again.
    pub key: CommandKey,
    /// Keyed digest of the command's content.
    pub content: Digest,
    /// When it happened in business; the owner clamps it to its clock.
    pub occurred_at: Timestamp,
    /// Where it comes from.
    pub origin: Origin,
    /// How urgent it is.
    pub lane: Lane,
}

/// Where a command comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Who asked.
    pub actor: Actor,
    /// What it has in common with all that the same request caused.
    pub correlation: CorrelationId,
    /// Trace context of the request.
    pub trace: Trace,
    /// The event that caused it, if a policy sent it.
    pub causation: Option<EventId>,
}

/// How urgent a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for the answer.
    Interactive,
    /// Work that may wait: below a share of each drain while somebody waits in the other lane.
    Bulk,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Its events are history.
    Accepted,
    /// It was so already.
    Unchanged,
    /// Refused, for good.
    Rejected(Rejection),
}

/// The answer to a command: its record is admitted.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What came of it.
    pub outcome: Outcome,
    /// Where its record stands.
    pub at: PositionToken,
    /// Whether an earlier command with the same key made the record.
    pub replayed: bool,
    /// What the record holds, if this very call made it with events.
    pub made: Option<Made>,
}

/// The events of a record just made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The record.
    pub record: RecordId,
    /// Its events as they stand in the log: personal fields are sealed.
    pub events: Arc<[Event]>,
}

/// No answer. It never says whether a command took effect: ask again with the same key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// Too much is waiting for this partition's owner.
    #[error("too many commands are waiting")]
    Overloaded,
    /// This process does not own the partition at the moment.
    #[error("the partition has no owner here at the moment")]
    NotOwned,
    /// The partition is stopped until somebody looks: its history diverged, or its owner may not start.
    #[error("the partition is stopped")]
    Stopped,
    /// The key store does not answer, so nothing can be sealed.
    #[error("the key store does not answer")]
    KeysAway,
    /// An earlier command broke this aggregate; the others live on.
    #[error("the aggregate is parked")]
    AggregateParked,
    /// What the command comes to does not fit one record; the aggregate stands as it did.
    #[error("the record would have {len} bytes, more than {BODY_LEN_MAX}")]
    RecordTooLarge {
        /// The length that the record's body would have, in bytes.
        len: usize,
    },
    /// The command itself could not be worked off.
    #[error("the command could not be worked off")]
    Fault(#[source] Arc<dyn Error + Send + Sync>),
}

impl Unavailable {
    pub(crate) fn fault(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Fault(Arc::from(error.into()))
    }

    /// Whether asking again soon may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Overloaded | Self::NotOwned | Self::KeysAway)
    }

    /// Stable, for metrics and parked work.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::NotOwned => "not-owned",
            Self::Stopped => "partition-stopped",
            Self::KeysAway => "keys-unavailable",
            Self::AggregateParked => "aggregate-parked",
            Self::RecordTooLarge { .. } => "record-too-large",
            Self::Fault(_) => "command-fault",
        }
    }
}

/// The way to all owners of a log; cheap to clone.
#[derive(Clone)]
pub struct Commander {
    log: Log,
    owners: Arc<[owner::Handle]>,
    /// The way to other nodes, for what is not owned here.
    forwarder: Option<Forwarder>,
    /// Told when there may be an open privacy request here.
    stirred: Arc<watch::Sender<u64>>,
}

impl fmt::Debug for Commander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commander").field("log", &self.log.id()).finish_non_exhaustive()
    }
}

impl Commander {
    pub(crate) fn new(
        log: Log,
        owners: Vec<owner::Handle>,
        forwarder: Option<Forwarder>,
        stirred: Arc<watch::Sender<u64>>,
    ) -> Self {
        Self { log, owners: owners.into(), forwarder, stirred }
    }

    /// Changes when a privacy request was opened here, and when a partition is claimed, which may hold open ones.
    pub(crate) fn stirred(&self) -> watch::Receiver<u64> {
        self.stirred.subscribe()
    }

    /// How often it changed because of this partition.
    pub(crate) fn stirred_in(&self, partition: u16) -> u64 {
        self.owners.get(usize::from(partition)).map_or(0, owner::Handle::stirred)
    }

    /// The same without the way to other nodes: what came from one of them goes no further.
    pub(crate) fn here(&self) -> Self {
        Self { forwarder: None, ..self.clone() }
    }

    /// Sends a command; answers when its record is admitted.
    ///
    /// # Errors
    /// [`Unavailable`]: ask again with the same key.
    pub async fn send(&self, envelope: Envelope) -> Result<Answered, Unavailable> {
        self.ask(envelope, |_| ()).await.map(|(answered, ())| answered)
    }

    /// Sends a command and looks at the state right behind it.
    ///
    /// # Errors
    /// [`Unavailable`]: ask again with the same key.
    pub async fn ask<T: Send + 'static>(
        &self,
        envelope: Envelope,
        view: impl Fn(&Aggregate) -> T + Send + 'static,
    ) -> Result<(Answered, T), Unavailable> {
        let is_impatient = self.forwarder.is_some() && Bug::AskedAnew.strikes(&envelope.command);
        let another = is_impatient.then(|| marked::another(&envelope));
        let answered = self.ask_once(envelope, view).await;
        if let Some(another) = another.filter(|_| answered.is_err()) {
            marked::insist(self.clone(), another).await;
        }
        answered
    }

    /// The same, whatever comes of it.
    pub(crate) async fn ask_once<T: Send + 'static>(
        &self,
        envelope: Envelope,
        view: impl Fn(&Aggregate) -> T + Send + 'static,
    ) -> Result<(Answered, T), Unavailable> {
        let (merchant, stream, lane) = (envelope.merchant, envelope.stream, envelope.lane);
        let (asker, answer) = Ask::waiting(view);
        let work = Work::Command(Arc::new(envelope), asker);
        self.post(Message { merchant, stream, lane, resumed: false, work })?;
        answer.await.unwrap_or(Err(Unavailable::NotOwned))
    }

    /// Looks at an aggregate as it was at some moment after this call.
    ///
    /// # Errors
    /// [`Unavailable`]: ask again.
    pub async fn read<T: Send + 'static>(
        &self,
        merchant: MerchantId,
        stream: StreamRef,
        view: impl Fn(&Aggregate) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.read_at(merchant, stream, view).await.map(|(_, seen)| seen)
    }

    /// The same, with the position that the reading is as new as.
    ///
    /// # Errors
    /// [`Unavailable`]: ask again.
    pub async fn read_at<T: Send + 'static>(
        &self,
        merchant: MerchantId,
        stream: StreamRef,
        view: impl Fn(&Aggregate) -> T + Send + 'static,
    ) -> Result<(PositionToken, T), Unavailable> {
        let (asker, answer) = Ask::waiting(view);
        let work = Work::Read(asker);
        self.post(Message { merchant, stream, lane: Lane::Interactive, resumed: false, work })?;
        answer.await.unwrap_or(Err(Unavailable::NotOwned))
    }

    /// Whether the log knows of a shop's joining, whatever the list of shops has heard by now.
    ///
    /// # Errors
    /// [`Unavailable`]: ask again.
    pub(crate) async fn has_joined(&self, merchant: MerchantId) -> Result<bool, Unavailable> {
        let joined = |aggregate: &Aggregate| match aggregate {
            Aggregate::Merchant(shop) => shop.shop_domain().is_some(),
            _ => false,
        };
        self.read(merchant, StreamRef::merchant(merchant), joined).await
    }

    /// What the owner believes now, without proof that it still is the owner. The proof is the answer to a command
    /// sent to the same partition afterwards; without one, use [`Self::read`].
    ///
    /// # Errors
    /// [`Unavailable`]: ask again.
    pub async fn glance<T: Send + 'static>(
        &self,
        merchant: MerchantId,
        stream: StreamRef,
        view: impl Fn(&Aggregate) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (asker, answer) = Ask::waiting(view);
        let work = Work::Glance(asker);
        self.post(Message { merchant, stream, lane: Lane::Interactive, resumed: false, work })?;
        answer.await.unwrap_or(Err(Unavailable::NotOwned)).map(|((), seen)| seen)
    }

    /// The first outcome of a key in a stream, if it is known, with a look at the stream's state.
    ///
    /// # Errors
    /// [`Unavailable`]: ask again.
    pub async fn recall<T: Send + 'static>(
        &self,
        merchant: MerchantId,
        stream: StreamRef,
        key: CommandKey,
        view: impl Fn(&Aggregate) -> T + Send + 'static,
    ) -> Result<Option<(Answered, T)>, Unavailable> {
        let (asker, answer) = Ask::waiting(view);
        let work = Work::Recall(key, asker);
        self.post(Message { merchant, stream, lane: Lane::Interactive, resumed: false, work })?;
        let (known, seen) = answer.await.unwrap_or(Err(Unavailable::NotOwned))?;
        Ok(known.map(|answered| (answered, seen)))
    }

    /// The streams of a partition that have something of this kind to do by now, earliest first: exactly those of some
    /// moment after this call, also the ones that nobody asked for a long time. A stream stays listed until a command to
    /// it changed what it is due for, so page on with [`DueQuery::after`] instead of asking again from the beginning.
    ///
    /// # Errors
    /// [`Unavailable`]: ask again.
    pub async fn due(&self, partition: u16, query: DueQuery) -> Result<Vec<DueStream>, Unavailable> {
        let merchant = query.merchant.unwrap_or(MerchantId::from_bytes([0; 16]));
        let (answer, answered) = oneshot::channel();
        let work = Work::Due(Listing { query, found: Vec::new(), answer });
        let stream = StreamRef::merchant(merchant);
        let message = Message { merchant, stream, lane: Lane::Bulk, resumed: false, work };
        self.post_to(partition, message)?;
        answered.await.unwrap_or(Err(Unavailable::NotOwned))
    }

    /// Has the owners of this process save their state as it is now, and returns when it is saved; at a clean end, so that
    /// the next start has nothing to read.
    ///
    /// # Errors
    /// [`Unavailable`]: not all of it is saved; the log has the rest.
    pub async fn save(&self) -> Result<(), Unavailable> {
        let all = self
            .owned()
            .into_iter()
            .map(|partition| self.save_in(partition, MerchantId::from_bytes([0; 16]), &[]));
        futures::future::join_all(all).await.into_iter().collect()
    }

    /// Overwrites what was saved of these streams with what they are now, so that nothing older remains of them outside
    /// the log; returns when their owners have, whichever nodes those are. For a person who is forgotten, after the stream
    /// said so. Who stands by does it by itself, as soon as it reads of it.
    ///
    /// # Errors
    /// [`Unavailable`]: ask again.
    pub async fn forget(&self, merchant: MerchantId, streams: &[StreamRef]) -> Result<(), Unavailable> {
        for partition in 0..self.partitions() {
            let is_here = |stream: &&StreamRef| {
                self.log.partition_of(merchant.bytes(), stream.route.into_bytes()) == partition
            };
            let here: Vec<StreamRef> = streams.iter().filter(is_here).copied().collect();
            if !here.is_empty() {
                self.save_in(partition, merchant, &here).await?;
            }
        }
        Ok(())
    }

    async fn save_in(
        &self,
        partition: u16,
        merchant: MerchantId,
        renew: &[StreamRef],
    ) -> Result<(), Unavailable> {
        let (done, saved) = oneshot::channel();
        let work = Work::Save(Saving { renew: renew.to_vec(), done });
        let stream = StreamRef::merchant(merchant);
        let message = Message { merchant, stream, lane: Lane::Interactive, resumed: false, work };
        self.post_to(partition, message)?;
        saved.await.unwrap_or(Err(Unavailable::NotOwned))
    }

    /// How many records the owners read to claim their partitions: few, if the snapshots fit.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.owners.iter().map(owner::Handle::records).sum()
    }

    /// How many records were read to claim this partition last, if it was claimed here.
    #[must_use]
    pub fn records_read_of(&self, partition: u16) -> u64 {
        self.owners.get(usize::from(partition)).map_or(0, owner::Handle::records)
    }

    /// Up to where this process has read a partition that it does not serve but stands by for.
    #[must_use]
    pub fn followed(&self, partition: u16) -> Position {
        self.owners.get(usize::from(partition)).map_or(Position::START, owner::Handle::followed)
    }

    /// The partitions that this process serves, as far as it knows.
    #[must_use]
    pub fn owned(&self) -> Vec<u16> {
        (0..).zip(self.owners.iter()).filter(|(_, owner)| owner.is_here()).map(|(number, _)| number).collect()
    }

    /// For each partition that this process owned, what it last saw admitted there, and the highest key count up to there.
    #[must_use]
    pub fn admitted(&self) -> Vec<(Checkpoint, u64)> {
        self.owners.iter().filter_map(owner::Handle::admitted).collect()
    }

    /// The partitions that nobody serves, as far as this process knows: neither itself nor another node that it heard of.
    #[must_use]
    pub fn unowned(&self) -> Vec<u16> {
        let elsewhere = |number| self.forwarder.as_ref().is_some_and(|others| others.owner(number).is_some());
        let all = (0..).zip(self.owners.iter());
        all.filter(|(number, owner)| !owner.is_here() && !elsewhere(*number))
            .map(|(number, _)| number)
            .collect()
    }

    /// How many partitions there are; the first is 0.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    /// The log behind it.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log.id()
    }

    /// How many aggregates are parked, in all partitions.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.owners.iter().map(owner::Handle::parked).sum()
    }

    /// The partitions whose owner is stopped until somebody looks, for a probe.
    #[must_use]
    pub fn stopped_partitions(&self) -> Vec<u16> {
        (0..).zip(self.owners.iter()).filter(|(_, owner)| owner.halted()).map(|(number, _)| number).collect()
    }

    /// The partitions without an owner here because the machine's clock is wrong, for a probe.
    #[must_use]
    pub fn waiting_for_clock(&self) -> Vec<u16> {
        let all = (0..).zip(self.owners.iter());
        all.filter(|(_, owner)| owner.waits_for_clock()).map(|(number, _)| number).collect()
    }

    fn post(&self, message: Message) -> Result<(), Unavailable> {
        let route = message.stream.route.into_bytes();
        self.post_to(self.log.partition_of(message.merchant.bytes(), route), message)
    }

    fn post_to(&self, partition: u16, message: Message) -> Result<(), Unavailable> {
        let owner = self.owner(partition)?;
        if let Some(forwarder) = self.forwarder.as_ref().filter(|_| !owner.is_here())
            && let Some(elsewhere) = forwarder.owner(partition)
        {
            forwarder.forward(elsewhere, partition, message);
            return Ok(());
        }
        owner.post(message)
    }

    fn owner(&self, partition: u16) -> Result<&owner::Handle, Unavailable> {
        self.owners.get(usize::from(partition)).ok_or(Unavailable::NotOwned)
    }
}

/// One caller: how it looks at the state, what it saw, and where the answer goes.
struct Ask<A, T, V> {
    view: V,
    seen: Option<T>,
    answer: oneshot::Sender<Result<(A, T), Unavailable>>,
}

type Answer<A, T> = oneshot::Receiver<Result<(A, T), Unavailable>>;

impl<A, T, V> Ask<A, T, V>
where
    A: Send + 'static,
    T: Send + 'static,
    V: Fn(&Aggregate) -> T + Send + 'static,
{
    fn waiting(view: V) -> (Box<dyn Asker<A>>, Answer<A, T>) {
        let (answer, answered) = oneshot::channel();
        (Box::new(Self { view, seen: None, answer }), answered)
    }
}

impl<A, T, V> Asker<A> for Ask<A, T, V>
where
    A: Send,
    T: Send,
    V: Fn(&Aggregate) -> T + Send,
{
    fn see(&mut self, aggregate: &Aggregate) {
        self.seen = Some((self.view)(aggregate));
    }

    fn answer(self: Box<Self>, answer: Result<A, Unavailable>) {
        let seen = self.seen.ok_or(Unavailable::NotOwned);
        // A caller that went away no longer wants to know.
        drop(self.answer.send(answer.and_then(|answer| Ok((answer, seen?)))));
    }
}
