//! How far the projections are, for queries that wait, for probes and for metrics.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use event_log::{Checkpoint, Hash, Log, Position, PositionToken};
use tokio::sync::watch;

/// The shared account of how far the projections are; cheap to clone.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

struct Shared {
    log: Log,
    names: Vec<&'static str>,
    /// Per partition, then per projection.
    reached: Vec<watch::Sender<Vec<Reached>>>,
    /// Per projection.
    parked: Vec<AtomicU64>,
    stopped: watch::Sender<Option<String>>,
    /// Told of every step of any partition, and of the stop.
    steps: watch::Sender<()>,
    /// Per partition: whether it is known not to be far behind.
    keeping_up: Vec<AtomicBool>,
    /// By partition: failures that may pass.
    failing: Mutex<BTreeMap<u16, String>>,
}

/// A place in a partition with the head of the chain after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The last record folded.
    pub position: Position,
    /// The chain's head after it.
    pub head: Hash,
}

impl From<&Checkpoint> for Reached {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self { position: checkpoint.position, head: checkpoint.state.head }
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
        let start = Reached { position: Position::START, head: Hash::ZERO };
        let reached = (0..log.partitions()).map(|_| watch::Sender::new(vec![start; names.len()])).collect();
        let parked = names.iter().map(|_| AtomicU64::new(0)).collect();
        let keeping_up = (0..log.partitions()).map(|_| AtomicBool::new(false)).collect();
        let (stopped, failing) = (watch::Sender::new(None), Mutex::default());
        let steps = watch::Sender::new(());
        let shared = Shared { log, names, reached, parked, stopped, steps, keeping_up, failing };
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
        let start = Reached { position: Position::START, head: Hash::ZERO };
        let Reached { position, head } = self.lowest(partition).unwrap_or(start);
        PositionToken::new(self.shared.log.id(), partition, position, head)
    }

    fn lowest(&self, partition: u16) -> Option<Reached> {
        let reached = self.shared.reached.get(usize::from(partition))?.borrow();
        reached.iter().min_by_key(|reached| reached.position).copied()
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
        let Some(reached) = self.shared.reached.get(usize::from(partition)) else {
            return false;
        };
        let mut reached = reached.subscribe();
        let arrived = reached.wait_for(|all| all.iter().all(|reached| reached.position >= position));
        tokio::time::timeout(within, arrived).await.is_ok_and(|arrived| arrived.is_ok())
    }

    /// Hears of every step from now on, whichever partition takes it, and of the stop.
    #[must_use]
    pub fn steps(&self) -> watch::Receiver<()> {
        self.shared.steps.subscribe()
    }

    /// Why the projections stopped for good, if they did: the log's history changed, or a newer program wrote it.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        self.shared.stopped.borrow().clone()
    }

    /// One line per projection.
    #[must_use]
    pub fn report(&self) -> Vec<Report> {
        let failing = || {
            let failing = self.shared.failing.lock().unwrap_or_else(PoisonError::into_inner);
            failing.values().next().cloned()
        };
        let error = self.stopped().or_else(failing);
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
        let partitions = (0..).zip(&self.shared.reached);
        partitions
            .map(|(partition, reached)| {
                let reached = reached.borrow().get(projection).map_or(0, |reached| reached.position.get());
                self.shared.log.end(partition).get().saturating_sub(reached)
            })
            .sum()
    }

    pub(crate) fn set_reached(&self, partition: u16, projections: &[usize], checkpoint: &Checkpoint) {
        if let Some(reached) = self.shared.reached.get(usize::from(partition)) {
            reached.send_modify(|all| {
                for number in projections {
                    if let Some(reached) = all.get_mut(*number) {
                        *reached = checkpoint.into();
                    }
                }
            });
            self.shared.steps.send_replace(());
        }
    }

    /// The same for one projection, if it is news.
    pub(crate) fn note_reached(&self, partition: u16, projection: usize, checkpoint: &Checkpoint) {
        let Some(reached) = self.shared.reached.get(usize::from(partition)) else { return };
        let is_news = reached.send_if_modified(|all| match all.get_mut(projection) {
            Some(reached) if *reached != checkpoint.into() => {
                *reached = checkpoint.into();
                true
            }
            _ => false,
        });
        if is_news {
            // Nobody may read the log here.
            self.shared.log.heard_of(partition, checkpoint.position);
            self.shared.steps.send_replace(());
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
        let mut failing = self.shared.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Some(reason) => failing.insert(partition, reason),
            None => failing.remove(&partition),
        };
    }

    /// Stops all projections for good; the first reason stays.
    pub(crate) fn stop(&self, reason: String) {
        self.shared.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            stopped.get_or_insert(reason);
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

/// Gauges are floating point; counts beyond 32 bits are as good as the largest.
fn gauge(count: u64) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
