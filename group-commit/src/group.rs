//! Calls that share a commit: each keeps or loses its work for itself, and all are answered when it is durable.
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use crate::{Fault, StoreError, error::told};

/// At most this many calls share one commit.
pub(crate) const GROUP_MAX: usize = 1024;
/// A group waits for latecomers this part of the time that the last commit took ...
const LINGER_SHARE: u32 = 10;
/// ... and never longer than this, so that a slow disk does not slow its callers twice.
const LINGER_MAX: Duration = Duration::from_millis(1);

/// A connection that can be inside a transaction.
pub(crate) trait Transact {
    /// Runs a statement that begins, ends or divides a transaction.
    fn step(&self, sql: &str) -> Result<(), StoreError>;
}

/// Where a store's thread gets its connection from, group after group.
pub(crate) trait Source {
    type Connection: Transact;

    /// The connection, inside a new transaction; one that only reads may be waited for by nobody.
    fn begin(&mut self, only_reads: bool) -> Result<&Self::Connection, StoreError>;

    /// How a transaction is committed.
    fn end(&self) -> &'static str;

    /// The commit failed.
    fn failed(&mut self);
}

/// Answers a call once its group is committed, or why it is not.
pub(crate) type Finish = Box<dyn FnOnce(Option<&str>) + Send>;
pub(crate) type Answered<T, E> = oneshot::Receiver<Result<Result<T, E>, Fault>>;
type Work<C> = Box<dyn FnOnce(Result<&C, &str>, bool) -> Done + Send>;

/// A call whose work is done, and which is not answered yet.
struct Done {
    finish: Finish,
    /// Its work is to be kept.
    is_kept: bool,
}

/// A call that waits for its group; it gets the connection, or why there is none, and whether it is alone with it.
pub(crate) struct Job<C> {
    only_reads: bool,
    work: Work<C>,
}

pub(crate) type Jobs<C> = mpsc::UnboundedSender<Job<C>>;

/// Has `work` done in the next group.
pub(crate) fn enqueue<C, T, E>(
    jobs: &Jobs<C>,
    only_reads: bool,
    work: impl FnOnce(&C) -> Result<T, E> + Send + 'static,
) -> Result<Answered<T, E>, Fault>
where
    C: Transact + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let work: Work<C> = Box::new(move |connection, is_alone| {
        let outcome = match connection {
            Ok(connection) if is_alone => caught(connection, work),
            Ok(connection) => isolated(connection, work),
            Err(reason) => Err(Fault::Away(reason.to_owned())),
        };
        let is_kept = matches!(outcome, Ok(Ok(_)));
        let finish: Finish = Box::new(move |commit_failure| {
            let result = match (outcome, commit_failure) {
                (Ok(Ok(_)), Some(reason)) => Err(Fault::Commit(reason.to_owned())),
                (outcome, _) => outcome,
            };
            // A caller that went away no longer wants to know.
            drop(answer.send(result));
        });
        Done { finish, is_kept }
    });
    jobs.send(Job { only_reads, work }).map_err(|_| Fault::Closed)?;
    Ok(answered)
}

/// Runs one call, and has no panic end the store.
fn caught<C, T, E>(connection: &C, work: impl FnOnce(&C) -> Result<T, E>) -> Result<Result<T, E>, Fault> {
    let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)));
    outcome.map_err(|_: Box<dyn Any + Send>| Fault::Panicked)
}

/// Runs one call inside its own savepoint, so that its failure leaves its neighbours' work alone.
fn isolated<C: Transact, T, E>(
    connection: &C,
    work: impl FnOnce(&C) -> Result<T, E>,
) -> Result<Result<T, E>, Fault> {
    connection.step("SAVEPOINT call")?;
    let outcome = caught(connection, work);
    if !matches!(outcome, Ok(Ok(_))) {
        connection.step("ROLLBACK TO call")?;
    }
    if let Err(refused) = connection.step("RELEASE call") {
        // Postgres keeps nothing of a call that went on behind a statement that failed; its neighbours are not to blame.
        connection.step("ROLLBACK TO call")?;
        connection.step("RELEASE call")?;
        return Err(refused.into());
    }
    outcome
}

/// Does what comes, group after group, until nobody can ask any more.
pub(crate) fn serve<S: Source>(mut source: S, mut queue: mpsc::UnboundedReceiver<Job<S::Connection>>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut wait = Duration::ZERO;
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        while group.len() < GROUP_MAX
            && let Ok(job) = queue.try_recv()
        {
            group.push(job);
        }
        let (calls, begun) = (group.len(), Instant::now());
        let only_reads = group.iter().all(|job| job.only_reads);
        let end = source.end();
        let ended = commit(source.begin(only_reads), group.drain(..), end);
        if ended.failure.is_some() {
            source.failed();
        }
        wait = linger(calls, begun.elapsed());
        ended.answer();
    }
}

/// How long the group after one of `calls` waits: those just answered come back at once, and without a wait they would
/// always find that the group of the others has begun. A caller alone waits for nobody.
fn linger(calls: usize, took: Duration) -> Duration {
    if calls > 1 { (took / LINGER_SHARE).min(LINGER_MAX) } else { Duration::ZERO }
}

/// A group whose transaction has ended, and whose callers do not know it yet.
pub(crate) struct Ended {
    pub(crate) finishes: Vec<Finish>,
    pub(crate) failure: Option<String>,
}

impl Ended {
    pub(crate) fn answer(self) {
        self.finishes.into_iter().for_each(|finish| finish(self.failure.as_deref()));
    }
}

/// Runs the jobs in the transaction that was begun, which `end` ends. A job that has it alone needs no savepoint, for which
/// SQLite would copy every page that it changes: if it fails, all is taken back.
pub(crate) fn commit<C: Transact>(
    begun: Result<&C, StoreError>,
    group: impl ExactSizeIterator<Item = Job<C>>,
    end: &str,
) -> Ended {
    let (connection, reason) = match begun {
        Ok(connection) => (Some(connection), String::new()),
        Err(error) => (None, told(&error)),
    };
    let is_alone = group.len() == 1;
    let done: Vec<Done> = group.map(|job| (job.work)(connection.ok_or(&*reason), is_alone)).collect();
    let end = if is_alone && done.iter().any(|done| !done.is_kept) { "ROLLBACK" } else { end };
    let finishes = done.into_iter().map(|done| done.finish).collect();
    let Some(connection) = connection else { return Ended { finishes, failure: Some(reason) } };
    let failure = connection.step(end).err().map(|error| {
        // Whatever is left open must not leak into the next group.
        drop(connection.step("ROLLBACK"));
        told(&error)
    });
    Ended { finishes, failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shared_commit_makes_the_next_group_wait_and_never_long() {
        let [short, long] = [5, 5_000].map(Duration::from_millis);
        assert_eq!(linger(1, short), Duration::ZERO);
        assert_eq!(linger(2, short), short / LINGER_SHARE);
        assert_eq!(linger(2, long), LINGER_MAX);
    }
}
