//! Erasure as a process over the log: a request is seen through step by step, from the fence to the certificate.
//!
//! It runs where the partition of the request's stream is owned. What is open is what the owner knows to be due, so a
//! start reads nothing; every step ends in a record, and can be repeated up to it. What fails is told in the request once
//! for each reason, and tried again.
mod bugs;
mod certificates;
mod epochs;
mod gate;
mod late;
mod merges;
mod ports;
mod purge;
mod restored;
mod scan;
mod setback;
mod steps;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{DueKind, privacy_request::Redaction};
use event_schemas::{Code, RequestId, StreamType, Timestamp, privacy_request::RedactionStep};
use futures::FutureExt as _;
use privacy::EpochState;
use tokio::{sync::Semaphore, time::sleep};

pub(crate) use late::{TOLD_AFTER_DAYS, times_over};
pub(crate) use merges::follow_up;
pub use ports::{Periods, PortError, Ports, ReadModels, Witness};

use crate::{
    commands::Unavailable,
    owner::{DueQuery, DueStream},
    planted,
    policies::Parts,
    webhooks::purge::Finder,
};
use bugs::Bugs;
use gate::{Fences, Readers};
use late::{Late, Told};
use scan::Scanner;
use setback::{Cause, Setback};
use steps::{Request, redaction_of, whom};

/// How often all partitions are looked at while nothing says that there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Requests asked for at once.
const PAGE: usize = 512;
/// Requests that are up to their destruction at once.
const EARLY_MAX: usize = 64;
const PAUSE_MIN: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A step that failed so often, whatever for, is told of in its request.
const TOLD_AFTER: u32 = 3;

/// The running erasures; they end with the runtime. Cheap to clone.
#[derive(Clone)]
pub struct Erasure(Arc<Process>);

/// What the steps work with.
struct Process {
    parts: Parts,
    started: Timestamp,
    witness: Option<Arc<dyn Witness>>,
    periods: Periods,
    readers: Readers,
    fences: Fences,
    scanner: Scanner,
    inbox: Finder,
    /// Requests that are seen through at the moment.
    running: Mutex<HashSet<RequestId>>,
    /// Requests that wait for the end of an epoch.
    waiting: Mutex<HashMap<RequestId, u32>>,
    /// As they were at the last look.
    epochs: Mutex<Vec<EpochState>>,
    /// When a rotation last left damaged keys as they are.
    left_damaged: Mutex<Option<Timestamp>>,
    told: Told,
    early: Semaphore,
    bugs: Bugs,
}

impl Erasure {
    /// Starts it.
    #[must_use]
    pub fn start(parts: &Parts, ports: Ports, periods: Periods) -> Self {
        Self::start_with(parts, ports, periods, Bugs::default())
    }

    fn start_with(parts: &Parts, ports: Ports, periods: Periods, bugs: Bugs) -> Self {
        let process = Process::new(parts, ports, periods, bugs);
        tokio::spawn(Process::run(process.clone()));
        Self(process)
    }

    /// How many requests this process is seeing through.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.running().len()
    }
}

/// What was last known of a partition.
#[derive(Clone, Copy, Default)]
struct Looked {
    stirred: u64,
    at: Option<Timestamp>,
    /// What an older inbox may hold again was looked for.
    restored: bool,
    late: Late,
}

/// How often the step ahead failed, and the reason that was told last.
#[derive(Default)]
struct Failing {
    told: Option<Code>,
    tries: u32,
}

impl Failing {
    /// It failed again; whether that is to be told now.
    fn again(&mut self, reason: &Code) -> bool {
        self.tries = self.tries.saturating_add(1);
        let is_to_be_told = self.tries >= TOLD_AFTER && self.told.as_ref() != Some(reason);
        if is_to_be_told {
            self.told = Some(reason.clone());
        }
        is_to_be_told
    }
}

/// A request that is seen through, until this goes; whatever ends that, the request can be taken up again.
struct Running {
    process: Arc<Process>,
    request: RequestId,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.running().remove(&self.request);
    }
}

