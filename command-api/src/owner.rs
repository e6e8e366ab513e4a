//! The owner of a partition: takes from its mailbox, decides against speculative state, appends without waiting, and
//! answers each command when its own record is admitted.
//!
//! It claims, serves until it is fenced or in doubt, and claims again; a history that diverged stops it for good.
mod answers;
mod back_off;
mod catch_up;
mod due;
#[cfg(test)]
mod keeping_tests;
mod lost;
mod mailbox;
pub(crate) mod packed;
mod partition;
mod pieces;
mod saver;
pub(crate) mod snapshots;
mod stand_by;
mod state;
mod stream;
mod table;
mod tenure;
#[cfg(test)]
mod tests;
mod tiers;
mod unsaved;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use event_log::{Checkpoint, Log, Position, Stopped, Watch};
use privacy::KeyStore;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};

pub use due::{DueQuery, DueStream};
pub use snapshots::{SnapshotError, Snapshots};

pub(crate) use mailbox::{Asker, Listing, Message, Saving, Work};
pub(crate) use partition::{First, Partition, StreamKey, meta};
pub(crate) use state::{StateError, forgets};

use crate::{
    clock::{Clock, WrongClock},
    commands::{Commander, Unavailable},
    nodes::{self, ForwardError, Forwarder, Nodes},
    planted,
};
use back_off::BackOff;
use catch_up::{Claimed, Following};
use mailbox::Mailbox;
use saver::Saver;
use stand_by::StandBy;
use tenure::{Halt, Tenure};
use tiers::Limits;

/// More messages than this waiting for one owner are refused.
const WAITING_MAX: usize = 65_536;
/// At most this many messages are taken before answers are looked at again.
const DRAIN_MAX: usize = 256;
/// At most this many records are on their way.
const IN_FLIGHT_MAX: usize = 1_024;

/// An owner cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log refuses, or a record of it cannot be taken in.
    #[error("the partition cannot be claimed")]
    Log(#[source] event_log::Error),
    /// The key store has lost inserts that the log's records have seen, or does not say.
    #[error("the key store does not fit the log")]
    Keys(#[source] privacy::Error),
    /// The snapshots failed, or what they say cannot be read.
    #[error("the state cannot be had")]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This machine's clock is wrong, or may be.
    #[error("the clock of this machine cannot be trusted")]
    Clock(#[source] WrongClock),
    /// The other nodes cannot be asked.
    #[error("the other nodes cannot be asked")]
    Nodes(#[source] ForwardError),
    /// The owner's task is gone.
    #[error("the owner's task ended")]
    Ended,
}

/// Where owners keep the state that is too much for the memory, and how much of it may be there.
#[derive(Clone)]
pub struct Keeping {
    /// The rest, and what a start begins with.
    snapshots: Snapshots,
    /// Streams that are ready for commands at once, in all partitions together.
    live_streams: usize,
    /// Memory for the packed state of the others, in bytes, in all partitions together.
    memory_bytes: usize,
    /// A bug that a test plants.
    #[cfg(test)]
    pub(crate) planted: Option<Planted>,
}

/// Bugs of saving that the tests must find.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// A round is written before what was on its way is admitted.
    SpeculativeSnapshot,
    /// The checkpoint moves on without the streams that changed.
    ForgottenRows,
}

impl Keeping {
    /// In these snapshots, with so many streams and bytes in memory.
    #[must_use]
    pub const fn new(snapshots: Snapshots, live_streams: usize, memory_bytes: usize) -> Self {
        Self {
            snapshots,
            live_streams,
            memory_bytes,
            #[cfg(test)]
            planted: None,
        }
    }

    fn limits(&self, partitions: u16) -> Limits {
        let partitions = usize::from(partitions.max(1));
        let packed_bytes = self.memory_bytes / partitions;
        // Decoded, a state takes a few times of what it takes packed.
        Limits { live: self.live_streams / partitions, live_bytes: packed_bytes / 4, packed_bytes }
    }
}

/// The way into one owner's mailbox.
pub(crate) struct Handle {
    post: mpsc::UnboundedSender<Message>,
    gauge: Arc<Gauge>,
}

/// What others may know of an owner.
#[derive(Default)]
struct Gauge {
    waiting: AtomicUsize,
    parked: AtomicUsize,
    halted: AtomicBool,
    /// The partition is claimed and served by this process.
    here: AtomicBool,
    /// It is not, because the machine's clock is wrong.
    waits_for_clock: AtomicBool,
    /// How many records were read to claim last.
    records: AtomicU64,
    /// Up to there a stand-by has read.
    followed: AtomicU64,
    /// How often there may have been a privacy request more that is open.
    stirred: AtomicU64,
    /// Tells what the writer of the last claim here knows to be admitted.
    watch: Mutex<Option<Watch>>,
}

impl Gauge {
    /// What was last seen admitted by the writer of the last claim here, with the highest key count up to there.
    fn admitted(&self) -> Option<(Checkpoint, u64)> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).clone();
        watch.map(|watch| watch.admitted())
    }
}

