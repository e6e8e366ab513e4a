//! A SQLite file behind one connection on one thread.
use std::{path::Path, thread, time::Duration};

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::{
    Fault, StoreError,
    group::{self, Jobs, Source, Transact as _},
};

pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(crate) const END: &str = "COMMIT";

/// A file; clones share the thread, which ends with the last of them.
#[derive(Clone)]
pub struct Database {
    pub(crate) jobs: Jobs<Connection>,
}

impl Database {
    /// Opens or creates the file, applies `pragmas`, then `schema` (statements that may run again).
    ///
    /// # Errors
    /// SQLite cannot open the file, or it holds something else.
    pub fn open(path: &Path, pragmas: &str, schema: &str) -> Result<Self, rusqlite::Error> {
        #[cfg(feature = "simulated")]
        if let Some(jobs) = crate::simulated::open(path, pragmas, schema)? {
            return Ok(Self { jobs });
        }
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch(pragmas)?;
        #[cfg(feature = "planted-bugs")]
        crate::planted::forget_to_sync(path, &connection)?;
        connection.execute_batch(schema)?;
        connection.set_prepared_statement_cache_capacity(256);
        let (jobs, queue) = mpsc::unbounded_channel();
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        thread::Builder::new()
            .name(name)
            .spawn(move || group::serve(connection, queue))
            .map_err(|_| rusqlite::Error::InvalidPath(path.to_owned()))?;
        Ok(Self { jobs })
    }

    /// Whether the store's thread still serves.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// Runs `work` in the next group. `Ok(Ok(_))` = done and durable; `Ok(Err(_))` = refused by `work` itself, and
    /// nothing of it was kept.
    ///
    /// # Errors
    /// The store failed.
    pub async fn call<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Fault>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        group::enqueue(&self.jobs, false, work)?.await.map_err(|_| Fault::Closed)?
    }

    /// The same for work that can only fail in SQLite.
    ///
    /// # Errors
    /// The store failed.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        Ok(self.call(work).await??)
    }
}

impl Source for Connection {
    type Connection = Self;

    fn begin(&mut self, _: bool) -> Result<&Self, StoreError> {
        self.step(BEGIN)?;
        Ok(self)
    }

    fn end(&self) -> &'static str {
        END
    }

    fn failed(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)";

    fn insert(n: i64) -> impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static {
        move |connection| connection.execute("INSERT INTO t VALUES (?1)", [n]).map(drop)
    }

    fn insert_and_refuse(connection: &Connection) -> Result<(), &'static str> {
        insert(1)(connection).unwrap();
        Err("no")
    }

    async fn count(database: &Database) -> i64 {
        database.run(|c| c.query_row("SELECT count(*) FROM t", [], |row| row.get(0))).await.unwrap()
    }

    #[tokio::test]
    async fn a_call_that_fails_keeps_nothing_and_leaves_its_neighbours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database =
            Database::open(&folder.path().join("t.db"), "PRAGMA journal_mode=WAL;", SCHEMA).unwrap();
        let refused = database.call(insert_and_refuse);
        let (refused, kept, doubled) =
            tokio::join!(refused, database.run(insert(2)), database.run(insert(2)));
        assert_eq!(refused.unwrap(), Err("no"));
        assert!(kept.is_ok() && doubled.is_err());
        assert_eq!(count(&database).await, 1);
    }

    /// Seen to fail where the transaction of a call that has it alone is committed whatever came of it.
    #[tokio::test]
    async fn a_call_alone_that_fails_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database =
            Database::open(&folder.path().join("t.db"), "PRAGMA journal_mode=WAL;", SCHEMA).unwrap();
        let refused = database.call(insert_and_refuse);
        assert_eq!(refused.await.unwrap(), Err("no"));
        let panicked = database.run::<()>(|c| {
            insert(2)(c)?;
            panic!("planted")
        });
        assert!(matches!(panicked.await, Err(Fault::Panicked)));
        assert_eq!(count(&database).await, 0);
        database.run(insert(3)).await.unwrap();
        assert_eq!(count(&database).await, 1);
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
