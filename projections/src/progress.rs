//! How far the projections are, for queries that wait, for probes and for metrics.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use event_log::{Checkpoint, Hash, Log, Position, PositionToken};
use tokio::sync::watch;

use crate::{Error, error::chain};

/// The shared account of how far the projections are; cheap to clone.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

struct Shared {
    log: Log,
    names: Vec<&'static str>,
    /// Per partition.
    folded: Vec<watch::Sender<Folded>>,
    /// Per projection.
    parked: Vec<AtomicU64>,
    stopped: watch::Sender<Option<String>>,
    /// Told of every step of any partition, and of the stop.
    steps: watch::Sender<()>,
    /// Per partition: whether it is known not to be far behind.
    keeping_up: Vec<AtomicBool>,
    /// By partition: failures that may pass.
    failing: Reasons,
    /// By partition that others fold: why its rows do not follow the log.
    still: Reasons,
    /// It stopped because a newer program's tables are served.
    is_outdated: AtomicBool,
}

/// How far one partition is folded.
struct Folded {
    /// Per projection.
    reached: Vec<Reached>,
    /// Between these there is nothing to be folded: only what every reader skips.
    nothing: (Position, Position),
}

impl Folded {
    /// Up to where all is folded for a projection that has come there.
    fn shown(&self, reached: &Reached) -> Position {
        let (from, to) = self.nothing;
        if (from..to).contains(&reached.position) { to } else { reached.position }
    }
}

/// A place in a partition with the head of the chain after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The last record folded.
    pub position: Position,
    /// The chain's head after it.
    pub head: Hash,
}

impl Reached {
    const START: Self = Self { position: Position::START, head: Hash::ZERO };
}

impl From<Option<&Checkpoint>> for Reached {
    fn from(checkpoint: Option<&Checkpoint>) -> Self {
        let reached =
            |checkpoint: &Checkpoint| Self { position: checkpoint.position, head: checkpoint.state.head };
        checkpoint.map_or(Self::START, reached)
    }
}

/// One projection's part in `/admin/queues`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The projection.
    pub name: &'static str,
    /// Records not folded yet: 0 exactly when there are none, else at most this many, because positions may skip.
    pub lag_events: u64,
    /// Events that wait in parked sequences.
    pub parked: u64,
    /// Why it stands still, if it does.
    pub error: Option<String>,
}

impl Progress {
    pub(crate) fn new(log: Log, names: Vec<&'static str>) -> Self {
        let start = || Folded {
            reached: vec![Reached::START; names.len()],
            nothing: (Position::START, Position::START),
        };
        let folded = (0..log.partitions()).map(|_| watch::Sender::new(start())).collect();
        let parked = names.iter().map(|_| AtomicU64::new(0)).collect();
        let keeping_up = (0..log.partitions()).map(|_| AtomicBool::new(false)).collect();
        let (stopped, failing, still) = (watch::Sender::new(None), Mutex::default(), Mutex::default());
        let (steps, is_outdated) = (watch::Sender::new(()), AtomicBool::new(false));
        let shared =
            Shared { log, names, folded, parked, stopped, steps, keeping_up, failing, still, is_outdated };
        Self { shared: Arc::new(shared) }
    }

    /// The last position of the partition up to which every projection has folded.
    #[must_use]
    pub fn caught_up_to(&self, partition: u16) -> Position {
        self.lowest(partition).map_or(Position::START, |reached| reached.position)
    }

    /// The same as the token that answers carry.
    #[must_use]
    pub fn token(&self, partition: u16) -> PositionToken {
        let Reached { position, head } = self.lowest(partition).unwrap_or(Reached::START);
        PositionToken::new(self.shared.log.id(), partition, position, head)
    }

    fn lowest(&self, partition: u16) -> Option<Reached> {
        let folded = self.shared.folded.get(usize::from(partition))?.borrow();
        folded.reached.iter().min_by_key(|reached| reached.position).copied()
    }

    /// Whether waiting for the partition's newest record is worth a moment: not while thousands of records are to be
    /// folded first. Positions cannot tell, because a store may count them over all partitions.
    #[must_use]
    pub fn keeps_up(&self, partition: u16) -> bool {
        let keeping_up = self.shared.keeping_up.get(usize::from(partition));
        keeping_up.is_some_and(|keeping_up| keeping_up.load(Ordering::Relaxed))
    }

    /// Waits until every projection has folded the partition up to `position`; false if it takes longer.
    pub async fn wait_for(&self, partition: u16, position: Position, within: Duration) -> bool {
        let Some(folded) = self.shared.folded.get(usize::from(partition)) else {
            return false;
        };
        let mut folded = folded.subscribe();
        let is_there = |folded: &Folded| folded.reached.iter().all(|one| folded.shown(one) >= position);
        let arrived = folded.wait_for(is_there);
        tokio::time::timeout(within, arrived).await.is_ok_and(|arrived| arrived.is_ok())
    }

    /// Hears of every step from now on, whichever partition takes it, and of the stop.
    #[must_use]
    pub fn steps(&self) -> watch::Receiver<()> {
        self.shared.steps.subscribe()
    }

