//! Files of a simulated world: in memory, worked on by a task of the runtime, slow and faulty as the seed has it.
//!
//! What is committed outlasts the runtime, which is how a crash is simulated: drop the runtime, open the files again.
use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::Connection;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    file::{BEGIN, END},
    group::{self, Ended, GROUP_MAX, Jobs, Transact as _},
};

type Job = group::Job<Connection>;

/// What may go wrong with a commit, in groups per thousand, and how long one takes at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The group is rolled back, and its callers are told.
    pub fail: u64,
    /// The group is committed, and its callers are told that it failed.
    pub lose_report: u64,
    /// Longest wait before a group is begun, and again before its callers are told.
    pub delay_max: Duration,
}

thread_local! {
    static DISK: RefCell<Option<Disk>> = const { RefCell::new(None) };
}

/// The files of one world. Its clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk {
    files: Rc<RefCell<BTreeMap<PathBuf, Arc<File>>>>,
    faults: Arc<Mutex<Faults>>,
}

struct File {
    connection: Mutex<Connection>,
    /// Calls that nobody has begun, by opening of the file.
    queues: Mutex<Vec<Queue>>,
}

type Queue = Arc<Mutex<mpsc::UnboundedReceiver<Job>>>;

impl Disk {
    /// From here on [`crate::Database::open`] on this thread opens files of this disk, if the thread is in a seeded world.
    pub fn insert(&self) {
        DISK.set(Some(self.clone()));
    }

    /// This thread has no simulated disk any more.
    pub fn eject() {
        DISK.set(None);
    }

