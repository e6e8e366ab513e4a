//! A SQLite file behind one connection on one thread, whose callers share commits and are answered only when durable.
//!
//! The log has a writer of its own, because its transaction also fences; this one serves the stores beside it.
#[cfg(feature = "planted-bugs")]
mod planted;
#[cfg(feature = "simulated")]
pub mod simulated;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// At most this many calls share one commit.
const GROUP_MAX: usize = 1024;
/// A group waits for latecomers this part of the time that the last commit took ...
const LINGER_SHARE: u32 = 10;
/// ... and never longer than this, so that a slow disk does not slow its callers twice.
const LINGER_MAX: Duration = Duration::from_millis(1);

/// The store could not do a call's work.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// SQLite refused. For a failed commit the outcome is unknown: the work may come back after a restart.
    #[error("the store failed; whether the work is durable is unknown")]
    Sqlite(#[from] rusqlite::Error),
    /// The group's commit failed for all its calls.
    #[error("the commit that the call shared failed: {0}")]
    Commit(String),
    /// The work panicked; nothing of it was kept.
    #[error("the work panicked")]
    Panicked,
    /// The store's thread is gone.
    #[error("the store is closed")]
    Closed,
}

/// Answers a call once its group is committed, or why it is not.
type Finish = Box<dyn FnOnce(Option<&str>) + Send>;
type Answered<T, E> = oneshot::Receiver<Result<Result<T, E>, Fault>>;
type Job = Box<dyn FnOnce(&Connection) -> Finish + Send>;

/// The handle; clones share the thread, which ends with the last of them.
#[derive(Clone)]
pub struct Database {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Database {
    /// Opens or creates the file, applies `pragmas`, then `schema` (statements that may run again).
    pub fn open(path: &Path, pragmas: &str, schema: &str) -> Result<Self, rusqlite::Error> {
        #[cfg(feature = "simulated")]
        if let Some(jobs) = simulated::open(path, pragmas, schema)? {
            return Ok(Self { jobs });
        }
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch(pragmas)?;
        #[cfg(feature = "planted-bugs")]
        planted::forget_to_sync(path, &connection)?;
        connection.execute_batch(schema)?;
        connection.set_prepared_statement_cache_capacity(256);
        let (jobs, queue) = mpsc::unbounded_channel();
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        thread::Builder::new()
            .name(name)
            .spawn(move || serve(&connection, queue))
            .map_err(|_| rusqlite::Error::InvalidPath(path.to_owned()))?;
        Ok(Self { jobs })
    }

    /// Whether the store's thread still serves.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// Runs `work` in the next group. `Ok(Ok(_))` = done and durable; `Ok(Err(_))` = refused by `work` itself, and
    /// nothing of it was kept; `Err(_)` = the store failed.
    pub async fn call<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Fault>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.enqueue(work)?.await.map_err(|_| Fault::Closed)?
    }

    /// The same, for threads outside the runtime.
    pub fn call_blocking<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Fault>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.enqueue(work)?.blocking_recv().map_err(|_| Fault::Closed)?
    }

    /// The same for work that can only fail in SQLite.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        Ok(self.call(work).await??)
    }

    fn enqueue<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<Answered<T, E>, Fault> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let outcome = isolated(connection, work);
            Box::new(move |commit_failure| {
                let result = match (outcome, commit_failure) {
                    (Ok(Ok(_)), Some(reason)) => Err(Fault::Commit(reason.to_owned())),
                    (outcome, _) => outcome,
                };
                // A caller that went away no longer wants to know.
                drop(answer.send(result));
            })
        });
        self.jobs.send(job).map_err(|_| Fault::Closed)?;
        Ok(answered)
    }
}

/// Runs one call inside its own savepoint, so that its failure leaves its neighbours' work alone.
fn isolated<T, E>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<Result<T, E>, Fault> {
    let step = |sql| connection.prepare_cached(sql)?.execute([]);
    step("SAVEPOINT call")?;
    let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)));
    if !matches!(outcome, Ok(Ok(_))) {
        step("ROLLBACK TO call")?;
    }
    step("RELEASE call")?;
    outcome.map_err(|_: Box<dyn Any + Send>| Fault::Panicked)
}

