//! The tasks that store records: whatever waits for one of them shares one statement, one round trip and one sync.

use std::{sync::Arc, time::Duration};

use postgres_store::Address;
use sqlx::PgConnection;
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
    time::{Instant, timeout},
};

use super::{
    columns::Cells,
    schema,
    statement::{self, Found},
};
use crate::{
    backend::{Asked, Delivery, Ends, Entry, StoreHead},
    error::{BoxError, Error, Fault, Reason},
    frame::hash_of,
    hash::Hash,
    ids::Position,
    mutation::{Mutation, planted},
};

/// The most records of one statement, and roughly the most bytes: a server takes no message of a gigabyte.
const GROUP_MAX: usize = 1_024;
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;
const LINGER_MAX: Duration = Duration::from_millis(2);
/// Less than a writer waits, so that its next claim finds a new connection.
const STATEMENT_WITHIN: Duration = Duration::from_secs(8);

/// An entry to store, what is shown of it, and whom to tell.
pub(super) struct Job {
    pub(super) partition: u16,
    pub(super) entry: Entry,
    pub(super) cells: Option<Cells>,
    pub(super) report: oneshot::Sender<Delivery>,
}

/// One connection and the partitions that share it.
pub(super) struct GroupCommit {
    address: Address,
    ends: Arc<Ends>,
    /// None after a failure: whatever was under way on it stays its own.
    connection: Option<PgConnection>,
    /// Planted by tests, on the thread that opens the log.
    acknowledges_early: bool,
}

/// What of one partition a statement stores: entries that extend each other.
pub(super) struct Run {
    pub(super) partition: u16,
    pub(super) before: StoreHead,
    pub(super) after: StoreHead,
    /// Hash of the last of them.
    pub(super) last_record: Hash,
    pub(super) jobs: Vec<Job>,
}

impl GroupCommit {
    pub(super) fn new(address: Address, ends: Arc<Ends>) -> Self {
        let acknowledges_early = planted(Mutation::AcknowledgeBeforeCommit);
        Self { address, ends, connection: None, acknowledges_early }
    }

    /// Takes what waits, and while that is being stored the next gathers. If the last group was shared, lingers a tenth
    /// of the last statement's time for more to share this one. Ends with the last log and producer.
    pub(super) async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        let mut jobs = Vec::with_capacity(GROUP_MAX);
        let mut linger = Duration::ZERO;
        loop {
            if jobs.is_empty() && queue.recv_many(&mut jobs, GROUP_MAX).await == 0 {
                return;
            }
            let until = Instant::now() + linger;
            while jobs.len() < GROUP_MAX {
                match queue.try_recv() {
                    Ok(job) => jobs.push(job),
                    Err(_) if Instant::now() < until => yield_now().await,
                    Err(_) => break,
                }
            }
            let runs = take(&mut jobs);
            let (shared, started) =
                (runs.iter().any(|run| run.jobs.len() > 1) || runs.len() > 1, Instant::now());
            self.store(runs).await;
            linger = if shared { LINGER_MAX.min(started.elapsed() / 10) } else { Duration::ZERO };
        }
    }

    async fn store(&mut self, runs: Vec<Run>) {
        match self.attempt(&runs).await {
            Ok(outcomes) => {
                self.ends.heard(Asked::Write, Ok(()));
                for (run, outcome) in runs.into_iter().zip(outcomes) {
                    self.report(run, outcome);
                }
            }
            Err(_) if self.acknowledges_early => {
                runs.into_iter().for_each(|run| self.report(run, Outcome::Stored));
            }
            // Even what the server called an error may be committed, and a lost connection says nothing at all.
            Err(error) => {
                self.connection = None;
                #[cfg(feature = "planted-bugs")]
                crate::planted::hold_at("log-doubts", stored(&runs)).await;
                self.ends.heard(Asked::Write, Err(&error));
                let error = Arc::new(error);
                tracing::error!(
                    error = %error, "Could not store records of {} partitions at {}: {error}",
                    runs.len(), self.address
                );
                for job in runs.into_iter().flat_map(|run| run.jobs) {
                    drop(job.report.send(Delivery::Unknown(Fault::new("store a record", error.clone()))));
                }
            }
        }
    }

    fn report(&self, run: Run, outcome: Outcome) {
        for job in run.jobs {
            let position = Position::new(job.entry.after.height);
            let delivery = match outcome {
                Outcome::Stored => {
                    self.ends.advance(run.partition, position);
                    Delivery::Stored(position)
                }
                Outcome::Refused { number } => Delivery::Refused { number },
                Outcome::Diverged(reason) => Delivery::Diverged(reason),
                Outcome::Passing => {
                    Delivery::Unknown(Fault::new("store a record", "the head was another one for a moment"))
                }
            };
            drop(job.report.send(delivery));
        }
    }

    /// Stores the runs in one statement, each on its own condition; what became of each.
    async fn attempt(&mut self, runs: &[Run]) -> Result<Vec<Outcome>, Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let connected = timeout(STATEMENT_WITHIN, schema::connect(&self.address)).await;
                let silent = |_| Fault::new("connect", format!("no answer within {STATEMENT_WITHIN:?}"));
                self.connection.insert(connected.map_err(silent)??)
            }
        };
        #[cfg(feature = "planted-bugs")]
        crate::planted::hold_at("log-stores", stored(runs)).await;
        let storing = async {
            let stored = statement::append(connection, runs).await?;
            if stored.len() == runs.len() {
                return Ok(runs.iter().map(|_| Outcome::Stored).collect());
            }
            // A second statement, because the first saw only what was committed before it waited for the heads.
            let refused =
                runs.iter().map(|run| run.partition).filter(|partition| !stored.contains(partition));
            let found = statement::heads(connection, refused).await?;
            Ok(runs.iter().map(|run| outcome(run, &stored, &found)).collect())
        };
        let failed = |source: BoxError| Fault { action: "store records", source };
        match timeout(STATEMENT_WITHIN, storing).await {
            Ok(stored) => {
                Ok(stored.map_err(|error: sqlx::Error| failed(self.address.explain(error).into()))?)
            }
            Err(_) => Err(failed(format!("no answer within {STATEMENT_WITHIN:?}").into()).into()),
        }
    }
}

