//! Steps that got stuck: kept with their record, counted, tried again now and then, and shown to whoever can help.
use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Reaction, policies};
use event_schemas::{CommandKey, EventId, MerchantId, RecordId, Timestamp};
use futures::StreamExt as _;
use group_commit::{Cells, Fault, Session, Store, values};
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

use super::{
    Cause, Policies,
    perform::{ESTATE_EXPECTED, Patience, REDEMPTION_UNFINISHED, Trouble},
    tail::{Caused, decode_body},
};

/// A parked aggregate comes back with its owner's next claim, an issuer when it can be reached.
const RETRY_EVERY: Duration = Duration::from_secs(30);
/// How many times longer than it tried it rests; never longer than [`RETRY_EVERY`].
const REST: u32 = 9;
/// Sequences tried at once: some of them wait for a slow shop.
const SEQUENCES_MAX: usize = 16;

#[derive(Clone)]
pub(super) struct Parked {
    work: Store,
    streams: Arc<Mutex<HashMap<Sequence, u64>>>,
    /// Held by whoever changes the store and `streams`, so that they agree.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Told when a step was parked that may go on soon.
    wake: Arc<Notify>,
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
    reason: String,
}

/// A stuck step as somebody sees it who may help.
#[derive(Clone, Debug)]
pub struct ParkedStep {
    /// The key of the command that the step would send.
    pub key: CommandKey,
    /// The policy.
    pub policy: String,
    /// The step's name.
    pub step: String,
    /// The event that set it off.
    pub event: EventId,
    /// The shop.
    pub merchant: MerchantId,
    /// The event's stream.
    pub stream: Uuid,
    /// Why it is stuck, in kebab-case.
    pub reason: String,
    /// Since when.
    pub parked_at: Timestamp,
}

/// Where a step stands in the list; written, it is the cursor of a page. The default stands before all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    record: [u8; 16],
    index: u16,
    policy: String,
    step: String,
}

impl ParkedStep {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        let (policy, step) = (self.policy.clone(), self.step.clone());
        Place { record: self.event.record.bytes(), index: self.event.index, policy, step }
    }
}

/// Names in kebab-case hold no full stop.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, index, policy, step } = self;
        write!(f, "{}.{index}.{policy}.{step}", Uuid::from_bytes(*record).simple())
    }
}

/// The text is no place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the cursor of an earlier answer")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let parts: Vec<_> = text.split('.').collect();
        let [record, index, policy, step] = parts[..] else { return Err(NoPlace) };
        let record = Uuid::try_parse(record).map_err(|_| NoPlace)?.into_bytes();
        let index = index.parse().map_err(|_| NoPlace)?;
        Ok(Self { record, index, policy: policy.to_owned(), step: step.to_owned() })
    }
}

/// Which steps come first is decided by their keys in the list; this one is not (or no longer) in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no step with this key is parked")]
pub struct NotParked;

/// What another try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is through.
    Done,
    /// It is stuck, for this reason in kebab-case.
    Parked(String),
}

impl Parked {
    pub(super) async fn open(work: Store) -> Result<Self, Fault> {
        let parked = Self { work, streams: Arc::default(), turn: Arc::default(), wake: Arc::default() };
        parked.refresh().await?;
        Ok(parked)
    }

