//! The read store: one SQLite file, one writing connection that shares commits, a few that only read.
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use group_commit::Database;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tokio::sync::Semaphore;

use crate::{
    Definition, Error, Projection, all, generations,
    table::{Key, Row, Statements, columns},
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
    live: Vec<Arc<Live>>,
    tables: HashMap<&'static str, String>,
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    readers: Arc<Semaphore>,
}

/// One projection with a generation of its table; what is served, except where a shadow is built.
pub(crate) struct Live {
    pub(crate) definition: &'static Definition,
    pub(crate) generation: u32,
    /// Under which name its events wait: the projection's own, if it is served.
    pub(crate) parked_as: String,
    pub(crate) statements: Statements,
}

impl Live {
    /// The served table.
    pub(crate) fn new(definition: &'static Definition, generation: u32) -> Self {
        let statements = (definition.statements)(&format!("{}_{generation}", definition.name));
        Self { definition, generation, parked_as: definition.name.to_owned(), statements }
    }

    /// A table beside the served one.
    pub(crate) fn beside(definition: &'static Definition, generation: u32) -> Self {
        let parked_as = generations::parked_beside(definition.name, generation);
        Self { parked_as, ..Self::new(definition, generation) }
    }
}

impl ReadStore {
    /// Opens the file, or makes it anew: it may be deleted whenever nobody has it open, and is filled from the log.
    ///
    /// A projection whose version is not the stored one gets a new generation of its table; the old one goes.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let writer = Database::open(path, PRAGMAS, SCHEMA)?;
        let live = writer.call(|connection| {
            all().iter().map(|definition| prepare(connection, definition).map(Arc::new)).collect()
        });
        let live: Vec<Arc<Live>> = live.await??;
        let tables = live.iter().map(|live| (live.definition.name, table_of(live))).collect();
        let readers = Arc::new(Semaphore::new(READERS));
        let shared = Shared { writer, live, tables, path: path.to_owned(), idle: Mutex::default(), readers };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn writer(&self) -> &Database {
        &self.shared.writer
    }

    /// The projections in the order of [`all`].
    pub(crate) fn live(&self) -> &[Arc<Live>] {
        &self.shared.live
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
        let shared = Arc::clone(&self.shared);
        self.read(move |connection| {
            let table = shared.tables.get(name).map_or(name, String::as_str);
            query(connection, table, &columns::<R>())
        })
        .await
    }

    /// The row of `P` with this key.
    pub(crate) async fn find<P>(&self, key: Key<P::Row>) -> Result<Option<P::Row>, Error>
    where
        P: Projection,
        P::Row: Send + 'static,
    {
        let live = self.live().iter().find(|live| live.definition.name == P::NAME).cloned();
        self.read(move |connection| match live {
            Some(live) => live.statements.load(connection, &key),
            None => Ok(None),
        })
        .await
    }

    /// Runs `read` on one of the connections that cannot write, off the runtime's own threads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.shared.readers).acquire_owned().await.map_err(|_| Error::Closed)?;
        let shared = Arc::clone(&self.shared);
        let answer = tokio::task::spawn_blocking(move || {
            let connection = shared.connection()?;
            let answer = read(&connection);
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

fn table_of(live: &Live) -> String {
    format!("{}_{}", live.definition.name, live.generation)
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
    generations::serve(connection, definition, generation)?;
    Ok(live)
}
