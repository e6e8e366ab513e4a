//! The read store: one SQLite file, one writing connection that shares commits, a few that only read.
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use group_commit::Database;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, watch};

use crate::{
    Definition, Error, Projection, all, generations,
    live::{Live, LiveTables},
    table::{Key, Row, columns},
};

/// Rows may be lost with the machine's power, since they come back from the log; so no commit waits for the disk.
const PRAGMAS: &str = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;";

/// What is there beside the projections' own tables.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS projection_live (
    name TEXT PRIMARY KEY, generation INTEGER NOT NULL, version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (
    projection TEXT, generation INTEGER, part INTEGER, checkpoint BLOB NOT NULL,
    PRIMARY KEY (projection, generation, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parked (
    projection TEXT, merchant BLOB, stream_type INTEGER, stream BLOB, version INTEGER,
    part INTEGER NOT NULL, position INTEGER NOT NULL, route BLOB NOT NULL, event_index INTEGER NOT NULL,
    body BLOB NOT NULL, reason TEXT,
    PRIMARY KEY (projection, merchant, stream_type, stream, version)
) STRICT, WITHOUT ROWID;";

/// Connections that only read.
const READERS: usize = 4;

/// The read store's handle; cheap to clone.
#[derive(Clone)]
pub struct ReadStore {
    shared: Arc<Shared>,
}

struct Shared {
    writer: Database,
    tables: Arc<LiveTables>,
    /// Whoever follows the log folds under a share of it; whoever serves other tables has it alone.
    folding: RwLock<()>,
    /// Told after every moment alone: tables may stand elsewhere now.
    moved: watch::Sender<()>,
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    readers: Arc<Semaphore>,
}

/// Nobody else folds into the served tables as long as this is held. Afterwards everybody looks where they stand.
pub(crate) struct Alone<'a> {
    moved: &'a watch::Sender<()>,
    _folding: RwLockWriteGuard<'a, ()>,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.moved.send_replace(());
    }
}

impl ReadStore {
    /// Opens the file, or makes it anew: it may be deleted whenever nobody has it open, and is filled from the log.
    ///
    /// A projection whose version is not the stored one gets a new generation of its table; the old one goes. What an
    /// interrupted rebuild left behind goes too.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let writer = Database::open(path, PRAGMAS, SCHEMA)?;
        let tables = writer.call(|connection| {
            all().iter().map(|definition| prepare(connection, definition)).collect::<rusqlite::Result<_>>()
        });
        let tables = Arc::new(LiveTables::new(tables.await??));
        let shared = Shared {
            writer,
            tables,
            folding: RwLock::new(()),
            moved: watch::Sender::new(()),
            path: path.to_owned(),
            idle: Mutex::default(),
            readers: Arc::new(Semaphore::new(READERS)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn writer(&self) -> &Database {
        &self.shared.writer
    }

    /// The served tables, to be asked in the transaction that uses them.
    pub(crate) fn tables(&self) -> Arc<LiveTables> {
        Arc::clone(&self.shared.tables)
    }

    /// Leave to fold one batch into the served tables.
    pub(crate) async fn fold_turn(&self) -> RwLockReadGuard<'_, ()> {
        self.shared.folding.read().await
    }

    /// Waits until nobody folds into the served tables, and keeps it so.
    pub(crate) async fn alone(&self) -> Alone<'_> {
        Alone { _folding: self.shared.folding.write().await, moved: &self.shared.moved }
    }

    /// Hears of every moment after which tables may stand elsewhere.
    pub(crate) fn moved(&self) -> watch::Receiver<()> {
        self.shared.moved.subscribe()
    }

    /// A connection that cannot write and goes on seeing this moment.
    pub(crate) async fn snapshot(&self) -> Result<Connection, Error> {
        let shared = Arc::clone(&self.shared);
        let opened = tokio::task::spawn_blocking(move || {
            let connection = open_reader(&shared.path)?;
            connection.execute_batch("BEGIN; SELECT count(*) FROM projection_live;")?;
            Ok::<_, rusqlite::Error>(connection)
        });
        Ok(opened.await.map_err(|_| Error::Closed)??)
    }

    /// Runs a query of `P` with its table's name and its columns on a connection that cannot write.
    pub(crate) async fn query<P: Projection, T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection, &str, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.query_rows::<P::Row, T>(P::NAME, query).await
    }

    /// The same of the projection with this name and these rows.
    pub(crate) async fn query_rows<R: Row, T: Send + 'static>(
        &self,
        name: &'static str,
        query: impl FnOnce(&Connection, &str, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let tables = self.tables();
        self.read(move |connection| {
            let live = tables.of(connection, name)?;
            query(connection, &live.table, &columns::<R>())
        })
        .await
    }

    /// The row of `P` with this key.
    pub(crate) async fn find<P>(&self, key: Key<P::Row>) -> Result<Option<P::Row>, Error>
    where
        P: Projection,
        P::Row: Send + 'static,
    {
        let tables = self.tables();
        self.read(move |connection| tables.of(connection, P::NAME)?.statements.load(connection, &key)).await
    }

    /// Runs `read` on one of the connections that cannot write, off the runtime's own threads. All that it reads is of one
    /// moment, the served generations too.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        #[cfg(feature = "simulated")]
        if group_commit::simulated::is_inserted() {
            let answer = group_commit::simulated::read(&self.shared.path, read);
            return Ok(answer.ok_or(Error::Closed)???);
        }
        let permit = Arc::clone(&self.shared.readers).acquire_owned().await.map_err(|_| Error::Closed)?;
        let shared = Arc::clone(&self.shared);
        let answer = tokio::task::spawn_blocking(move || {
            let connection = shared.connection()?;
            let answer = connection.unchecked_transaction().and_then(|moment| read(&moment));
            shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            answer
        });
        Ok(answer.await.map_err(|_| Error::Closed)??)
    }
}

impl Shared {
    fn connection(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open_reader(&self.path), Ok)
    }
}

/// A connection that cannot write.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The served generation of a projection, made or replaced if need be.
fn prepare(connection: &Connection, definition: &'static Definition) -> rusqlite::Result<Live> {
    let stored = connection
        .query_row(
            "SELECT generation, version FROM projection_live WHERE name = ?",
            [definition.name],
            |row| Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?)),
        )
        .optional()?;
    let generation = match stored {
        Some((generation, version)) if version == definition.version => generation,
        Some((generation, _)) => {
            generations::forget_all(connection, definition.name)?;
            generation.saturating_add(1)
        }
        None => 1,
    };
    let live = Live::new(definition, generation);
    connection.execute_batch(&live.statements.create)?;
    connection.execute_batch(&live.statements.index)?;
    generations::serve(connection, definition, generation)?;
    generations::forget_newer(connection, definition.name, generation)?;
    Ok(live)
}