fn serve(connection: &Connection, mut queue: mpsc::UnboundedReceiver<Job>) {
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
        let ended = commit(connection, group.drain(..), "COMMIT");
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
struct Ended {
    finishes: Vec<Finish>,
    failure: Option<String>,
}

impl Ended {
    fn answer(self) {
        self.finishes.into_iter().for_each(|finish| finish(self.failure.as_deref()));
    }
}

/// Runs the jobs in one transaction, which `end` ends.
fn commit(connection: &Connection, group: impl Iterator<Item = Job>, end: &str) -> Ended {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    let finishes = group.map(|job| job(connection)).collect();
    let committed = begun.and_then(|()| connection.execute_batch(end));
    let failure = committed.err().map(|error| {
        // Whatever is left open must not leak into the next group.
        drop(connection.execute_batch("ROLLBACK"));
        error.to_string()
    });
    Ended { finishes, failure }
}

/// Blocks the thread until it is unparked, for who polls a call without a runtime. In a simulated world, where the
/// stores have no threads, it makes them do what they were asked for.
pub fn park() {
    #[cfg(feature = "simulated")]
    if simulated::work_now() {
        return;
    }
    thread::park();
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)";

    fn insert(n: i64) -> impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static {
        move |connection| connection.execute("INSERT INTO t VALUES (?1)", [n]).map(drop)
    }

    async fn count(database: &Database) -> i64 {
        database.run(|c| c.query_row("SELECT count(*) FROM t", [], |row| row.get(0))).await.unwrap()
    }

    #[tokio::test]
    async fn a_call_that_fails_keeps_nothing_and_leaves_its_neighbours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database =
            Database::open(&folder.path().join("t.db"), "PRAGMA journal_mode=WAL;", SCHEMA).unwrap();
        let refused = database.call(|c| {
            insert(1)(c).unwrap();
            Err::<(), _>("no")
        });
        let (refused, kept, doubled) =
            tokio::join!(refused, database.run(insert(2)), database.run(insert(2)));
        assert_eq!(refused.unwrap(), Err("no"));
        assert!(kept.is_ok() && doubled.is_err());
        assert_eq!(count(&database).await, 1);
    }

    #[test]
    fn only_a_shared_commit_makes_the_next_group_wait_and_never_long() {
        let [short, long] = [5, 5_000].map(Duration::from_millis);
        assert_eq!(linger(1, short), Duration::ZERO);
        assert_eq!(linger(2, short), short / LINGER_SHARE);
        assert_eq!(linger(2, long), LINGER_MAX);
    }

    #[tokio::test]
    async fn a_panic_ends_its_call_and_not_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("t.db"), "", SCHEMA).unwrap();
        let panicked = database.run::<()>(|_| panic!("planted")).await;
        assert!(matches!(panicked, Err(Fault::Panicked)));
        database.run(insert(1)).await.unwrap();
        assert_eq!(count(&database).await, 1);
    }

    #[tokio::test]
    async fn a_failed_commit_is_told_to_every_call_that_shared_it() {
        let folder = tempfile::tempdir().unwrap();
        let schema = "CREATE TABLE p(n INTEGER PRIMARY KEY);
            CREATE TABLE c(p INTEGER REFERENCES p(n) DEFERRABLE INITIALLY DEFERRED);";
        let database =
            Database::open(&folder.path().join("t.db"), "PRAGMA foreign_keys=ON;", schema).unwrap();
        let orphan = database.run(|c| c.execute("INSERT INTO c VALUES (7)", [])).await;
        assert!(matches!(orphan, Err(Fault::Commit(_))));
        assert_eq!(database.run(|c| c.execute("INSERT INTO p VALUES (7)", [])).await.unwrap(), 1);
    }
}