#[cfg(feature = "planted-bugs")]
fn stored(runs: &[Run]) -> impl Iterator<Item = &[u8]> + Clone {
    runs.iter().flat_map(|run| &run.jobs).map(|job| &job.entry.record.bytes[..])
}

/// What became of a run; each of its entries shares it.
#[derive(Clone, Copy)]
enum Outcome {
    Stored,
    Refused {
        number: u64,
    },
    Diverged(Reason),
    /// Nothing was stored, and by now it would be.
    Passing,
}

fn outcome(run: &Run, stored: &[u16], found: &[Found]) -> Outcome {
    if stored.contains(&run.partition) {
        return Outcome::Stored;
    }
    let Some(found) = found.iter().find(|found| found.partition == run.partition) else {
        return Outcome::Diverged(Reason::StoreHead);
    };
    if found.head != run.before {
        return Outcome::Refused { number: found.head.number };
    }
    match &found.last {
        None => Outcome::Diverged(Reason::LastReadGone),
        Some(bytes) if hash_of(bytes) != found.record => Outcome::Diverged(Reason::LastReadChanged),
        Some(_) => Outcome::Passing,
    }
}

/// The longest beginning of the queue in which the entries of each partition extend each other. What does not, such as
/// an old writer's behind a new one's, is judged by a statement of its own.
fn take(jobs: &mut Vec<Job>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut taken, mut bytes) = (0, 0);
    let mut place = Vec::with_capacity(jobs.len());
    for job in jobs.iter() {
        bytes += job.entry.record.bytes.len();
        let known = runs.iter().position(|run| run.partition == job.partition);
        let extends = known.is_none_or(|at| runs[at].after == job.entry.before);
        if taken > 0 && (!extends || bytes > GROUP_BYTES_MAX) {
            break;
        }
        let at = known.unwrap_or_else(|| {
            let (before, after) = (job.entry.before, job.entry.after);
            let last_record = job.entry.record.hash;
            runs.push(Run { partition: job.partition, before, after, last_record, jobs: Vec::new() });
            runs.len() - 1
        });
        (runs[at].after, runs[at].last_record) = (job.entry.after, job.entry.record.hash);
        place.push(at);
        taken += 1;
    }
    for (job, at) in jobs.drain(..taken).zip(place) {
        runs[at].jobs.push(job);
    }
    runs
}
