//! What happens because time passes: points are released within a minute, and expire or are warned of once a day.
//!
//! Owners know which accounts are due for what, so nobody else is asked. Each job is a command with a time (`as_of`)
//! and a key that follows from it; what was missed while nothing ran is done at the next pass, and never twice.
mod daily;
mod jobs;
mod refused;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use event_schemas::{MerchantId, Timestamp};
use group_commit::{Fault, Store, values};

use crate::{
    clock::Clock,
    commands::{Commander, Unavailable},
    nodes::{self, Proposed, is_proposed},
    policies::Parts,
    shops::{Shop, Shops},
};
use jobs::{Job, When};
use refused::Refused;

/// How often the clock is looked at while nobody moves it.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The running schedule; it ends with the runtime. Cheap to clone.
#[derive(Clone)]
pub struct Schedule {
    commander: Commander,
    shops: Shops,
    clock: Clock,
    keys: privacy::KeyStore,
    work: Store,
    /// What is shared with other nodes: whoever has partition 0 runs the jobs of all.
    share: Option<Proposed>,
    passed: Arc<Passed>,
    refused: Arc<Refused>,
}

/// What the last pass left.
#[derive(Default)]
struct Passed {
    /// How often the clock had been moved when the last whole pass began, plus one; 0 before the first.
    moves: AtomicU64,
    last: Mutex<HashMap<&'static str, Ran>>,
}

#[derive(Clone, Copy)]
struct Ran {
    through: Timestamp,
    left: u64,
}

/// How far one job has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The job.
    pub name: &'static str,
    /// The time up to which it was looked for, by the clock; none before the first pass.
    pub through: Option<Timestamp>,
    /// Accounts that were due and are so still: tried again at the next pass.
    pub left: u64,
}

/// A pass stopped before its end.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("the owners cannot be asked")]
    Owner(#[from] Unavailable),
    #[error("work.db failed")]
    Store(#[from] Fault),
}

impl Schedule {
    /// Starts it.
    ///
    /// # Errors
    /// work.db cannot be read.
    pub async fn start(parts: &Parts) -> Result<Self, Fault> {
        Self::start_among(parts, None).await
    }

    /// The same as one of several nodes. The one whose share holds partition 0 runs the jobs of all partitions; the owners
    /// tell it what is due, wherever they are.
    ///
    /// # Errors
    /// work.db cannot be read.
    pub async fn start_among(parts: &Parts, share: Option<Proposed>) -> Result<Self, Fault> {
        let Parts { commander, shops, clock, keys, work, .. } = parts.clone();
        let (passed, refused) = (Arc::default(), Arc::default());
        let schedule = Self { commander, shops, clock, keys, work, share, passed, refused };
        let done = schedule.daily_runs().await?;
        tokio::spawn(schedule.clone().run(done));
        Ok(schedule)
    }

    /// Whether it is this node that runs the jobs.
    fn is_here(&self) -> bool {
        is_proposed(self.share.as_ref(), 0)
    }

    /// Waits until it is this node that runs the jobs; what another one did meanwhile is learnt from the store.
    async fn until_here(&self, done: &mut HashMap<MerchantId, Timestamp>) {
        let Some(mut share) = self.share.clone().filter(|_| !self.is_here()) else { return };
        loop {
            nodes::until_proposed(&mut share, 0).await;
            match self.daily_runs().await {
                Ok(runs) => {
                    *done = runs;
                    return;
                }
                Err(fault) => {
                    tracing::warn!(error = &fault as &dyn std::error::Error, "Due jobs have to wait");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// How far each job has come.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        let last = self.passed.last.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |job: &Job| {
            let ran = last.get(job.name);
            Progress {
                name: job.name,
                through: ran.map(|ran| ran.through),
                left: ran.map_or(0, |ran| ran.left),
            }
        };
        jobs::JOBS.iter().map(of).collect()
    }

    /// Whether all that was due when the clock was last moved, or at the start, is done; where another node runs the jobs
    /// there is nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        if !self.is_here() {
            return true;
        }
        self.passed.moves.load(Ordering::Acquire) > *self.clock.moves().borrow()
            && self.progress().iter().all(|job| job.left == 0)
    }

    async fn run(self, mut done: HashMap<MerchantId, Timestamp>) {
        let mut moves = self.clock.moves();
        loop {
            self.until_here(&mut done).await;
            let seen = *moves.borrow_and_update();
            match self.pass(&mut done).await {
                Ok(()) => self.passed.moves.store(seen.saturating_add(1), Ordering::Release),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "Due jobs have to wait");
                }
            }
            let pause = if self.is_idle() { LOOK_EVERY } else { Duration::from_millis(500) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = moves.changed() => {}
            }
        }
    }

    /// Does all that is due now.
    async fn pass(&self, done: &mut HashMap<MerchantId, Timestamp>) -> Result<(), Stopped> {
        let now = self.clock.now();
        for job in jobs::of(When::Always) {
            let left = self.run_job(job, None, now, now).await?;
            self.note(job, now, left);
        }
        let mut left: HashMap<&'static str, u64> = HashMap::new();
        for shop in self.shops.all().iter().filter(|shop| shop.installed) {
            let Some(as_of) = daily::latest(&shop.timezone, now) else { continue };
            if done.get(&shop.merchant).is_some_and(|done| *done >= as_of) {
                continue;
            }
            if self.run_daily(shop, as_of, &mut left).await? {
                self.note_daily_run(shop.merchant, as_of).await?;
                done.insert(shop.merchant, as_of);
            }
        }
        for job in jobs::of(When::Daily) {
            self.note(job, now, left.remove(job.name).unwrap_or_default());
        }
        Ok(())
    }

    /// All daily jobs of a shop; whether nothing is left of them.
    async fn run_daily(
        &self,
        shop: &Arc<Shop>,
        as_of: Timestamp,
        left: &mut HashMap<&'static str, u64>,
    ) -> Result<bool, Stopped> {
        let mut whole = true;
        for job in jobs::of(When::Daily) {
            let Some(up_to) = (job.up_to)(shop, as_of) else { continue };
            let left_of_it = self.run_job(job, Some(shop.merchant), up_to, as_of).await?;
            whole &= left_of_it == 0;
            *left.entry(job.name).or_default() += left_of_it;
        }
        Ok(whole)
    }

    fn note(&self, job: &Job, through: Timestamp, left: u64) {
        let mut last = self.passed.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(job.name, Ran { through, left });
    }

    async fn daily_runs(&self) -> Result<HashMap<MerchantId, Timestamp>, Fault> {
        let runs = self.work.read(|work| {
            work.all("SELECT merchant, as_of FROM daily_run", values![], |row| {
                Ok((MerchantId::from_bytes(row.at(0)?), Timestamp::from_micros(row.at(1)?)))
            })
        });
        Ok(runs.await?.into_iter().collect())
    }

    async fn note_daily_run(&self, merchant: MerchantId, as_of: Timestamp) -> Result<(), Fault> {
        let noted = self.work.run(move |work| {
            let sql = "INSERT INTO daily_run(merchant, as_of) VALUES (?1, ?2)
                ON CONFLICT(merchant) DO UPDATE SET as_of = excluded.as_of WHERE daily_run.as_of < excluded.as_of";
            work.execute(sql, values![&merchant.bytes(), as_of.micros()])
        });
        noted.await.map(drop)
    }
}
