//! Works deliveries off: fairly by merchant, many at once, until what was away is back, and a few times after a fault.
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use event_schemas::{MerchantId, Timestamp, merchant::Processing};
use futures::FutureExt as _;
use group_commit::{Fault, Store};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use uuid::Uuid;

use super::{
    execute::{Executor, Setback, end_of_erased},
    inbox::{self, End, Inbox, Open, Tried},
    schedule::{Job, Next, Schedule},
    slots::Slots,
    translate::is_compliance,
};
use crate::{chance, clock::Clock, requests::is_erased, shops::Shops};

/// Deliveries worked off at once. Nearly all of that time they wait for commits that they share, so their number is what
/// a commit is divided by.
const AT_ONCE: usize = 256;
/// Tries of what breaks in our own code: the payload itself may be the cause, and then it breaks for ever.
const TRIES_OF_FAULTS_MAX: u32 = 4;
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// After this the inbox itself is asked again, when it could not take the end of a delivery.
const INBOX_RETRY: Duration = Duration::from_secs(1);

/// How often a shared inbox is asked for what came through other doors ...
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// ... how often it is told that this worker lives ...
const RENEW_EVERY: Duration = Duration::from_millis(1500);
/// ... and how often all of it is looked through for what is open again: doors share the store, so that takes no more than
/// this part of the time.
const LOOK_THROUGH_EVERY: Duration = Duration::from_secs(5);
const LOOK_THROUGH_PART: u32 = 20;
/// Open deliveries that are looked at in one go.
const LOOKED_AT_MAX: u32 = if cfg!(test) { 10 } else { 10_000 };

/// The open deliveries of this process, and who waits for them.
pub(super) struct Queue {
    schedule: Mutex<Schedule>,
    changed: Notify,
    shared: Option<Shared>,
}

/// What an inbox needs that other processes share.
struct Shared {
    slots: Slots,
    /// There is something new in the inbox.
    news: Notify,
    /// Something old is open again.
    reopened: AtomicBool,
}

impl Queue {
    pub(super) fn new(work: &Store) -> Self {
        let shared = work.is_shared().then(|| Shared {
            slots: Slots::new(work.clone()),
            news: Notify::new(),
            reopened: AtomicBool::new(false),
        });
        Self { schedule: Mutex::default(), changed: Notify::new(), shared }
    }

    /// A delivery was kept; whoever has its shop works it off.
    pub(super) fn opened(&self, merchant: MerchantId, row: Uuid) {
        match &self.shared {
            None => self.push(merchant, row),
            Some(shared) => shared.news.notify_one(),
        }
    }

    /// Gives the deliveries that nobody has in hand to other workers at once.
    pub(super) async fn leave(&self) -> Result<(), Fault> {
        match &self.shared {
            None => Ok(()),
            Some(shared) => shared.slots.leave().await,
        }
    }

    /// A delivery that had ended is open again.
    pub(super) fn reopened(&self, merchant: MerchantId, row: Uuid) {
        if let Some(shared) = &self.shared {
            shared.reopened.store(true, Ordering::Release);
        }
        self.opened(merchant, row);
    }

    fn push(&self, merchant: MerchantId, row: Uuid) {
        self.with(|schedule| schedule.push(Job::new(merchant, row)));
        self.changed.notify_one();
    }

    pub(super) fn push_after(&self, job: Job, wait: Duration) {
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
                Next::Job(job) if self.begins(job) => return job,
                Next::Job(_) => {}
                Next::At(at) => {
                    // Either way, look again.
                    drop(tokio::time::timeout_at(at, self.changed.notified()).await);
                }
                Next::Idle => self.changed.notified().await,
            }
        }
    }
}

