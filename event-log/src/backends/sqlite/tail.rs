//! Reading a log file, page by page, never in a transaction across a wait.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use super::schema;
use crate::{
    backend::{Ends, Fetched, Last, Stored, Tail, cut, wait_beyond},
    error::Fault,
    ids::Position,
};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Read-only connections, reused.
pub(super) struct Readers {
    path: PathBuf,
    /// Whether this process only reads the log, such as a verifier, and serves nobody meanwhile. Then the file is mapped
    /// into memory, which is twice as fast over a whole history, but a disk that fails to read ends the process instead of
    /// the call; and it is read on the caller's own thread, since another one costs a wait and finds its cache cold.
    only_reads: bool,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path, only_reads: bool) -> Self {
        Self { path: path.to_owned(), only_reads, idle: Mutex::new(Vec::new()) }
    }

    /// Reads without holding up whom this process serves. A read that has begun is not cancelled.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        if self.only_reads {
            return self.with(action, read);
        }
        let readers = self.clone();
        let reading = spawn_blocking(move || readers.with(action, read));
        reading.await.map_err(|source| Fault::new("wait for a read", source))?
    }

    /// Blocks; a connection that failed is not used again.
    pub(super) fn with<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Fault> {
        let idle = self.idle().pop();
        let connected = idle.map_or_else(|| schema::open_reader(&self.path, self.only_reads), Ok);
        let read = connected.and_then(|connection| Ok((read(&connection)?, connection)));
        let (value, connection) = read.map_err(|source| Fault::new(action, source))?;
        self.idle().push(connection);
        Ok(value)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's view of one partition.
pub(super) struct SqliteTail {
    readers: Arc<Readers>,
    ends: Arc<Ends>,
    end: watch::Receiver<Position>,
    partition: u16,
    /// Nobody tells a read-only process that there is more.
    polls: bool,
    scanned: Scanned,
}

/// Behind `after`, up to `to`, there is nothing of this partition; so an idle one does not scan the others' records again.
#[derive(Clone, Copy, Default)]
struct Scanned {
    after: Position,
    to: Position,
}

impl SqliteTail {
    pub(super) fn new(readers: Arc<Readers>, ends: Arc<Ends>, partition: u16, polls: bool) -> Self {
        let end = ends.subscribe(partition);
        Self { readers, ends, end, partition, polls, scanned: Scanned::default() }
    }

    async fn poll_end(&self) -> Result<(), Fault> {
        let partition = self.partition;
        let head = move |connection: &Connection| schema::read_head(connection, partition);
        if let Some(head) = self.readers.read("find the end of a partition", head).await? {
            self.ends.advance(partition, head.position);
        }
        Ok(())
    }
}

#[async_trait]
impl Tail for SqliteTail {
    async fn fetch(&mut self, after: Position, max_records: usize) -> Result<Fetched, Fault> {
        let partition = self.partition;
        let scan_from = if self.scanned.after == after { self.scanned.to.max(after) } else { after };
        let page = Page { partition, after, scan_from, max_records };
        let fetched = self.readers.read("read the log", move |connection| page.fetch(connection));
        let (fetched, scanned) = fetched.await?;
        self.scanned = scanned;
        Ok(fetched)
    }

    async fn changed(&mut self, after: Position) -> Result<(), Fault> {
        if self.polls {
            while self.ends.get(self.partition) <= after {
                sleep(POLL_INTERVAL).await;
                self.poll_end().await?;
            }
            return Ok(());
        }
        wait_beyond(&mut self.end, after).await
    }
}

struct Page {
    partition: u16,
    after: Position,
    scan_from: Position,
    max_records: usize,
}

impl Page {
    /// One transaction, so that the last record read, the records and the head are of one moment.
    fn fetch(&self, connection: &Connection) -> rusqlite::Result<(Fetched, Scanned)> {
        let transaction = connection.unchecked_transaction()?;
        let last = schema::read_record(&transaction, self.partition, self.after)?;
        let last = last.map_or(Last::Absent, |bytes| Last::Bytes(bytes.into()));
        let records = self.records(&transaction)?;
        let after = records.last().map_or(self.after, |stored| stored.position);
        if records.len() == self.max_records {
            return Ok((Fetched { last, records, head: None }, Scanned { after, to: after }));
        }
        let to = transaction.query_row("SELECT coalesce(max(seq), 0) FROM log", (), |row| row.get(0))?;
        let head = schema::read_head(&transaction, self.partition)?.map(|row| row.head);
        Ok((Fetched { last, records, head }, Scanned { after, to: Position::new(to) }))
    }

    /// All records of the page share one allocation.
    fn records(&self, connection: &Connection) -> rusqlite::Result<Vec<Stored>> {
        let mut statement = connection
            .prepare_cached("SELECT seq, rec FROM log WHERE seq > ?1 AND part = ?2 ORDER BY seq LIMIT ?3")?;
        let mut rows = statement.query(params![self.scan_from.get(), self.partition, self.max_records])?;
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            bytes.extend_from_slice(row.get_ref(1)?.as_blob()?);
            ends.push((Position::new(row.get(0)?), bytes.len()));
        }
        Ok(cut(bytes, ends).collect())
    }
}
