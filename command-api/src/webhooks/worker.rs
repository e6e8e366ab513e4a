//! Works deliveries off: fairly by merchant, many at once, again after a fault, and never for ever.
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use event_schemas::{MerchantId, Timestamp, merchant::Processing};
use futures::FutureExt as _;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use uuid::Uuid;

use super::{
    execute::{Executor, Setback},
    inbox::{End, Inbox},
    schedule::{Job, Next, Schedule},
};
use crate::{chance, clock::Clock, shops::Shops};

/// Deliveries worked off at once. Nearly all of that time they wait for commits that they share, so their number is what
/// a commit is divided by.
const AT_ONCE: usize = 256;
/// Tries while something that we need is away: about half an hour.
const TRIES_MAX: u32 = 40;
/// Tries of what breaks in our own code: the payload itself may be the cause, and then it breaks for ever.
const TRIES_OF_FAULTS_MAX: u32 = 4;
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// After this the inbox itself is asked again, when it could not take the end of a delivery.
const INBOX_RETRY: Duration = Duration::from_secs(1);

/// The open deliveries of this process, and who waits for them.
#[derive(Default)]
pub(super) struct Queue {
    schedule: Mutex<Schedule>,
    changed: Notify,
}

impl Queue {
    pub(super) fn push(&self, merchant: MerchantId, row: Uuid) {
        self.with(|schedule| schedule.push(Job { merchant, row }));
        self.changed.notify_one();
    }

    fn push_after(&self, job: Job, wait: Duration) {
        self.with(|schedule| schedule.push_at(job, Instant::now() + wait));
        self.changed.notify_one();
    }

    fn with<T>(&self, work: impl FnOnce(&mut Schedule) -> T) -> T {
        // A panic inside leaves at worst one delivery unlisted, which the next start finds in the inbox.
        work(&mut self.schedule.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn next(&self, shops: &Shops) -> Job {
        loop {
            match self.with(|schedule| schedule.take(Instant::now(), |merchant| rate(shops, merchant))) {
                Next::Job(job) => return job,
                Next::At(at) => {
                    // Either way, look again.
                    drop(tokio::time::timeout_at(at, self.changed.notified()).await);
                }
                Next::Idle => self.changed.notified().await,
            }
        }
    }
}

fn rate(shops: &Shops, merchant: MerchantId) -> Processing {
    shops.by_id(merchant).map_or_else(
        || event_schemas::merchant::ProgramSettings::default().processing,
        |shop| shop.settings.processing.clone(),
    )
}

/// What a worker needs.
pub(super) struct Worker {
    pub(super) inbox: Inbox,
    pub(super) queue: Arc<Queue>,
    pub(super) shops: Shops,
    pub(super) clock: Clock,
    pub(super) executor: Executor,
}

impl Worker {
    /// Takes up what an earlier process left, then works until the runtime ends.
    pub(super) async fn run(self) {
        let worker = Arc::new(self);
        worker.take_up().await;
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let job = worker.queue.next(&worker.shops).await;
            let worker = Arc::clone(&worker);
            tokio::spawn(async move {
                worker.work_off(job).await;
                drop(place);
            });
        }
    }

    async fn take_up(&self) {
        loop {
            match self.inbox.open_rows().await {
                Ok(rows) => {
                    let now = self.clock.now();
                    for (merchant, row, at) in rows {
                        self.queue.push_after(Job { merchant, row }, until(now, at).min(BACK_OFF_MAX));
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "The inbox could not be read at start"
                    );
                    tokio::time::sleep(INBOX_RETRY).await;
                }
            }
        }
    }

    async fn work_off(&self, job: Job) {
        let done = AssertUnwindSafe(self.attempt(job)).catch_unwind().await;
        if let Ok(Err(error)) = &done {
            tracing::error!(inbox.row = %job.row, error = error as &dyn std::error::Error, "The inbox failed");
        }
        if !matches!(done, Ok(Ok(()))) {
            self.queue.push_after(job, INBOX_RETRY);
        }
    }

    async fn attempt(&self, job: Job) -> Result<(), super::inbox::Error> {
        let Some(delivery) = self.inbox.load(job.row).await? else { return Ok(()) };
        let tried = AssertUnwindSafe(self.executor.execute(&delivery)).catch_unwind().await;
        let tries = delivery.attempts.saturating_add(1);
        let (reason, tries_max) = match tried {
            Ok(Ok(end)) => return self.end(job, end).await,
            Ok(Err(Setback::Never(reason))) => (reason, 0),
            Ok(Err(Setback::Away(reason))) => (reason.to_owned(), TRIES_MAX),
            Ok(Err(Setback::Fault(error))) => {
                tracing::error!(inbox.row = %job.row, error = &*error, "A delivery met a fault");
                ("internal-fault".to_owned(), TRIES_OF_FAULTS_MAX)
            }
            Err(_) => ("internal-fault".to_owned(), TRIES_OF_FAULTS_MAX),
        };
        if tries >= tries_max {
            return self.end(job, End::DeadLettered { reason }).await;
        }
        let wait = back_off(tries);
        tracing::warn!(inbox.row = %job.row, inbox.tries = tries, "A delivery will be tried again: {reason}");
        self.inbox.postpone(job.row, tries, after(self.clock.now(), wait)).await?;
        self.queue.push_after(job, wait);
        Ok(())
    }

    async fn end(&self, job: Job, end: End) -> Result<(), super::inbox::Error> {
        match &end {
            End::Processed { .. } => metrics::counter!("webhooks_processed").increment(1),
            End::DeadLettered { reason } => {
                metrics::counter!("webhooks_dead_lettered").increment(1);
                tracing::warn!(inbox.row = %job.row, "A delivery was dead-lettered: {reason}");
            }
        }
        self.inbox.finish(job.row, end).await
    }
}

/// Twice as long each time, with jitter, so that what failed together does not come back together.
fn back_off(tries: u32) -> Duration {
    let doubled =
        BACK_OFF_FIRST.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1))).min(BACK_OFF_MAX);
    let half_ms = u64::try_from(doubled.as_millis() / 2).unwrap_or(u64::MAX);
    Duration::from_millis(half_ms) + chance::pause(half_ms)
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(at.micros().saturating_sub(now.micros())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_grows_and_stays_below_its_bound() {
        for tries in 1..=TRIES_MAX {
            assert!(back_off(tries) <= BACK_OFF_MAX, "{tries}");
        }
        assert!(back_off(1) >= BACK_OFF_FIRST / 2 && back_off(1) <= BACK_OFF_FIRST);
        assert!(back_off(30) >= BACK_OFF_MAX / 2);
    }
}