    /// Learns what is stuck, whichever node noted it.
    pub(super) async fn refresh(&self) -> Result<(), Fault> {
        let read = |work: &dyn Session| {
            let sql = "SELECT policy, merchant, stream, count(*) FROM parked_task GROUP BY 1, 2, 3";
            let sequence = |row: &dyn Cells| Ok(((row.at(0)?, row.at(1)?, row.at(2)?), row.at(3)?));
            work.all(sql, values![], sequence)
        };
        let _turn = self.turn.lock().await;
        let streams = self.work.read(read).await?;
        *self.lock() = streams.into_iter().collect();
        Ok(())
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

    /// Has the steps tried again right away, because something came that one of them may wait for.
    pub(super) fn try_soon(&self) {
        self.wake.notify_one();
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
        if [ESTATE_EXPECTED, REDEMPTION_UNFINISHED].contains(&&*reason) {
            tracing::info!(policy, event.id = %id, step, reason, "Step {step} of {policy} waits: {reason}");
        } else {
            tracing::error!(policy, event.id = %id, step, reason, "Step {step} of {policy} is stuck: {reason}");
        }
        let (frame, body) = (caused.record.frame, caused.record.body.clone());
        let turn = self.turn.lock().await;
        let inserted = self
            .work
            .run(move |work| {
                let sql = "INSERT INTO parked_task
                    (policy, record, event_index, step, merchant, stream, route, body, reason, parked_at)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING";
                let record = id.record.bytes();
                let values = values![
                    policy,
                    &record,
                    id.index,
                    step,
                    &frame.merchant,
                    &frame.stream,
                    &frame.route,
                    &body[..],
                    &reason,
                    now.micros()
                ];
                work.execute(sql, values)
            })
            .await?;
        if inserted > 0 {
            *self.lock().entry((policy.to_owned(), frame.merchant, frame.stream)).or_default() += 1;
        }
        drop(turn);
        metrics::counter!("policy_steps_parked_total", "policy" => policy).increment(1);
        self.try_soon();
        Ok(())
    }

    /// All stuck steps in the order in which they have to be done.
    async fn all(&self) -> Result<Vec<Task>, Fault> {
        let read = |work: &dyn Session| {
            let sql = "SELECT policy, record, event_index, step, merchant, stream, route, body, reason
                FROM parked_task ORDER BY record, event_index, policy, step";
            let task = |row: &dyn Cells| {
                Ok(Task {
                    policy: row.at(0)?,
                    record: row.at(1)?,
                    index: row.at(2)?,
                    step: row.at(3)?,
                    merchant: row.at(4)?,
                    stream: row.at(5)?,
                    route: row.at(6)?,
                    body: row.at(7)?,
                    reason: row.at(8)?,
                })
            };
            work.all(sql, values![], task)
        };
        let mut all = self.work.read(read).await?;
        // The steps of one event stand in the order of its policy, which the table does not know.
        all.sort_by_cached_key(|task| {
            (task.record, task.index, task.reaction().map_or(0, |(rank, ..)| rank))
        });
        Ok(all)
    }

    /// A part of the steps behind this one, without their bodies, in the order of their events.
    async fn page(&self, after: &Place, limit: u32) -> Result<Vec<ParkedStep>, Fault> {
        let Place { record, index, policy, step } = after.clone();
        let read = move |work: &dyn Session| {
            let sql = "SELECT policy, record, event_index, step, merchant, stream, reason, parked_at
                FROM parked_task WHERE (record, event_index, policy, step) > (?1, ?2, ?3, ?4)
                ORDER BY record, event_index, policy, step LIMIT ?5";
            let shown = |row: &dyn Cells| {
                let event = EventId { record: RecordId::from_bytes(row.at(1)?), index: row.at(2)? };
                let step: String = row.at(3)?;
                Ok(ParkedStep {
                    key: event.command_key(&step),
                    event,
                    merchant: MerchantId::from_bytes(row.at(4)?),
                    stream: Uuid::from_bytes(row.at(5)?),
                    parked_at: Timestamp::from_micros(row.at(7)?),
                    policy: row.at(0)?,
                    step,
                    reason: row.at(6)?,
                })
            };
            work.all(sql, values![&record, index, &policy, &step, limit], shown)
        };
        self.work.read(read).await
    }

    /// Deletes a step; whether it was still there.
    async fn done(&self, task: &Task) -> Result<bool, Fault> {
        let (policy, record, index, step) = (task.policy.clone(), task.record, task.index, task.step.clone());
        let delete = move |work: &dyn Session| {
            let sql = "DELETE FROM parked_task WHERE policy = ?1 AND record = ?2 AND event_index = ?3 AND step = ?4";
            work.execute(sql, values![&policy, &record, index, &step])
        };
        let _turn = self.turn.lock().await;
        let deleted = self.work.run(delete).await?;
        let mut streams = self.lock();
        if let Some(left) = streams.get_mut(&task.sequence()) {
            *left = left.saturating_sub(deleted);
        }
        streams.retain(|_, left| *left > 0);
        Ok(deleted > 0)
    }

    /// Notes why a step is stuck now.
    async fn still(&self, task: &Task, reason: String) -> Result<(), Fault> {
        if reason == task.reason {
            return Ok(());
        }
        let (policy, record, index, step) = (task.policy.clone(), task.record, task.index, task.step.clone());
        let update = move |work: &dyn Session| {
            let sql = "UPDATE parked_task SET reason = ?5
                WHERE policy = ?1 AND record = ?2 AND event_index = ?3 AND step = ?4";
            work.execute(sql, values![&policy, &record, index, &step, &reason])
        };
        self.work.run(update).await.map(drop)
    }
}

impl Task {
    fn sequence(&self) -> Sequence {
        (self.policy.clone(), self.merchant, self.stream)
    }

    fn event(&self) -> EventId {
        EventId { record: RecordId::from_bytes(self.record), index: self.index }
    }

    fn key(&self) -> CommandKey {
        self.event().command_key(&self.step)
    }