impl Handle {
    pub(crate) fn post(&self, message: Message) -> Result<(), Unavailable> {
        if self.gauge.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            return Err(Unavailable::Overloaded);
        }
        self.gauge.waiting.fetch_add(1, Ordering::Relaxed);
        self.post.send(message).map_err(|_| Unavailable::NotOwned)
    }

    pub(crate) fn parked(&self) -> usize {
        self.gauge.parked.load(Ordering::Relaxed)
    }

    /// How many records were read to claim last.
    pub(crate) fn records(&self) -> u64 {
        self.gauge.records.load(Ordering::Relaxed)
    }

    /// Up to where a stand-by has read.
    pub(crate) fn followed(&self) -> Position {
        Position::new(self.gauge.followed.load(Ordering::Relaxed))
    }

    /// What this process last saw admitted as an owner, with the highest key count up to there.
    pub(crate) fn admitted(&self) -> Option<(Checkpoint, u64)> {
        self.gauge.admitted()
    }

    /// How often there may have been a privacy request more that is open.
    pub(crate) fn stirred(&self) -> u64 {
        self.gauge.stirred.load(Ordering::Acquire)
    }

    /// Whether this process serves the partition, as far as it knows.
    pub(crate) fn is_here(&self) -> bool {
        self.gauge.here.load(Ordering::Acquire)
    }

    /// Whether the partition has no owner here because the machine's clock is wrong.
    pub(crate) fn waits_for_clock(&self) -> bool {
        self.gauge.waits_for_clock.load(Ordering::Relaxed)
    }

    /// Whether the owner is stopped for good.
    pub(crate) fn halted(&self) -> bool {
        self.gauge.halted.load(Ordering::Relaxed)
    }
}

/// [`start_keeping`] with nothing kept: every start reads the whole log, and all state stays in memory.
///
/// # Errors
/// [`StartError`].
pub async fn start(log: &Log, keys: &KeyStore, clock: &Clock) -> Result<Commander, StartError> {
    start_keeping(log, keys, clock, None).await
}

/// Starts an owner per partition and returns when all have claimed. They end with the last [`Commander`].
///
/// # Errors
/// [`StartError`]: the log or the key store is not fit to be written on.
pub async fn start_keeping(
    log: &Log,
    keys: &KeyStore,
    clock: &Clock,
    keeping: Option<Keeping>,
) -> Result<Commander, StartError> {
    start_among(log, keys, clock, keeping, None).await
}

/// The same as one of several nodes: it claims what is proposed to it, as long as it is, and has others asked for the rest.
/// It does not wait for any claim.
///
/// # Errors
/// [`StartError`].
pub async fn start_among(
    log: &Log,
    keys: &KeyStore,
    clock: &Clock,
    keeping: Option<Keeping>,
    nodes: Option<Nodes>,
) -> Result<Commander, StartError> {
    let forwarder = nodes.as_ref().map(|nodes| Forwarder::new(log, nodes.owners.clone(), keys));
    let forwarder = forwarder.transpose().map_err(StartError::Nodes)?;
    let mut handles = Vec::new();
    let mut claims = Vec::new();
    let stirred = Arc::new(watch::Sender::new(0));
    for number in 0..log.partitions() {
        let (post, posted) = mpsc::unbounded_channel();
        let (claimed, claim) = oneshot::channel();
        let gauge = Arc::new(Gauge::default());
        handles.push(Handle { post, gauge: gauge.clone() });
        claims.push(claim);
        let mailbox = Mailbox::default();
        let (log, keys, clock) = (log.clone(), keys.clone(), clock.clone());
        let keeping = keeping.clone();
        let owner = Owner {
            log,
            number,
            keys,
            clock,
            keeping,
            nodes: nodes.clone(),
            distrusted: false,
            posted,
            closed: false,
            mailbox,
            gauge,
            stirred: stirred.clone(),
        };
        tokio::spawn(owner.run(claimed));
    }
    for claim in claims {
        claim.await.map_err(|_| StartError::Ended)??;
    }
    Ok(Commander::new(log.clone(), handles, forwarder, stirred))
}

