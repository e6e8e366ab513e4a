//! A wrapper that makes any backend misbehave as stores, networks and processes do: seeded, or told what to do next.
//!
//! One [`Faulty`] stands for one process and what lies between it and the store. To shrink or edit what is stored, tamper
//! with the store underneath.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
    time::sleep,
};

use crate::{
    backend::{Backend, Delivery, Ends, Entry, Fetched, Producer, Tail},
    error::Fault,
    genesis::Genesis,
    ids::Position,
    log::Log,
};

/// From here on this thread draws the same log ids, writer ids and pauses for the same seed.
pub fn seed_chance(seed: u64) {
    crate::chance::seed(seed);
}

/// How often something goes wrong, in sends per thousand; by default nothing does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Draws the same faults again.
    pub seed: u64,
    /// [`Fate::LoseReport`].
    pub lose_report: u32,
    /// [`Fate::Lose`], which orphans what follows it.
    pub lose: u32,
    /// [`Fate::DelayReport`], by up to `delay_max`.
    pub delay_report: u32,
    /// [`Fate::Late`], by up to `delay_max`.
    pub late: u32,
    /// [`Fate::Twice`].
    pub twice: u32,
    /// The longest delay.
    pub delay_max: Duration,
    /// The process dies before this many steps (fetches, sends, arrivals, reports) are done.
    pub crash_after_steps: Option<u64>,
}

/// What becomes of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrives and is reported.
    Pass,
    /// It arrives; its report says unknown.
    LoseReport,
    /// It never arrives; its report says unknown.
    Lose,
    /// It arrives; its report comes late.
    DelayReport(Duration),
    /// It arrives after its report said unknown, and after others sent behind it.
    Late(Duration),
    /// It arrives twice.
    Twice,
}

/// A backend seen through faults; a clone is the same process.
#[derive(Clone)]
pub struct Faulty(Arc<Process>);

struct Process {
    inner: Arc<dyn Backend>,
    plan: Plan,
    rng: Mutex<StdRng>,
    script: Mutex<VecDeque<Fate>>,
    steps: Mutex<u64>,
    paused: watch::Sender<bool>,
    crashed: watch::Sender<bool>,
}

impl Faulty {
    /// A new process on the store of a log.
    pub fn new(log: &Log, plan: Plan) -> Self {
        Self(Arc::new(Process {
            inner: log.shared_backend(),
            plan,
            rng: Mutex::new(StdRng::seed_from_u64(plan.seed)),
            script: Mutex::default(),
            steps: Mutex::new(0),
            paused: watch::Sender::new(false),
            crashed: watch::Sender::new(false),
        }))
    }

    /// A log over the wrapped backend.
    pub fn log(&self) -> Log {
        Log::new(Arc::new(self.clone()))
    }

    /// Decides the fates of the next sends, before chance does.
    pub fn script(&self, fates: impl IntoIterator<Item = Fate>) {
        lock(&self.0.script).extend(fates);
    }

    /// Stops the process in its tracks: nothing arrives, is reported or read until [`Self::resume`].
    pub fn pause(&self) {
        self.0.paused.send_replace(true);
    }

    /// Goes on as if nothing had happened.
    pub fn resume(&self) {
        self.0.paused.send_replace(false);
    }

    /// Kills the process: what did not arrive never will, except what was already under way.
    pub fn crash(&self) {
        self.0.crashed.send_replace(true);
    }

    /// Whether the process is dead.
    pub fn has_crashed(&self) -> bool {
        *self.0.crashed.borrow()
    }
}

impl Process {
    /// Waits out a pause, then does one more step if the process still lives.
    async fn step(&self) -> Result<(), Fault> {
        let mut paused = self.paused.subscribe();
        select! {
            biased;
            _ = paused.wait_for(|paused| !paused) => {}
            crashed = self.until_crashed() => return Err(crashed),
        }
        let mut steps = lock(&self.steps);
        if self.plan.crash_after_steps == Some(*steps) {
            self.crashed.send_replace(true);
        }
        *steps += 1;
        if *self.crashed.borrow() { Err(crashed()) } else { Ok(()) }
    }

    async fn until_crashed(&self) -> Fault {
        // The sender is our own, so the wait ends only with a crash.
        drop(self.crashed.subscribe().wait_for(|crashed| *crashed).await);
        crashed()
    }

