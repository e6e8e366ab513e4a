//! The read store in one SQLite file: one writing connection that shares commits, a few that only read.
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use group_commit::Database;
use privacy::MerchantScope;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use tokio::sync::Semaphore;

use crate::{
    Error, StoreError, Value,
    column::{ColumnType, Kind},
    session::{OnRow, Rows, Session, Typed as _},
    table::Shape,
};

/// Rows may be lost with the machine's power, since they come back from the log; so no commit waits for the disk.
const PRAGMAS: &str = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;";

/// Connections that only read.
const READERS: usize = 4;

/// The file.
pub(crate) struct Sqlite {
    writer: Database,
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    readers: Arc<Semaphore>,
}

impl Sqlite {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let writer = Database::open(path, PRAGMAS, "")?;
        let readers = Arc::new(Semaphore::new(READERS));
        let shared = Shared { path: path.to_owned(), idle: Mutex::default(), readers };
        Ok(Self { writer, shared: Arc::new(shared) })
    }

    pub(crate) const fn batch_records(&self) -> usize {
        2_000
    }

    /// Runs `work` in the writing connection's next transaction.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.call(move |connection| work(connection)).await?
    }

    /// The same: nobody else has the file.
    pub(crate) async fn write_in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.write(work).await
    }

    /// The same: no server is asked.
    pub(crate) async fn look_behind<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.write(look).await
    }

    /// Nobody else has to be kept out.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "another store has to")]
    pub(crate) fn alone(&self) -> Result<Option<Box<dyn Session + Send>>, StoreError> {
        Ok(None)
    }

    /// Runs `read` on one of the connections that cannot write. All that it reads is of one moment. A file has one kind
    /// of reader: whose rows they are stands in every query.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        _: Option<MerchantScope>,
        read: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        #[cfg(feature = "simulated")]
        if group_commit::simulated::is_inserted() {
            let answer = group_commit::simulated::read(&self.shared.path, |connection| read(connection));
            return answer.ok_or(Error::Closed)??;
        }
        let permit = Arc::clone(&self.shared.readers).acquire_owned().await.map_err(|_| Error::Closed)?;
        let shared = Arc::clone(&self.shared);
        let answer = tokio::task::spawn_blocking(move || {
            let connection = shared.connection()?;
            let answer = match connection.unchecked_transaction() {
                Ok(moment) => read(&*moment),
                Err(error) => Err(error.into()),
            };
            shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            answer
        });
        answer.await.map_err(|_| Error::Closed)?
    }

    /// A connection that cannot write and goes on seeing this moment.
    pub(crate) fn moment(&self) -> Result<Box<dyn Session + Send>, StoreError> {
        moment(&self.shared.path)
    }
}

/// A connection to this file that cannot write and goes on seeing this moment.
pub(crate) fn moment(path: &Path) -> Result<Box<dyn Session + Send>, StoreError> {
    let connection = open_reader(path)?;
    // The moment is that of the first look.
    connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master;")?;
    Ok(Box::new(connection))
}

impl Shared {
    fn connection(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open_reader(&self.path), Ok)
    }
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

impl Session for Connection {
    fn base(&self) -> &dyn group_commit::Session {
        self
    }

    fn rows_at(&self, shape: &Shape, keys: &[&[Value]], on_row: OnRow<'_>) -> Result<(), StoreError> {
        let matches: Vec<_> = shape.key().iter().map(|(name, _)| format!("{name} = ?")).collect();
        let sql = format!("SELECT {} FROM {} WHERE {}", shape.names(), shape.table, matches.join(" AND "));
        let mut select = self.prepare_cached(&sql)?;
        for key in keys {
            let mut found = select.query(params_from_iter(key.iter()))?;
            if let Some(row) = found.next()? {
                on_row(row)?;
            }
        }
        Ok(())
    }

    fn insert(&self, shape: &Shape, rows: Rows<'_>) -> Result<(), StoreError> {
        self.upsert(shape, rows)
    }

    fn upsert(&self, shape: &Shape, rows: Rows<'_>) -> Result<(), StoreError> {
        let places = vec!["?"; shape.columns.len()].join(", ");
        let sql = format!("INSERT OR REPLACE INTO {} ({}) VALUES ({places})", shape.table, shape.names());
        let mut upsert = self.prepare_cached(&sql)?;
        for row in rows {
            upsert.execute(params_from_iter(&row))?;
        }
        Ok(())
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        let session: &dyn Session = self;
        session.all("SELECT name FROM sqlite_master WHERE type = 'table'", &[], |row| row.get(0))
    }

    fn create(&self, shape: &Shape) -> Result<(), StoreError> {
        let columns: Vec<_> =
            shape.columns.iter().map(|(name, of)| format!("{name} {}", written(*of))).collect();
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({})) STRICT, WITHOUT ROWID;",
            shape.table,
            columns.join(", "),
            shape.key_names()
        );
        Ok(self.execute_batch(&sql)?)
    }

    fn index(&self, shape: &Shape) -> Result<(), StoreError> {
        let table = &shape.table;
        let indexes = shape.indexes.iter().enumerate().map(|(number, columns)| {
            format!("CREATE INDEX IF NOT EXISTS {table}_by_{number} ON {table} ({columns});")
        });
        Ok(self.execute_batch(&indexes.collect::<String>())?)
    }

    fn drop_table(&self, table: &str) -> Result<(), StoreError> {
        Ok(self.execute_batch(&format!("DROP TABLE IF EXISTS {table};"))?)
    }
}

/// A column's type in SQLite's words.
const fn written(column: ColumnType) -> &'static str {
    match (column.kind, column.nullable) {
        (Kind::Integer, false) => "INTEGER NOT NULL",
        (Kind::Integer, true) => "INTEGER",
        (Kind::Text, false) => "TEXT NOT NULL",
        (Kind::Text, true) => "TEXT",
        (Kind::Bytes, false) => "BLOB NOT NULL",
        (Kind::Bytes, true) => "BLOB",
    }
}