struct Owner {
    log: Log,
    number: u16,
    keys: KeyStore,
    clock: Clock,
    keeping: Option<Keeping>,
    /// Several nodes share the partitions.
    nodes: Option<Nodes>,
    /// The snapshots failed in the last term.
    distrusted: bool,
    posted: mpsc::UnboundedReceiver<Message>,
    /// Nobody can post any more.
    closed: bool,
    mailbox: Mailbox,
    gauge: Arc<Gauge>,
    /// Told when there may be an open privacy request, in whichever partition.
    stirred: Arc<watch::Sender<u64>>,
}

/// Why an owner stopped serving.
enum End {
    Closed,
    /// The partition is no longer proposed to this process.
    Withdrawn,
    Halt(Halt),
}

impl Owner {
    async fn run(mut self, claimed: oneshot::Sender<Result<(), StartError>>) {
        let mut claimed = Some(claimed);
        let mut back_off = BackOff::new();
        let mut stood_by = None;
        if self.nodes.is_some() {
            claimed.take().map(|first| first.send(Ok(())));
        }
        loop {
            stood_by = match self.until_proposed(stood_by).await {
                Ok(Some(stood_by)) => stood_by,
                Ok(None) => return,
                Err(error) => return self.halt(&error).await,
            };
            let claim = self.claim(&mut stood_by).await;
            self.gauge.waits_for_clock.store(matches!(claim, Err(StartError::Clock(_))), Ordering::Relaxed);
            match claim {
                Ok(partition) => {
                    claimed.take().map(|first| first.send(Ok(())));
                    self.gauge.here.store(true, Ordering::Release);
                    self.stir();
                    let begun = Instant::now();
                    let end = self.serve(partition).await;
                    self.gauge.here.store(false, Ordering::Release);
                    back_off.served(begun.elapsed());
                    match end {
                        End::Closed => return,
                        End::Withdrawn => continue,
                        End::Halt(Halt::Stopped(Stopped::Diverged(diverged))) => {
                            return self.halt(&StartError::Log(diverged.into())).await;
                        }
                        End::Halt(halt) => self.report(&halt),
                    }
                }
                // Whoever starts is told at once; whoever served waits until the clock is right.
                Err(error)
                    if is_final(&error) || matches!(error, StartError::Clock(_)) && claimed.is_some() =>
                {
                    let told = claimed.take().map(|first| first.send(Err(error)));
                    let error = told.and_then(Result::err).and_then(Result::err).unwrap_or(StartError::Ended);
                    return self.halt(&error).await;
                }
                Err(error) => {
                    tracing::warn!(
                        partition = self.number,
                        error = &error as &dyn std::error::Error,
                        "Partition {} could not be claimed; trying again",
                        self.number
                    );
                    self.refuse_waiting(&Unavailable::NotOwned);
                }
            }
            if self.closed && self.mailbox.is_empty() {
                return;
            }
            sleep(back_off.pause()).await;
        }
    }

    /// Refuses whatever comes until the partition is proposed to this process, and follows it meanwhile; nothing once
    /// nobody asks any more. What it gives is where a claim begins, if it stood by; what it takes is that of a claim that
    /// did not come to use it.
    ///
    /// # Errors
    /// What a claim would fail with for good.
    async fn until_proposed(
        &mut self,
        stood_by: Option<Following>,
    ) -> Result<Option<Option<Following>>, StartError> {
        let Some(nodes) = self.nodes.clone() else { return Ok(Some(None)) };
        let mut proposed = nodes.proposed;
        let mut stand_by = StandBy::new(nodes.stands_by, stood_by);
        loop {
            if nodes::is_proposed(Some(&proposed), self.number) {
                return Ok(Some(stand_by.end()));
            }
            self.gauge.waits_for_clock.store(false, Ordering::Relaxed);
            tokio::select! {
                biased;
                () = nodes::until_proposed(&mut proposed, self.number) => {}
                () = self.fill() => self.refuse_waiting(&Unavailable::NotOwned),
                () = stand_by.changed() => {
                    stand_by.step(&self.log, self.number, self.keeping.as_ref(), &proposed).await?;
                    self.gauge.followed.store(stand_by.followed().get(), Ordering::Relaxed);
                }
            }
            if self.closed {
                return Ok(None);
            }
        }
    }