    /// What goes wrong from here on.
    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.faults) = faults;
    }

    /// A file as empty as if it had been deleted.
    pub fn remove(&self, path: &Path) {
        self.files.borrow_mut().remove(path);
    }

    fn file(&self, path: &Path) -> rusqlite::Result<Arc<File>> {
        let mut files = self.files.borrow_mut();
        if let Some(file) = files.get(path) {
            return Ok(Arc::clone(file));
        }
        let connection = Connection::open_in_memory()?;
        connection.set_prepared_statement_cache_capacity(256);
        let file = Arc::new(File { connection: Mutex::new(connection), queues: Mutex::default() });
        files.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

/// Opens a file of this thread's disk, if it has one.
pub(crate) fn open(path: &Path, pragmas: &str, schema: &str) -> rusqlite::Result<Option<Jobs<Connection>>> {
    let Some(disk) = disk() else { return Ok(None) };
    let file = disk.file(path)?;
    let connection = lock(&file.connection);
    connection.execute_batch(pragmas)?;
    connection.execute_batch(schema)?;
    drop(connection);
    let (jobs, queue) = mpsc::unbounded_channel();
    let queue = Arc::new(Mutex::new(queue));
    // A queue of an earlier life has nobody left who could fill it.
    *lock(&file.queues) = vec![Arc::clone(&queue)];
    tokio::spawn(serve(file, queue, disk.faults));
    Ok(Some(jobs))
}

/// Reads what is committed; nothing if this thread has no simulated disk.
pub fn read<T>(path: &Path, read: impl FnOnce(&Connection) -> T) -> Option<rusqlite::Result<T>> {
    let disk = disk()?;
    Some(disk.file(path).map(|file| read(&lock(&file.connection))))
}

/// Whether this thread has a simulated disk.
#[must_use]
pub fn is_inserted() -> bool {
    disk().is_some()
}

/// Does at once what waits for any file of this thread's disk; false if it has none.
pub(crate) fn work_now() -> bool {
    let Some(disk) = disk() else { return false };
    for file in disk.files.borrow().values() {
        for queue in lock(&file.queues).iter() {
            let waiting: Vec<Job> = std::iter::from_fn(|| lock(queue).try_recv().ok()).collect();
            if !waiting.is_empty() {
                commit(&lock(&file.connection), waiting.into_iter(), END).answer();
            }
        }
    }
    true
}

async fn serve(file: Arc<File>, queue: Queue, faults: Arc<Mutex<Faults>>) {
    let mut group = Vec::new();
    loop {
        let received =
            std::future::poll_fn(|context| lock(&queue).poll_recv_many(context, &mut group, GROUP_MAX));
        if received.await == 0 {
            return;
        }
        pause(&faults).await;
        // Whoever came meanwhile shares the commit.
        while let Ok(job) = lock(&queue).try_recv() {
            group.push(job);
        }
        let ended = with_fault(&file, group.drain(..), *lock(&faults));
        pause(&faults).await;
        ended.answer();
    }
}

fn commit(connection: &Connection, group: impl ExactSizeIterator<Item = Job>, end: &str) -> Ended {
    group::commit(connection.step(BEGIN).map(|()| connection), group, end)
}

fn with_fault(file: &File, group: impl ExactSizeIterator<Item = Job>, faults: Faults) -> Ended {
    let connection = lock(&file.connection);
    let drawn = seeded::below(1_000).unwrap_or(u64::MAX);
    let failed = Some("a fault of the simulated disk".to_owned());
    if drawn < faults.fail {
        Ended { failure: failed, ..commit(&connection, group, "ROLLBACK") }
    } else if drawn < faults.fail.saturating_add(faults.lose_report) {
        Ended { failure: failed, ..commit(&connection, group, END) }
    } else {
        commit(&connection, group, END)
    }
}

async fn pause(faults: &Mutex<Faults>) {
    let max_ms = u64::try_from(lock(faults).delay_max.as_millis()).unwrap_or(u64::MAX);
    if let Some(ms) = seeded::below(max_ms.saturating_add(1)).filter(|ms| *ms > 0) {
        sleep(Duration::from_millis(ms)).await;
    }
}

fn disk() -> Option<Disk> {
    DISK.with_borrow(Clone::clone).filter(|_| seeded::is_entered())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Database, Fault};

    fn in_a_world(seed: u64, faults: Faults, work: impl AsyncFnOnce(&Disk)) {
        seeded::enter(seed, None, || 0);
        let disk = Disk::default();
        disk.insert();
        disk.set_faults(faults);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(work(&disk));
        Disk::eject();
        seeded::leave();
    }

    const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)";

    async fn count(database: &Database) -> i64 {
        database.run(|c| c.query_row("SELECT count(*) FROM t", [], |row| row.get(0))).await.unwrap()
    }

    async fn insert(database: &Database, n: i64) -> Result<usize, Fault> {
        database.run(move |c| c.execute("INSERT INTO t VALUES (?1)", [n])).await
    }

    #[test]
    fn what_was_committed_outlasts_its_store_and_a_failed_group_leaves_nothing() {
        let path = Path::new("t.db");
        in_a_world(1, Faults { delay_max: Duration::from_secs(9), ..Faults::default() }, async |disk| {
            let database = Database::open(path, "", SCHEMA).unwrap();
            insert(&database, 1).await.unwrap();
            disk.set_faults(Faults { fail: 1_000, ..Faults::default() });
            assert!(insert(&database, 2).await.is_err());
            disk.set_faults(Faults { lose_report: 1_000, ..Faults::default() });
            assert!(insert(&database, 3).await.is_err());
            disk.set_faults(Faults::default());
            drop(database);
            assert_eq!(count(&Database::open(path, "", SCHEMA).unwrap()).await, 2);
            disk.remove(path);
            assert_eq!(count(&Database::open(path, "", SCHEMA).unwrap()).await, 0);
        });
    }

    #[test]
    fn a_caller_without_a_runtime_has_its_work_done_when_it_parks() {
        in_a_world(1, Faults::default(), async |_| {
            let database = Database::open(Path::new("t.db"), "", SCHEMA).unwrap();
            let mut call = std::pin::pin!(insert(&database, 1));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(call.as_mut().poll(&mut context).is_pending());
            crate::park();
            assert!(call.as_mut().poll(&mut context).is_ready());
        });
    }
}
