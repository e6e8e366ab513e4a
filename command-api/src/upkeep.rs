//! What keeps privacy true while time goes by: exports are made and end, keys of old days are destroyed, rows of the
//! directory without an event go, and what stays open for long is told.
mod day_keys;
mod sweep;
#[cfg(test)]
mod tests;
mod unasked;

use std::{fmt, sync::Arc, time::Duration};

use chrono::Days;
use event_schemas::Timestamp;
use group_commit::{Fault, Store, values};
use privacy::KeyStore;

use crate::{
    clock::Clock,
    commands::Commander,
    erasure::{TOLD_AFTER_DAYS, times_over},
    exports::{self, Exports},
    marks,
    policies::Parts,
    requests,
    webhooks::translate::COMPLIANCE,
};

/// How often it is looked whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the rest is done, by the system's clock.
const ROUND_EVERY_US: i64 = 3_600 * 1_000_000;
/// Inbox days that stay readable behind today's.
const DAYS_KEPT: u64 = 7;
const DAY_US: i64 = 86_400 * 1_000_000;
/// What is known of a request goes so long after it was asked for: its deadline, and the days for which it is shown.
const REQUEST_KEPT_DAYS: i64 = 30 + 90 + 10;
/// Of requests about people's data in the inbox, as [`times_over`] counts.
const AGES: [&str; TOLD_AFTER_DAYS.len() + 1] = ["day-0", "day-7", "day-21", "day-27", "overdue"];
/// When the last round was, in microseconds.
const ROUND: &str = "upkeep-round";

/// A round of upkeep did not come to its end; the next look goes on with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("work.db is not available")]
    Store(#[from] Fault),
    #[error("the keys are not available")]
    Keys(#[from] privacy::Error),
    #[error("an aggregate could not be read")]
    Command(#[from] crate::Unavailable),
}

/// Upkeep of one process; cheap to clone. It works where the partitions are owned: exports of requests there, and the rest
/// at the owner of partition 0.
#[derive(Clone)]
pub struct Upkeep {
    commander: Commander,
    keys: KeyStore,
    work: Store,
    clock: Clock,
    exports: Exports,
    /// One round at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Upkeep {
    /// Starts it; it stops with the runtime.
    pub fn start(parts: &Parts) {
        let upkeep = Self::new(parts);
        tokio::spawn(upkeep.clone().make_exports());
        tokio::spawn(upkeep.run());
    }

    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            commander: parts.commander.clone(),
            keys: parts.keys.clone(),
            work: parts.work.clone(),
            clock: parts.clock.clone(),
            exports: Exports::new(parts),
            turn: Arc::default(),
        }
    }

    async fn make_exports(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.exports.work_off().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "Exports wait for another try");
            }
        }
    }

    async fn run(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.commander.owned().contains(&0) {
                continue;
            }
            if let Err(error) = self.tick(self.clock.now()).await {
                metrics::counter!("privacy_upkeep_failures_total").increment(1);
                tracing::warn!(error = &error as &dyn std::error::Error, "Upkeep will be tried again");
            }
        }
    }

    /// Does what is due by now; nothing if the last round was a moment ago. One in the future was of a clock that was ahead.
    pub(crate) async fn tick(&self, now: Timestamp) -> Result<(), Error> {
        let last = self.work.read(|work| marks::get(work, ROUND)).await?;
        if (0..ROUND_EVERY_US).contains(&now.micros().saturating_sub(last)) {
            return Ok(());
        }
        self.round(now).await?;
        self.work.run(move |work| marks::set(work, ROUND, now.micros())).await?;
        Ok(())
    }

    async fn round(&self, now: Timestamp) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        while self.work.run(move |work| exports::expire(work, now)).await? > 0 {}
        self.tell_open(now).await?;
        self.tell_old_requests(now).await?;
        if let Some(before) = now.utc().date_naive().checked_sub_days(Days::new(DAYS_KEPT)) {
            self.destroy_days(before, now).await?;
        }
        self.sweep(now).await?;
        self.forget_unasked(now).await?;
        let asked_before = now.micros().saturating_sub(REQUEST_KEPT_DAYS * DAY_US);
        self.work.run(move |work| requests::drop_ended(work, asked_before)).await?;
        Ok(())
    }

    /// Tells of deliveries that are not done after a day, and after three: how many wait, and how many are dead letters.
    pub(crate) async fn tell_open(&self, now: Timestamp) -> Result<[(u32, u32); 2], Error> {
        let mut told = [(0, 0); 2];
        let alarms = [(1, "webhooks_open_over_1_day"), (3, "webhooks_open_over_3_days")];
        for ((days, name), told) in alarms.into_iter().zip(&mut told) {
            let before = now.micros().saturating_sub(days * DAY_US);
            let counted = self.work.read(move |work| {
                let of = |status: &str| {
                    // Written out, because a partial index serves it.
                    let open =
                        format!("SELECT count(*) FROM inbox WHERE status = '{status}' AND received_at <= ?1");
                    work.one(&open, values![before], |row| row.at::<u32>(0))
                };
                Ok((of("accepted")?, of("dead_lettered")?))
            });
            *told = counted.await?;
            let (waiting, dead) = *told;
            metrics::gauge!(name).set(f64::from(waiting.saturating_add(dead)));
            if waiting > 0 || dead > 0 {
                tracing::warn!(
                    inbox.waiting = waiting,
                    inbox.dead_lettered = dead,
                    "Deliveries are not done after {days} days"
                );
            }
        }
        Ok(told)
    }
}

impl Upkeep {
    /// Tells of requests about people's data that are dead letters, which only whoever edits them can have done, and of
    /// those that still wait. How many there are of each, those of today first, then after each of the days on which
    /// people are told.
    pub(crate) async fn tell_old_requests(&self, now: Timestamp) -> Result<[[u32; AGES.len()]; 2], Error> {
        let mut told = [[0_u32; AGES.len()]; 2];
        let alarms = [
            ("dead_lettered", "privacy_requests_dead_lettered", "are dead letters"),
            ("accepted", "privacy_requests_waiting", "wait"),
        ];
        for ((status, name, state), ages) in alarms.into_iter().zip(&mut told) {
            let received = self.work.read(move |work| {
                let topics =
                    COMPLIANCE.iter().map(|topic| format!("'{topic}'")).collect::<Vec<_>>().join(", ");
                // Written out, because a partial index serves it.
                let of = format!(
                    "SELECT received_at FROM inbox WHERE status = '{status}' AND topic IN ({topics})"
                );
                work.all(&of, values![], |row| row.at::<i64>(0))
            });
            for received in received.await? {
                if let Some(count) = ages.get_mut(times_over(received, now)) {
                    *count = count.saturating_add(1);
                }
            }
            for (age, count) in AGES.into_iter().zip(*ages) {
                metrics::gauge!(name, "age" => age).set(f64::from(count));
            }
            let old: u32 = ages.iter().skip(1).sum();
            if old > 0 {
                tracing::error!("ALARM: {old} requests about people's data {state} for a week and more");
            }
        }
        Ok(told)
    }
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upkeep")
    }
}