    /// Claims and folds every record there is, over what was read standing by once the log is known to hold.
    async fn claim(&mut self, stood_by: &mut Option<Following>) -> Result<Partition, StartError> {
        let begun = Instant::now();
        let (log, number, keeping) = (&self.log, self.number, self.keeping.as_ref());
        let (clock, remembered) = (Some(&self.clock), self.gauge.admitted());
        holds(log, remembered.as_ref()).await?;
        let claimed = catch_up::claim(log, number, keeping, self.distrusted, stood_by.take(), clock).await;
        let Claimed { folded, writer, records } = claimed?;
        holds(log, remembered.as_ref()).await?;
        self.distrusted = false;
        self.gauge.records.store(records, Ordering::Relaxed);
        tracing::info!(
            partition = self.number,
            records,
            elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "Partition {} is claimed; {records} records were read",
            self.number
        );
        self.keys.ensure_at_least(writer.key_count()).await.map_err(StartError::Keys)?;
        if let Some(nodes) = &self.nodes {
            nodes.owners.announce(self.number, writer.term().number);
        }
        self.gauge.parked.store(folded.parked(), Ordering::Relaxed);
        let partition = Partition::new(folded, writer, self.keys.clone(), self.clock.clone());
        *self.gauge.watch.lock().unwrap_or_else(PoisonError::into_inner) = partition.watch();
        Ok(partition)
    }

    /// Works off the mailbox until the writer stops, the partition is withdrawn or nobody can ask any more.
    async fn serve(&mut self, partition: Partition) -> End {
        let (mut proposed, mut withdrawn) = (self.nodes.as_ref().map(|nodes| nodes.proposed.clone()), false);
        let mut tenure = Tenure::new(partition);
        let mut saver = Saver::new();
        #[cfg(test)]
        saver.plant(self.keeping.as_ref().and_then(|keeping| keeping.planted));
        loop {
            if withdrawn {
                self.refuse_waiting(&Unavailable::NotOwned);
            }
            let dry = withdrawn || self.closed && self.mailbox.is_empty();
            if dry && tenure.is_idle() {
                tenure.save_all(&mut saver).await;
                return if self.closed { End::Closed } else { End::Withdrawn };
            }
            let has_changes = tenure.save(&mut saver).await;
            let (has_work, next_round) = (saver.has_work(), saver.next_round(has_changes));
            tokio::select! {
                biased;
                admitted = tenure.admitted(), if !tenure.is_idle() => match admitted {
                    Ok(appended) => if let Err(stopped) = tenure.settle(appended).await {
                        return self.stop(tenure, stopped.into());
                    },
                    Err(stopped) => return self.stop(tenure, stopped.into()),
                },
                news = saver.news() => tenure.take(&mut saver, news).await,
                () = nodes::until_withdrawn(proposed.as_mut(), self.number),
                    if !withdrawn && !planted::serves_revoked() && !planted::hears_late() =>
                {
                    self.gauge.here.store(false, Ordering::Release);
                    withdrawn = true;
                }
                () = self.fill(), if !dry && tenure.len() < IN_FLIGHT_MAX => {
                    if let Err(halt) = self.drain(&mut tenure).await {
                        return self.stop(tenure, halt);
                    }
                }
                () = std::future::ready(()), if has_work => {}
                () = sleep_until(next_round.unwrap_or_else(Instant::now)), if next_round.is_some() => {}
            }
        }
    }

    /// Waits until there is a message, then takes in all that were posted. Loses none if dropped.
    async fn fill(&mut self) {
        if self.mailbox.is_empty() {
            match self.posted.recv().await {
                Some(message) => self.mailbox.put(message),
                None => self.closed = true,
            }
        }
        while let Ok(message) = self.posted.try_recv() {
            self.mailbox.put(message);
        }
    }

