//! A log in one SQLite file. One thread writes and checkpoints; readers have read-only connections.
//!
//! The bundled SQLite can lose commits when one connection checkpoints while another resets the WAL, so exactly one
//! connection may do either: a lock file beside the log keeps every other writer out, in this process and in others.

mod group;
mod schema;
mod sweep;
mod tail;

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use self::{
    group::{GroupCommit, Job},
    sweep::SqliteSweep,
    tail::{Readers, SqliteTail},
};
use crate::{
    backend::{Backend, Delivery, Ends, Entry, Producer, Sweep, Tail},
    error::{Error, Fault},
    genesis::{Class, Genesis},
    log::Log,
};

/// Makes a log at `path` and opens it for writing. The file appears whole or not at all; its folder must exist.
///
/// # Errors
/// [`Error::AlreadyExists`], [`Error::Locked`], [`Error::Storage`].
pub fn init(path: &Path, partitions: u16) -> Result<Log, Error> {
    let lock = lock(path)?;
    if path.exists() {
        return Err(Error::AlreadyExists { place: path.display().to_string() });
    }
    let genesis = Genesis::new(partitions.max(1), Class::Conditional);
    schema::create(path, &genesis).map_err(|source| Fault { action: "make a log", source })?;
    open_locked(path, lock)
}

/// Opens an existing log for writing. It stays locked until the log and its writers are dropped.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Locked`], [`Error::NotALog`], [`Error::Storage`].
pub fn open(path: &Path) -> Result<Log, Error> {
    check_exists(path)?;
    open_locked(path, lock(path)?)
}

/// Opens an existing log for reading only, beside whoever may be writing it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotALog`], [`Error::Storage`].
pub fn open_read_only(path: &Path) -> Result<Log, Error> {
    check_exists(path)?;
    open_with(path, None)
}

struct Sqlite {
    genesis: Genesis,
    ends: Arc<Ends>,
    readers: Arc<Readers>,
    writing: Option<Arc<Writing>>,
}

/// The thread that writes. It holds the lock and ends with the last log or producer, after storing what it was given.
struct Writing {
    jobs: Option<mpsc::UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writing {
    fn start(group_commit: GroupCommit) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("log writer".to_owned());
        let thread = thread.spawn(move || group_commit.run(queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("The log's writer thread panicked");
        }
    }
}

fn open_locked(path: &Path, lock: File) -> Result<Log, Error> {
    // Before anything is changed: a file that is no log must stay as it is.
    read_genesis(path, &Readers::new(path, false))?;
    let connection =
        schema::open_writer(path).map_err(|source| Fault::new("open the log for writing", source))?;
    open_with(path, Some((connection, lock)))
}

fn open_with(path: &Path, writer: Option<(Connection, File)>) -> Result<Log, Error> {
    // Who serves must outlive a bad sector.
    let readers = Readers::new(path, writer.is_none());
    let genesis = read_genesis(path, &readers)?;
    let ends = Arc::new(Ends::new(genesis.partitions));
    readers.with("find the ends of the log", |connection| schema::load_ends(connection, &ends))?;
    let start =
        |(connection, lock)| Writing::start(GroupCommit::new(connection, ends.clone(), lock)).map(Arc::new);
    let writing = writer.map(start).transpose();
    let writing = writing.map_err(|source| Fault::new("start the log's writer", source))?;
    Ok(Log::new(Arc::new(Sqlite { genesis, ends, readers: Arc::new(readers), writing })))
}

fn read_genesis(path: &Path, readers: &Readers) -> Result<Genesis, Error> {
    let not_a_log = |reason| Error::NotALog { path: path.to_owned(), reason };
    match readers.with("read the log's genesis", |connection| match schema::read_genesis(connection) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Ok(None),
        genesis => genesis.map(Some),
    })? {
        None => Err(not_a_log("it is no database")),
        Some(genesis) => genesis.map_err(not_a_log),
    }
}

fn check_exists(path: &Path) -> Result<(), Error> {
    if path.exists() { Ok(()) } else { Err(Error::NotFound { place: path.display().to_string() }) }
}

fn lock(path: &Path) -> Result<File, Error> {
    let failed = |source| Fault::new("lock the log", source);
    let lock_path: PathBuf = path.with_added_extension("lock");
    let file = File::options().create(true).truncate(false).write(true).open(lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source).into()),
    }
}

#[async_trait]
impl Backend for Sqlite {
    fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn ends(&self) -> &Ends {
        &self.ends
    }

    fn tail(&self, partition: u16) -> Box<dyn Tail> {
        let polls = self.writing.is_none();
        Box::new(SqliteTail::new(self.readers.clone(), self.ends.clone(), partition, polls))
    }

    fn sweep(&self) -> Box<dyn Sweep> {
        Box::new(SqliteSweep::new(self.readers.clone()))
    }

    async fn producer(&self, partition: u16) -> Result<Option<Box<dyn Producer>>, Fault> {
        let producer = |writing: &Arc<Writing>| -> Box<dyn Producer> {
            Box::new(SqliteProducer { writing: writing.clone(), partition })
        };
        Ok(self.writing.as_ref().map(producer))
    }
}

struct SqliteProducer {
    writing: Arc<Writing>,
    partition: u16,
}

impl Producer for SqliteProducer {
    fn send(&mut self, entry: Entry) -> oneshot::Receiver<Delivery> {
        let (report, delivery) = oneshot::channel();
        if let Some(jobs) = &self.writing.jobs {
            // A thread that is gone drops the report, which is an unknown outcome.
            drop(jobs.send(Job { partition: self.partition, entry, report }));
        }
        delivery
    }
}

#[cfg(test)]
mod tests;