impl Queue {
    fn begins(&self, job: Job) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.slots.begin(job))
    }

    /// A delivery is out of hand, and is to be tried again after `again`.
    fn ends(&self, job: Job, again: Option<Duration>) {
        let is_again = self.shared.as_ref().is_none_or(|shared| shared.slots.end(job, again.is_some()));
        if let Some(wait) = again.filter(|_| is_again) {
            self.push_after(job, wait);
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

/// Up to where open deliveries were looked at, and whether there were no more.
struct Looked {
    last: i64,
    was_all: bool,
}

/// How far a shared inbox was looked at: at its end for what is new, and now and then all of it.
struct Looking {
    end: i64,
    through: Option<Through>,
    /// It is to be looked through once more than is under way.
    is_wanted: bool,
    next_at: Instant,
}

/// A look through all that was there when it began.
struct Through {
    last: i64,
    until: i64,
    since: Instant,
}

impl Looking {
    const fn new(now: Instant) -> Self {
        Self { end: 0, through: None, is_wanted: false, next_at: now }
    }

    /// Begins to look through all of it, if that is due, or something is open `anew`. What is under way goes on first: it
    /// would never come to its end if it were begun again each time.
    fn begin(&mut self, anew: bool, now: Instant) {
        self.is_wanted |= anew;
        if self.through.is_none() && (self.is_wanted || self.next_at <= now) {
            self.is_wanted = false;
            self.through = Some(Through { last: 0, until: self.end, since: now });
        }
    }

    /// Looks at what is new, and at the next of what is old. True if there is more to look at now.
    async fn step<F>(&mut self, queue_behind: impl Fn(i64) -> F) -> Result<bool, inbox::Error>
    where
        F: Future<Output = Result<Looked, inbox::Error>>,
    {
        let new = queue_behind(self.end).await?;
        self.end = new.last;
        let Some(through) = &mut self.through else { return Ok(!new.was_all) };
        if through.last < through.until {
            let old = queue_behind(through.last).await?;
            through.last = if old.was_all { through.until } else { old.last };
            return Ok(true);
        }
        self.next_at = Instant::now() + LOOK_THROUGH_EVERY.max(through.since.elapsed() * LOOK_THROUGH_PART);
        self.through = None;
        Ok(!new.was_all)
    }
}

impl Worker {
    /// Takes up what an earlier process left, then works until the runtime ends.
    pub(super) async fn run(self) {
        let worker = Arc::new(self);
        if worker.queue.shared.is_some() {
            tokio::spawn(Arc::clone(&worker).look_out());
        } else {
            worker.take_up().await;
        }
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
        let mut last = 0;
        loop {
            match self.queue_behind(last, |_| true).await {
                Ok(looked) if looked.was_all => return,
                Ok(looked) => last = looked.last,
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

    /// Queues the next open deliveries behind this one that are `wanted`.
    async fn queue_behind(&self, seq: i64, wanted: impl Fn(&Open) -> bool) -> Result<Looked, inbox::Error> {
        let (open, now) = (self.inbox.open_behind(seq, LOOKED_AT_MAX).await?, self.clock.now());
        for open in open.iter().filter(|open| wanted(open)) {
            let job = Job::new(open.merchant, open.row);
            self.queue.push_after(job, until(now, open.due).min(BACK_OFF_MAX));
        }
        let last = open.last().map_or(seq, |last| last.seq);
        Ok(Looked {
            last,
            was_all: u32::try_from(open.len()).is_ok_and(|looked_at| looked_at < LOOKED_AT_MAX),
        })
    }

    /// Looks for deliveries of this worker's shops, whichever door they came through.
    async fn look_out(self: Arc<Self>) {
        let Some(shared) = &self.queue.shared else { return };
        let (mut renew_at, mut looking) = (Instant::now(), Looking::new(Instant::now()));
        loop {
            let now = Instant::now();
            let mut anew = shared.reopened.swap(false, Ordering::AcqRel);
            if renew_at <= now {
                renew_at = now + RENEW_EVERY;
                match shared.slots.renew().await {
                    Ok(has_more) => anew |= has_more,
                    Err(error) => warn(&error),
                }
            }
            looking.begin(anew, now);
            match looking.step(|seq| self.queue_behind(seq, |open| shared.slots.offer(open))).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => warn(&error),
            }
            // Either way, look again.
            drop(tokio::time::timeout(LOOK_EVERY, shared.news.notified()).await);
        }
    }

    async fn work_off(&self, mut job: Job) {
        let done = AssertUnwindSafe(self.attempt(&mut job)).catch_unwind().await;
        let again = match done {
            Ok(Ok(again)) => again,
            Ok(Err(error)) => {
                tracing::error!(inbox.row = %job.row, error = &error as &dyn std::error::Error, "The inbox failed");
                Some(INBOX_RETRY)
            }
            Err(_) => Some(INBOX_RETRY),
        };
        self.queue.ends(job, again);
    }

    /// Tries it once; gives the time after which to try again.
    async fn attempt(&self, job: &mut Job) -> Result<Option<Duration>, inbox::Error> {
        let delivery = match self.inbox.load(job.row).await {
            Ok(Some(delivery)) => delivery,
            Ok(None) => return Ok(None),
            // Its shop was erased, and the keys of its days with it.
            Err(inbox::Error::Keys(error)) if is_erased(&error) => {
                let Some(tried) = self.inbox.tried(job.row).await? else { return Ok(None) };
                return self.end(*job, tried.drive, end_of_erased()).await.map(|()| None);
            }
            Err(error) if error.is_of_the_body() => return self.cannot_read(*job, &error).await,
            Err(error) => return Err(error),
        };
        let tried = AssertUnwindSafe(self.executor.execute(&delivery, job.waits)).catch_unwind().await;
        let drive = delivery.drive;
        let (reason, tries_max) = match tried {
            Ok(Ok(end)) => return self.end(*job, drive, end).await.map(|()| None),
            Ok(Err(Setback::Erased)) => return self.end(*job, drive, end_of_erased()).await.map(|()| None),
            Ok(Err(Setback::Never(reason))) => (reason, 0),
            // However long that takes: it was accepted, and nobody sends it again.
            Ok(Err(Setback::Away(reason))) => {
                job.waits = job.waits.saturating_add(1);
                // Seldomer each time: while something is away, all that is open waits.
                if job.waits.is_power_of_two() {
                    tracing::warn!(inbox.row = %job.row, inbox.waits = job.waits, "A delivery waits: {reason}");
                }
                return Ok(Some(back_off(job.waits)));
            }
            Ok(Err(Setback::Fault(error))) => {
                tracing::error!(inbox.row = %job.row, error = &*error, "A delivery met a fault");
                ("internal-fault".to_owned(), TRIES_OF_FAULTS_MAX)
            }
            Err(_) => ("internal-fault".to_owned(), TRIES_OF_FAULTS_MAX),
        };
        let tried = Tried { topic: delivery.topic, attempts: delivery.attempts, drive };
        self.put_off(*job, tried, reason, tries_max).await
    }

    /// Its key may be changing at the moment. If it stays so, only a person can help, who has the body from elsewhere.
    async fn cannot_read(&self, job: Job, error: &inbox::Error) -> Result<Option<Duration>, inbox::Error> {
        let Some(tried) = self.inbox.tried(job.row).await? else { return Ok(None) };
        tracing::error!(
            inbox.row = %job.row, error = error as &dyn std::error::Error,
            "The body of a delivery cannot be read"
        );
        self.put_off(job, tried, "body-unreadable".to_owned(), TRIES_OF_FAULTS_MAX).await
    }

    /// Gives the time after which to try it again, or ends it when it was tried so often.
    async fn put_off(
        &self,
        job: Job,
        tried: Tried,
        reason: String,
        tries_max: u32,
    ) -> Result<Option<Duration>, inbox::Error> {
        let Tried { topic, attempts, drive } = tried;
        let tries = attempts.saturating_add(1);
        if tries >= tries_max {
            if is_compliance(&topic) {
                told_aloud(job, topic, &reason);
            } else if self.inbox.is_of_erased(job.row).await? {
                return self.end(job, drive, end_of_erased()).await.map(|()| None);
            }
            return self.end(job, drive, End::DeadLettered { reason }).await.map(|()| None);
        }
        let wait = back_off(tries);
        tracing::warn!(inbox.row = %job.row, inbox.tries = tries, "A delivery will be tried again: {reason}");
        self.inbox.postpone(job.row, drive, tries, after(self.clock.now(), wait)).await?;
        Ok(Some(wait))
    }

    async fn end(&self, job: Job, drive: u32, end: End) -> Result<(), inbox::Error> {
        match &end {
            End::Processed { .. } | End::Forgotten { .. } => {
                metrics::counter!("webhooks_processed").increment(1);
            }
            End::DeadLettered { reason } => {
                metrics::counter!("webhooks_dead_lettered").increment(1);
                tracing::warn!(inbox.row = %job.row, "A delivery was dead-lettered: {reason}");
            }
        }
        self.inbox.finish(job.row, drive, end).await
    }
}

/// A deadline runs, and nobody but a person can help.
fn told_aloud(job: Job, topic: String, reason: &str) {
    metrics::counter!("privacy_requests_dead_lettered_total", "topic" => topic).increment(1);
    tracing::error!(
        inbox.row = %job.row, merchant.id = %job.merchant,
        "A request about a person's data cannot be carried out until somebody looks: {reason}"
    );
}

fn warn(error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(error, "The inbox could not be looked through; trying again");
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
        for tries in 1..=40 {
            assert!(back_off(tries) <= BACK_OFF_MAX, "{tries}");
        }
        assert!(back_off(1) >= BACK_OFF_FIRST / 2 && back_off(1) <= BACK_OFF_FIRST);
        assert!(back_off(30) >= BACK_OFF_MAX / 2);
    }

    /// Looks once at these open deliveries, three at a time, and gives those that were seen.
    async fn seen(looking: &mut Looking, open: &[i64]) -> Vec<i64> {
        let seen = Mutex::new(Vec::new());
        let page = |last: i64| {
            let page: Vec<i64> = open.iter().copied().filter(|seq| *seq > last).take(3).collect();
            let looked = Looked { last: page.last().copied().unwrap_or(last), was_all: page.len() < 3 };
            seen.lock().unwrap().extend(page);
            std::future::ready(Ok(looked))
        };
        looking.step(page).await.unwrap();
        seen.into_inner().unwrap()
    }

    /// Catches, tried: a look through all that begins from the first at each delivery that is open anew, and one that sees
    /// nothing of what is new until it is done.
    #[tokio::test]
    async fn what_is_new_is_seen_at_once_and_what_is_old_in_the_end_however_much_is_opened_again() {
        let (now, mut open) = (Instant::now(), (1..=30).collect::<Vec<i64>>());
        let mut looking = Looking::new(now);
        looking.begin(false, now);
        while looking.end < 30 {
            seen(&mut looking, &open).await;
        }
        let mut old = Vec::new();
        for new in 31..=50 {
            open.push(new);
            looking.begin(true, now);
            let seen = seen(&mut looking, &open).await;
            assert!(seen.contains(&new), "{new} is not among {seen:?}");
            old.extend(seen);
        }
        assert!((1..=30).all(|seq| old.contains(&seq)), "{old:?}");
        // What was opened again last is looked for too, and not for ever.
        let (mut again, mut steps) = (Vec::new(), 0);
        while looking.through.is_some() || looking.is_wanted {
            assert!(steps < 100, "{again:?}");
            steps += 1;
            looking.begin(false, now);
            again.extend(seen(&mut looking, &open).await);
        }
        assert!((1..=50).all(|seq| again.contains(&seq)), "{again:?}");
    }
}