    fn fate(&self) -> Fate {
        if let Some(fate) = lock(&self.script).pop_front() {
            return fate;
        }
        let mut rng = lock(&self.rng);
        let delay_max_ms = u64::try_from(self.plan.delay_max.as_millis()).unwrap_or(u64::MAX);
        let delay = Duration::from_millis(rng.random_range(0..=delay_max_ms));
        let mut drawn = rng.random_range(0..1_000);
        let chances = [
            (self.plan.lose_report, Fate::LoseReport),
            (self.plan.lose, Fate::Lose),
            (self.plan.delay_report, Fate::DelayReport(delay)),
            (self.plan.late, Fate::Late(delay)),
            (self.plan.twice, Fate::Twice),
        ];
        for (per_thousand, fate) in chances {
            if drawn < per_thousand {
                return fate;
            }
            drawn -= per_thousand;
        }
        Fate::Pass
    }
}

#[async_trait]
impl Backend for Faulty {
    fn genesis(&self) -> &Genesis {
        self.0.inner.genesis()
    }

    fn ends(&self) -> &Ends {
        self.0.inner.ends()
    }

    async fn end_now(&self, partition: u16) -> Result<Position, Fault> {
        self.0.step().await?;
        self.0.inner.end_now(partition).await
    }

    fn tail(&self, partition: u16) -> Box<dyn Tail> {
        Box::new(FaultyTail { process: self.0.clone(), inner: self.0.inner.tail(partition) })
    }

    async fn producer(&self, partition: u16) -> Result<Option<Box<dyn Producer>>, Fault> {
        self.0.step().await?;
        let Some(inner) = self.0.inner.producer(partition).await? else { return Ok(None) };
        let (sent, queue) = mpsc::unbounded_channel();
        tokio::spawn(carry(self.0.clone(), queue, Arc::new(Mutex::new(inner))));
        Ok(Some(Box::new(FaultyProducer { process: self.0.clone(), sent })))
    }
}

struct FaultyTail {
    process: Arc<Process>,
    inner: Box<dyn Tail>,
}

#[async_trait]
impl Tail for FaultyTail {
    async fn fetch(&mut self, after: Position, max_records: usize) -> Result<Fetched, Fault> {
        self.process.step().await?;
        self.inner.fetch(after, max_records).await
    }

    async fn changed(&mut self, after: Position) -> Result<(), Fault> {
        select! {
            biased;
            changed = self.inner.changed(after) => changed,
            crashed = self.process.until_crashed() => Err(crashed),
        }
    }
}

struct FaultyProducer {
    process: Arc<Process>,
    sent: mpsc::UnboundedSender<Sent>,
}

struct Sent {
    entry: Entry,
    fate: Fate,
    report: oneshot::Sender<Delivery>,
}

impl Producer for FaultyProducer {
    fn send(&mut self, entry: Entry) -> oneshot::Receiver<Delivery> {
        let (report, delivery) = oneshot::channel();
        drop(self.sent.send(Sent { entry, fate: self.process.fate(), report }));
        delivery
    }
}

type Inner = Arc<Mutex<Box<dyn Producer>>>;

/// Carries entries to the store in order, except where fate has it otherwise.
async fn carry(process: Arc<Process>, mut queue: mpsc::UnboundedReceiver<Sent>, inner: Inner) {
    while let Some(Sent { entry, fate, report }) = queue.recv().await {
        if process.step().await.is_err() {
            return;
        }
        match fate {
            Fate::Lose => drop(report),
            Fate::Late(delay) => drop(tokio::spawn(arrive_late(inner.clone(), entry, delay))),
            _ => {
                let delivery = lock(&inner).send(entry.clone());
                if fate == Fate::Twice {
                    drop(lock(&inner).send(entry));
                }
                tokio::spawn(report_back(process.clone(), fate, delivery, report));
            }
        }
    }
}

/// Already on its way when the process dies.
async fn arrive_late(inner: Inner, entry: Entry, delay: Duration) {
    sleep(delay).await;
    drop(lock(&inner).send(entry));
}

async fn report_back(
    process: Arc<Process>,
    fate: Fate,
    delivery: oneshot::Receiver<Delivery>,
    report: oneshot::Sender<Delivery>,
) {
    if let Fate::DelayReport(delay) = fate {
        sleep(delay).await;
    }
    let Ok(delivery) = delivery.await else { return };
    if fate == Fate::LoseReport || process.step().await.is_err() {
        return;
    }
    drop(report.send(delivery));
}

fn crashed() -> Fault {
    Fault::new("reach the store", "the process has crashed")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
