//! Steps that got stuck: kept with their record, counted, and tried again now and then.
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::policies;
use event_schemas::{EventId, RecordId, Timestamp};
use group_commit::{Database, Fault};

use super::{
    Policies,
    tail::{Caused, decode_body},
};

/// A parked aggregate comes back with its owner's next claim; nothing else gets better by itself.
const RETRY_EVERY: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(super) struct Parked {
    work: Database,
    streams: Arc<Mutex<HashMap<Sequence, u64>>>,
}

/// The steps of one policy for one stream: behind one that is stuck the later ones queue, because a level that was
/// overtaken must not come last. Policy, merchant, stream.
type Sequence = (String, [u8; 16], [u8; 16]);

/// A stuck step as it was stored.
struct Task {
    policy: String,
    record: [u8; 16],
    index: u16,
    step: String,
    merchant: [u8; 16],
    stream: [u8; 16],
    route: [u8; 16],
    body: Vec<u8>,
}

impl Parked {
    pub(super) async fn open(work: Database) -> Result<Self, Fault> {
        let read = |db: &rusqlite::Connection| {
            let sql = "SELECT policy, merchant, stream, count(*) FROM parked_task GROUP BY 1, 2, 3";
            let mut rows = db.prepare(sql)?;
            let rows =
                rows.query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?)))?;
            rows.collect()
        };
        let streams = Arc::new(Mutex::new(work.run(read).await?));
        Ok(Self { work, streams })
    }

    pub(super) fn count(&self) -> u64 {
        self.lock().values().sum()
    }

    /// Whether a step of this policy for this stream is stuck.
    pub(super) fn holds(&self, policy: &str, caused: &Caused) -> bool {
        let frame = &caused.record.frame;
        let streams = self.lock();
        !streams.is_empty() && streams.contains_key(&(policy.to_owned(), frame.merchant, frame.stream))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sequence, u64>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn park(
        &self,
        policy: &'static str,
        id: EventId,
        step: &'static str,
        caused: &Caused,
        reason: String,
        now: Timestamp,
    ) -> Result<(), Fault> {
        tracing::error!(policy, event.id = %id, step, reason, "Step {step} of {policy} is stuck: {reason}");
        let (frame, body) = (caused.record.frame, caused.record.body.clone());
        let inserted = self
            .work
            .run(move |db| {
                let sql = "INSERT OR IGNORE INTO parked_task
                    (policy, record, event_index, step, merchant, stream, route, body, reason, parked_at)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
                let record = id.record.bytes();
                db.prepare_cached(sql)?.execute(rusqlite::params![
                    policy,
                    record,
                    id.index,
                    step,
                    frame.merchant,
                    frame.stream,
                    frame.route,
                    &body[..],
                    reason,
                    now.micros()
                ])
            })
            .await?;
        if inserted > 0 {
            *self.lock().entry((policy.to_owned(), frame.merchant, frame.stream)).or_default() += 1;
        }
        metrics::counter!("policy_steps_parked_total", "policy" => policy).increment(1);
        Ok(())
    }

    async fn all(&self) -> Result<Vec<Task>, Fault> {
        let read = |db: &rusqlite::Connection| {
            let sql =
                "SELECT policy, record, event_index, step, merchant, stream, route, body FROM parked_task
                ORDER BY record, event_index, policy, step";
            let mut rows = db.prepare_cached(sql)?;
            let task = |row: &rusqlite::Row<'_>| {
                Ok(Task {
                    policy: row.get(0)?,
                    record: row.get(1)?,
                    index: row.get(2)?,
                    step: row.get(3)?,
                    merchant: row.get(4)?,
                    stream: row.get(5)?,
                    route: row.get(6)?,
                    body: row.get(7)?,
                })
            };
            rows.query_map([], task)?.collect()
        };
        self.work.run(read).await
    }

    async fn done(&self, task: Task) -> Result<(), Fault> {
        let sequence = task.sequence();
        let deleted: usize = self
            .work
            .run(move |db| {
                let sql = "DELETE FROM parked_task WHERE policy = ?1 AND record = ?2 AND event_index = ?3 AND step = ?4";
                db.execute(sql, (&task.policy, task.record, task.index, &task.step))
            })
            .await?;
        let mut streams = self.lock();
        if let Some(left) = streams.get_mut(&sequence) {
            *left = left.saturating_sub(deleted as u64);
        }
        streams.retain(|_, left| *left > 0);
        Ok(())
    }
}

impl Task {
    fn sequence(&self) -> Sequence {
        (self.policy.clone(), self.merchant, self.stream)
    }
}

impl Policies {
    pub(super) async fn retry_parked(self) {
        loop {
            if let Err(error) = self.retry_all().await {
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    "Stuck steps could not be tried again"
                );
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    pub(super) async fn retry_all(&self) -> Result<(), event_log::BoxError> {
        if self.parked.count() == 0 {
            return Ok(());
        }
        let mut stuck = HashSet::new();
        for task in self.parked.all().await? {
            if stuck.contains(&task.sequence()) {
                continue;
            }
            match self.retry(&task).await {
                Ok(true) => self.parked.done(task).await?,
                Ok(false) => drop(stuck.insert(task.sequence())),
                Err(error) => {
                    tracing::warn!(error = &*error as &dyn std::error::Error, "A stuck step cannot be read");
                    stuck.insert(task.sequence());
                }
            }
        }
        Ok(())
    }

    /// Whether the step is through now, or its policy no longer asks for it.
    async fn retry(&self, task: &Task) -> Result<bool, event_log::BoxError> {
        let id = EventId { record: RecordId::from_bytes(task.record), index: task.index };
        let decoded = decode_body(&task.merchant, &task.stream, &task.route, &task.body)?;
        let Some((cause, events)) = decoded else { return Ok(true) };
        let Some((_, event)) = events.into_iter().find(|(event_id, _)| *event_id == id) else {
            return Ok(true);
        };
        let asked = policies()
            .iter()
            .filter(|policy| policy.name == task.policy)
            .flat_map(|policy| (policy.react)(id, cause.stream, &event))
            .find(|reaction| reaction.step == task.step);
        match asked {
            Some(reaction) => Ok(self.perform(&cause, id, reaction).await.is_ok()),
            None => Ok(true),
        }
    }
}