    /// What the step's policy asks for, with its place among what it asks for; none if it no longer does.
    fn reaction(&self) -> Option<(usize, Cause, Reaction)> {
        let decoded = decode_body(&self.merchant, &self.stream, &self.route, &self.body);
        // It was read when it was parked.
        let (cause, events) = decoded.ok().flatten()?;
        let (id, event) = events.into_iter().find(|(id, _)| *id == self.event())?;
        let policy = policies().iter().find(|policy| policy.name == self.policy)?;
        let mut asked = (policy.react)(id, cause.stream, &event).into_iter().enumerate();
        let (rank, reaction) = asked.find(|(_, reaction)| reaction.step == self.step)?;
        Some((rank, cause, reaction))
    }
}

impl Policies {
    /// At most `limit` stuck steps behind that place, in the order of their events.
    ///
    /// # Errors
    /// work.db cannot be read.
    pub async fn parked_steps(&self, after: &Place, limit: u32) -> Result<Vec<ParkedStep>, Fault> {
        self.parked.page(after, limit).await
    }

    /// Tries a stuck step now, after those of its stream that came before it.
    ///
    /// # Errors
    /// work.db cannot be read or written.
    pub async fn retry_parked_step(&self, key: CommandKey) -> Result<Result<Retried, NotParked>, Fault> {
        let mut tasks = self.parked.all().await?;
        let Some(at) = tasks.iter().position(|task| task.key() == key) else { return Ok(Err(NotParked)) };
        let sequence = tasks[at].sequence();
        tasks.truncate(at + 1);
        tasks.retain(|task| task.sequence() == sequence);
        Ok(Ok(self.retry_sequence(&tasks).await?))
    }

    /// Gives a stuck step up: it will never be done, and those behind it go on.
    ///
    /// # Errors
    /// work.db cannot be read or written.
    pub async fn dismiss_parked_step(&self, key: CommandKey) -> Result<Result<(), NotParked>, Fault> {
        let tasks = self.parked.all().await?;
        let Some(task) = tasks.iter().find(|task| task.key() == key) else { return Ok(Err(NotParked)) };
        if !self.parked.done(task).await? {
            return Ok(Err(NotParked));
        }
        tracing::warn!(policy = task.policy, event.id = %task.event(), step = task.step, reason = task.reason,
            "Step {} of {} was dismissed", task.step, task.policy);
        metrics::counter!("policy_steps_dismissed_total", "policy" => task.policy.clone()).increment(1);
        self.parked.try_soon();
        Ok(Ok(()))
    }

    pub(super) async fn retry_parked(self) {
        let mut moves = self.parts.clock.moves();
        loop {
            let begun = Instant::now();
            match self.retry_all().await {
                // What came behind those that are through may go on at once.
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Stuck steps could not be tried again"
                    );
                }
            }
            // Each step that gets stuck asks for another look at all of them.
            tokio::time::sleep((begun.elapsed() * REST).min(RETRY_EVERY)).await;
            tokio::select! {
                () = tokio::time::sleep(RETRY_EVERY) => {}
                _ = moves.changed() => {}
                () = self.parked.wake.notified() => {}
            }
        }
    }

    /// Whether it is this node that tries the step.
    fn tries(&self, task: &Task) -> bool {
        self.is_here(self.parts.log.partition_of(task.merchant, task.route))
    }

    /// Tries all sequences, each up to its first step that is stuck; whether any step went through.
    pub(super) async fn retry_all(&self) -> Result<bool, Fault> {
        if self.parts.work.is_shared() {
            // Somebody may have looked after a step at another node.
            self.parked.refresh().await?;
        }
        if self.parked.count() == 0 {
            return Ok(false);
        }
        let mut sequences: HashMap<Sequence, Vec<Task>> = HashMap::new();
        for task in self.parked.all().await?.into_iter().filter(|task| self.tries(task)) {
            sequences.entry(task.sequence()).or_default().push(task);
        }
        let before = self.parked.count();
        let tried = sequences.into_values().map(|tasks| async move { self.retry_sequence(&tasks).await });
        let tried: Vec<_> = futures::stream::iter(tried).buffer_unordered(SEQUENCES_MAX).collect().await;
        tried.into_iter().try_for_each(|tried| tried.map(drop))?;
        Ok(self.parked.count() < before)
    }

    /// Tries the steps one after the other, up to the first that is stuck; says how that went.
    async fn retry_sequence(&self, tasks: &[Task]) -> Result<Retried, Fault> {
        for task in tasks {
            let reason = match self.retry(task).await {
                Ok(()) | Err(Trouble::Erased) => {
                    self.parked.done(task).await?;
                    continue;
                }
                Err(Trouble::Stuck(reason)) => reason,
                Err(Trouble::Later(error)) => {
                    tracing::warn!(error = &*error as &dyn std::error::Error, "A stuck step has to wait");
                    "has-to-wait".to_owned()
                }
            };
            self.parked.still(task, reason.clone()).await?;
            return Ok(Retried::Parked(reason));
        }
        Ok(Retried::Done)
    }

    /// One try; a step that its policy no longer asks for is through.
    async fn retry(&self, task: &Task) -> Result<(), Trouble> {
        let Some((_, cause, reaction)) = task.reaction() else { return Ok(()) };
        self.perform(&cause, task.event(), reaction, Patience::Long).await.map(drop)
    }
}