    /// Why the projections stopped for good, if they did: the log's history changed, or a newer program wrote it, or built
    /// the tables.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        self.shared.stopped.borrow().clone()
    }

    /// Whether they stopped because only a newer program may use the tables that are served.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.shared.is_outdated.load(Ordering::Acquire)
    }

    /// Why this process does not fold what it should, for good or for now.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.stopped().or_else(|| first(&self.shared.failing))
    }

    /// Why the rows of the partition are not current, if they stand still: here or where it is folded.
    #[must_use]
    pub fn stands_still(&self, partition: u16) -> Option<String> {
        self.stopped().or_else(|| lock(&self.shared.still).get(&partition).cloned())
    }

    /// The same of any partition that others fold.
    #[must_use]
    pub fn stands_still_elsewhere(&self) -> Option<String> {
        first(&self.shared.still)
    }

    /// One line per projection.
    #[must_use]
    pub fn report(&self) -> Vec<Report> {
        let error = self.failure().or_else(|| self.stands_still_elsewhere());
        let names = self.shared.names.iter().zip(&self.shared.parked).enumerate();
        names
            .map(|(number, (name, parked))| Report {
                name,
                lag_events: self.lag_of(number),
                parked: parked.load(Ordering::Relaxed),
                error: error.clone(),
            })
            .collect()
    }

    fn lag_of(&self, projection: usize) -> u64 {
        let partitions = (0..).zip(&self.shared.folded);
        partitions
            .map(|(partition, folded)| {
                let folded = folded.borrow();
                let reached = folded.reached.get(projection).map_or(0, |one| folded.shown(one).get());
                self.shared.log.end(partition).get().saturating_sub(reached)
            })
            .sum()
    }

    /// Where the tables stand; at the beginning without a checkpoint, also if they stood elsewhere before.
    pub(crate) fn set_reached(&self, partition: u16, projections: &[usize], at: Option<&Checkpoint>) {
        if let Some(folded) = self.shared.folded.get(usize::from(partition)) {
            folded.send_modify(|folded| {
                for number in projections {
                    if let Some(reached) = folded.reached.get_mut(*number) {
                        *reached = at.into();
                    }
                }
            });
            self.shared.steps.send_replace(());
        }
    }

    /// The same for one projection, if it is news.
    pub(crate) fn note_reached(&self, partition: u16, projection: usize, at: Option<&Checkpoint>) {
        let Some(folded) = self.shared.folded.get(usize::from(partition)) else { return };
        let at = Reached::from(at);
        let is_news = folded.send_if_modified(|folded| match folded.reached.get_mut(projection) {
            Some(reached) if *reached != at => {
                *reached = at;
                true
            }
            _ => false,
        });
        if is_news {
            // Nobody may read the log here.
            self.shared.log.heard_of(partition, at.position);
            self.shared.steps.send_replace(());
        }
    }

    /// A reader that stands at `from` read on up to `to` and found nothing to fold.
    pub(crate) fn note_nothing_between(&self, partition: u16, from: Position, to: Position) {
        if let Some(folded) = self.shared.folded.get(usize::from(partition)) {
            folded.send_if_modified(|folded| {
                let is_news = from < to && folded.nothing != (from, to);
                if is_news {
                    folded.nothing = (from, to);
                }
                is_news
            });
        }
    }

    pub(crate) fn set_parked(&self, projection: usize, events: u64) {
        if let Some(parked) = self.shared.parked.get(projection) {
            parked.store(events, Ordering::Relaxed);
        }
    }

    /// Publishes lag and parked events as metrics.
    pub(crate) fn publish(&self) {
        for report in self.report() {
            let labels = [("projection", report.name)];
            metrics::gauge!("projection_lag_events", &labels).set(gauge(report.lag_events));
            metrics::gauge!("projection_parked_events", &labels).set(gauge(report.parked));
        }
    }

    pub(crate) fn set_keeps_up(&self, partition: u16, keeps_up: bool) {
        if let Some(keeping_up) = self.shared.keeping_up.get(usize::from(partition)) {
            keeping_up.store(keeps_up, Ordering::Relaxed);
        }
    }

    /// Notes a failure that may pass, or that it passed.
    pub(crate) fn set_failing(&self, partition: u16, reason: Option<String>) {
        note(&self.shared.failing, partition, reason);
    }

    /// Notes why the rows of a partition that others fold do not follow the log, or that they do.
    pub(crate) fn set_still(&self, partition: u16, reason: Option<String>) {
        note(&self.shared.still, partition, reason);
        self.shared.steps.send_replace(());
    }

    /// Stops all projections for good; the first reason stays.
    pub(crate) fn stop(&self, error: &Error) {
        let reason = chain(error);
        tracing::error!("The projections stopped: {reason}");
        self.shared.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                self.shared.is_outdated.store(error.is_outdated(), Ordering::Release);
                *stopped = Some(reason);
            }
            first
        });
        self.shared.steps.send_replace(());
    }

    /// Returns when all projections are stopped.
    pub(crate) async fn until_stopped(&self) {
        let mut stopped = self.shared.stopped.subscribe();
        // The sender lives as long as this handle.
        drop(stopped.wait_for(Option::is_some).await);
    }
}

type Reasons = Mutex<BTreeMap<u16, String>>;

fn lock(reasons: &Reasons) -> MutexGuard<'_, BTreeMap<u16, String>> {
    reasons.lock().unwrap_or_else(PoisonError::into_inner)
}

fn first(reasons: &Reasons) -> Option<String> {
    lock(reasons).values().next().cloned()
}

fn note(reasons: &Reasons, partition: u16, reason: Option<String>) {
    match reason {
        Some(reason) => lock(reasons).insert(partition, reason),
        None => lock(reasons).remove(&partition),
    };
}

/// Gauges are floating point; counts beyond 32 bits are as good as the largest.
fn gauge(count: u64) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