    async fn drain(&mut self, tenure: &mut Tenure) -> Result<(), Halt> {
        for _ in 0..DRAIN_MAX {
            let Some(message) = self.mailbox.take() else { break };
            self.gauge.waiting.fetch_sub(1, Ordering::Relaxed);
            tenure.work(message).await?;
        }
        if tenure.take_opened() {
            self.stir();
        }
        if self.gauge.parked.swap(tenure.parked(), Ordering::Relaxed) != tenure.parked() {
            let partition = self.number.to_string();
            metrics::gauge!("aggregates_parked", "partition" => partition)
                .set(u32::try_from(tenure.parked()).unwrap_or(u32::MAX));
        }
        tenure.prove_reads().await
    }

    /// Fenced: somebody newer answers now. Doubt, or state that cannot be had: the commands are kept and found or decided
    /// again after the claim.
    fn stop(&mut self, tenure: Tenure, halt: Halt) -> End {
        let pending = tenure.abandon();
        match &halt {
            Halt::Stopped(Stopped::Doubt { .. }) | Halt::State(_) => {
                self.distrusted = matches!(halt, Halt::State(_));
                self.gauge.waiting.fetch_add(pending.len(), Ordering::Relaxed);
                self.mailbox.resume(pending);
            }
            Halt::Stopped(Stopped::Fenced { .. }) => {
                pending.into_iter().for_each(|message| message.work.refuse(Unavailable::NotOwned));
                self.refuse_waiting(&Unavailable::NotOwned);
            }
            Halt::Stopped(Stopped::Diverged(_)) => {
                pending.into_iter().for_each(|message| message.work.refuse(Unavailable::Stopped));
            }
        }
        End::Halt(halt)
    }

    fn refuse_waiting(&mut self, why: &Unavailable) {
        while let Ok(message) = self.posted.try_recv() {
            self.mailbox.put(message);
        }
        while let Some(message) = self.mailbox.take() {
            self.gauge.waiting.fetch_sub(1, Ordering::Relaxed);
            message.work.refuse(why.clone());
        }
    }

    fn report(&self, halt: &Halt) {
        metrics::counter!("owner_stopped_total").increment(1);
        tracing::warn!(
            partition = self.number,
            error = halt as &dyn std::error::Error,
            "The owner of partition {} stopped and claims again",
            self.number
        );
    }

    /// Says that there may be an open privacy request.
    fn stir(&self) {
        self.gauge.stirred.fetch_add(1, Ordering::Release);
        self.stirred.send_modify(|times| *times += 1);
    }

    /// Answers everybody that the partition is stopped, until nobody asks any more.
    async fn halt(mut self, error: &StartError) {
        self.gauge.halted.store(true, Ordering::Relaxed);
        metrics::gauge!("owner_halted", "partition" => self.number.to_string()).set(1.0);
        tracing::error!(
            partition = self.number,
            error = error as &dyn std::error::Error,
            "ALARM: partition {} is stopped",
            self.number
        );
        while !self.closed {
            self.refuse_waiting(&Unavailable::Stopped);
            self.fill().await;
        }
    }
}

/// What this process saw admitted as an owner must be in the log still: its snapshots may be older, and fit a log that
/// lost records since.
async fn holds(log: &Log, remembered: Option<&(Checkpoint, u64)>) -> Result<(), StartError> {
    let Some((checkpoint, _)) = remembered else { return Ok(()) };
    match log.contradicts(checkpoint).await.map_err(StartError::Log)? {
        Some(diverged) => Err(StartError::Log(diverged.into())),
        None => Ok(()),
    }
}

/// Whether claiming again cannot help.
pub(super) fn is_final(error: &StartError) -> bool {
    match error {
        StartError::Keys(error) => !matches!(error, privacy::Error::Unavailable(_)),
        StartError::Log(error) => matches!(
            error,
            event_log::Error::Diverged(_) | event_log::Error::Owner { .. } | event_log::Error::ReadOnly
        ),
        StartError::State(_) | StartError::Clock(_) | StartError::Nodes(_) | StartError::Ended => false,
    }
}

/// Partition 0 of a log, claimed for one test, with nothing kept.
#[cfg(test)]
pub(crate) async fn claim(log: &Log) -> Claimed {
    catch_up::claim(log, 0, None, false, None, None).await.unwrap()
}