impl Process {
    fn new(parts: &Parts, ports: Ports, periods: Periods, bugs: Bugs) -> Arc<Self> {
        let Parts { log, commander, keys, work, .. } = parts;
        let Ports { witness, read_models } = ports;
        Arc::new(Self {
            witness,
            periods,
            readers: Readers::new(read_models),
            fences: Fences::new(keys.clone()),
            scanner: Scanner::start(log, commander, keys, &bugs),
            inbox: Finder::new(work.clone(), keys.clone()),
            running: Mutex::default(),
            waiting: Mutex::default(),
            epochs: Mutex::default(),
            left_damaged: Mutex::default(),
            told: Told::default(),
            early: Semaphore::new(EARLY_MAX),
            bugs,
            started: parts.clock.now(),
            parts: parts.clone(),
        })
    }

    fn running(&self) -> MutexGuard<'_, HashSet<RequestId>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(process: Arc<Self>) {
        let commander = process.parts.commander.clone();
        let (mut stirred, mut moves) = (commander.stirred(), process.parts.clock.moves());
        let mut looked = vec![Looked::default(); usize::from(commander.partitions())];
        loop {
            stirred.borrow_and_update();
            moves.borrow_and_update();
            let look = AssertUnwindSafe(Self::look(&process, &mut looked)).catch_unwind();
            if look.await.is_err() {
                tracing::error!("The look at open erasures panicked; it is repeated");
            }
            tokio::select! {
                _ = stirred.changed() => {}
                _ = moves.changed() => looked.iter_mut().for_each(|looked| looked.at = None),
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Takes up what is due in the partitions that are owned here, and turns the epochs where partition 0 is.
    async fn look(process: &Arc<Self>, looked: &mut [Looked]) {
        let commander = &process.parts.commander;
        let mut late = Late::default();
        for partition in commander.owned() {
            let Some(looked) = looked.get_mut(usize::from(partition)) else { continue };
            // The time is asked last, so that what stirred the partition is due by then.
            let (stirred, now) = (commander.stirred_in(partition), process.parts.clock.now());
            // A look in the future was of a clock that was ahead.
            let is_time = looked
                .at
                .is_none_or(|at| !(0..look_every_us()).contains(&now.micros().saturating_sub(at.micros())));
            if looked.stirred == stirred && !is_time {
                late += looked.late;
                continue;
            }
            if is_time {
                process.look_at_epochs(partition == 0, now).await;
            }
            if !looked.restored {
                looked.restored = process.look_for_restored(partition, now).await;
            }
            match Self::take_up(process, partition, now).await {
                Ok(found) => {
                    looked.stirred = stirred;
                    looked.at = if is_time { Some(now) } else { looked.at };
                    looked.late = found;
                }
                Err(error) => {
                    tracing::warn!(
                        partition,
                        error = &error as &dyn std::error::Error,
                        "Erasures have to wait"
                    );
                }
            }
            late += looked.late;
        }
        late.publish();
    }

    /// Turns the epochs, where that is this process's.
    async fn look_at_epochs(&self, turns: bool, now: Timestamp) {
        let turned = if turns { self.turn_epochs(now).await } else { Ok(()) };
        // Also where they could not be turned: then they are late some day.
        let noted = self.note_epochs().await;
        if let Err(cause) = turned.and(noted) {
            let setback = cause.at(RedactionStep::Finalize);
            tracing::warn!(error = &setback as &dyn std::error::Error, "The epochs of the keys have to wait");
        }
    }

    /// Looks once for what an older inbox may hold again; whether that came to its end.
    async fn look_for_restored(self: &Arc<Self>, partition: u16, now: Timestamp) -> bool {
        let looked = async {
            if partition == 0 {
                self.purge_restored().await?;
            }
            self.purge_again(partition, now).await
        };
        let looked = looked.await.map_err(|cause| cause.at(RedactionStep::Purge));
        if let Err(setback) = &looked {
            tracing::warn!(
                partition,
                error = setback as &dyn std::error::Error,
                "What an older inbox may hold is looked for again"
            );
        }
        looked.is_ok()
    }

    /// Sees through what is due; how much of it is late.
    async fn take_up(process: &Arc<Self>, partition: u16, now: Timestamp) -> Result<Late, Unavailable> {
        let mut late = Late::default();
        let mut query =
            DueQuery { kind: DueKind::Privacy, up_to: now, merchant: None, after: None, limit: PAGE };
        loop {
            let page = process.parts.commander.due(partition, query).await?;
            let (found, last) = (page.len(), page.last().copied());
            for due in page.into_iter().filter(|due| due.stream.stream_type == StreamType::PrivacyRequest) {
                late += process.tell_late(&due, now).await;
                Self::begin(process, &due);
            }
            if found < PAGE {
                return Ok(late);
            }
            query.after = last;
        }
    }

    /// Sees a request through in a task of its own, unless one is at it.
    fn begin(process: &Arc<Self>, due: &DueStream) {
        let request = Request { merchant: due.merchant, id: RequestId(due.stream.id), stream: due.stream };
        if planted::leaves_alone(request.id, process.started)
            || process.waiting.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&request.id)
            || !process.running().insert(request.id)
        {
            return;
        }
        let running = Running { process: process.clone(), request: request.id };
        tokio::spawn(async move {
            running.process.see_through(&request).await;
            drop(running);
        });
    }

    /// Does step after step, until there is none that can be done now, or the partition goes elsewhere.
    async fn see_through(&self, request: &Request) {
        let partition = self.partition_of(request.merchant, request.stream);
        let (mut known, mut failing, mut pause) = (None, Failing::default(), PAUSE_MIN);
        while self.parts.commander.owned().contains(&partition) {
            match self.go_on(request, known.take()).await {
                Ok(Some(redaction)) => {
                    (known, failing, pause) = (Some(redaction), Failing::default(), PAUSE_MIN);
                }
                Ok(None) => return,
                Err(setback) => {
                    let is_to_be_told = failing.again(&setback.reason);
                    self.report(request, &setback, is_to_be_told).await;
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn go_on(&self, request: &Request, known: Option<Redaction>) -> Result<Option<Redaction>, Setback> {
        let redaction = match known {
            Some(redaction) => redaction,
            None => match self.read(request).await {
                Ok(Some(redaction)) => redaction,
                // What a person asks to have is another process's, up to its end.
                Ok(None) => return self.expire_data_request(request).await.map(|()| None),
                Err(unavailable) => {
                    return Err(Cause::from(unavailable).at(RedactionStep::Fence));
                }
            },
        };
        let is_early = redaction.destroyed.is_none();
        let _room = if is_early { self.early.acquire().await.ok() } else { None };
        let advanced = AssertUnwindSafe(self.advance(request, &redaction)).catch_unwind().await;
        advanced.unwrap_or_else(|_| {
            let step = redaction.ahead().unwrap_or(RedactionStep::Finalize);
            Err(Cause::new("internal-fault", "the step panicked").at(step))
        })
    }

    async fn read(&self, request: &Request) -> Result<Option<Redaction>, Unavailable> {
        self.parts.commander.read(request.merchant, request.stream, redaction_of).await
    }

    async fn report(&self, request: &Request, setback: &Setback, is_to_be_told: bool) {
        let (id, step, reason) = (request.id, setback.step.as_str(), &setback.reason);
        metrics::counter!("redaction_setbacks_total", "step" => step).increment(1);
        if setback.opens() {
            tracing::error!(request = %id, error = setback as &dyn std::error::Error,
                "ALARM: what was erased by request {id} opens");
        } else {
            tracing::warn!(request = %id, error = setback as &dyn std::error::Error,
                "Step {step} of request {id} has to wait: {reason}");
        }
        if is_to_be_told {
            self.tell_failure(request, setback).await;
        }
    }
}

fn look_every_us() -> i64 {
    i64::try_from(LOOK_EVERY.as_micros()).unwrap_or(i64::MAX)
}
