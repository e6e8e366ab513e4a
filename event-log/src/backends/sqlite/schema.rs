//! The tables of a log file, and how its connections are set up.

use std::{fs, io, path::Path};

use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, params};

use crate::{
    backend::{Ends, StoreHead},
    error::BoxError,
    genesis::{Class, Genesis},
    hash::{HASH_VERSION, Hash},
    ids::{LogId, Position},
};

const APPLICATION_ID: i32 = 0x65_76_6c_67;
const SCHEMA_VERSION: i32 = 1;
/// As much of the file as SQLite maps at most, in bytes; the rest is read.
const MAPPED_MAX: i64 = 0x7fff_0000;

/// `rec` is the whole record, exactly as hashed. `head` says where each partition ends: its term, height and chain
/// head, and the position and hash of its last record. The view cuts a record into columns for people.
const SCHEMA: &str = "
CREATE TABLE genesis (log_id BLOB NOT NULL, hash_version INTEGER NOT NULL, partitions INTEGER NOT NULL) STRICT;
CREATE TABLE log (seq INTEGER PRIMARY KEY, part INTEGER NOT NULL, rec BLOB NOT NULL) STRICT;
CREATE TABLE head (
    part INTEGER PRIMARY KEY, term INTEGER NOT NULL, height INTEGER NOT NULL, hash BLOB NOT NULL,
    position INTEGER NOT NULL, record BLOB NOT NULL
) STRICT;
CREATE VIEW record AS SELECT
    seq AS position, part AS partition,
    CASE hex(substr(rec, 2, 1)) WHEN '01' THEN 'claim' WHEN '02' THEN 'commit' WHEN '03' THEN 'outcome'
        WHEN '04' THEN 'barrier' ELSE 'unknown' END AS kind,
    hex(substr(rec, 3, 8)) AS term_number, hex(substr(rec, 11, 16)) AS writer, hex(substr(rec, 27, 8)) AS seq_in_term,
    hex(substr(rec, 35, 8)) AS height, hex(substr(rec, 43, 32)) AS prev, hex(substr(rec, 75, 16)) AS merchant,
    hex(substr(rec, 91, 8)) AS merchant_seq, hex(substr(rec, 99, 32)) AS merchant_prev,
    hex(substr(rec, 131, 16)) AS route, hex(substr(rec, 147, 16)) AS stream, hex(substr(rec, 163, 8)) AS key_count,
    substr(rec, 175) AS body
FROM log;
";

/// Where a partition ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HeadRow {
    pub(super) head: StoreHead,
    pub(super) position: Position,
    /// Hash of the record at `position`.
    pub(super) record: Hash,
}

/// Makes the file under another name and moves it into place once it is whole.
pub(super) fn create(path: &Path, genesis: &Genesis) -> Result<(), BoxError> {
    let unfinished = path.with_added_extension("new");
    remove_if_present(&unfinished)?;
    remove_if_present(&unfinished.with_added_extension("journal"))?;
    let mut connection = Connection::open(&unfinished)?;
    connection.pragma_update(None, "page_size", 4096)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    fill(&mut connection, genesis)?;
    connection.close().map_err(|(_, error)| error)?;
    fs::rename(&unfinished, path)?;
    sync_folder_of(path)?;
    Ok(())
}

fn fill(connection: &mut Connection, genesis: &Genesis) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute(
        "INSERT INTO genesis VALUES (?1, ?2, ?3)",
        params![genesis.log_id.as_bytes(), genesis.hash_version, genesis.partitions],
    )?;
    for partition in 0..genesis.partitions {
        transaction.execute(
            "INSERT INTO head VALUES (?1, 0, 0, ?2, 0, ?3)",
            params![partition, genesis.state(partition).head.as_bytes(), Hash::ZERO.as_bytes()],
        )?;
    }
    transaction.commit()
}

/// The one connection that may write and checkpoint.
pub(super) fn open_writer(path: &Path) -> Result<Connection, BoxError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "busy_timeout", 5_000)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err("the file system does not allow a write-ahead log".into());
    }
    connection.pragma_update(None, "synchronous", if forgets_to_sync() { "OFF" } else { "FULL" })?;
    // `journal_size_limit` stays as it is: cutting the WAL at each checkpoint costs a third of the speed.
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    Ok(connection)
}

/// The planted bug `LOYALNEST_PLANTED_BUG=synchronous-off:log`.
#[cfg(feature = "planted-bugs")]
fn forgets_to_sync() -> bool {
    std::env::var("LOYALNEST_PLANTED_BUG").is_ok_and(|bug| bug == "synchronous-off:log")
}

/// Never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
const fn forgets_to_sync() -> bool {
    false
}

/// A connection that can neither write nor checkpoint.
pub(super) fn open_reader(path: &Path, is_mapped: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "busy_timeout", 5_000)?;
    if is_mapped {
        connection.pragma_update(None, "mmap_size", MAPPED_MAX)?;
    }
    Ok(connection)
}

/// The genesis, or why the database is not a log.
pub(super) fn read_genesis(connection: &Connection) -> rusqlite::Result<Result<Genesis, &'static str>> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if pragma("application_id")? != APPLICATION_ID {
        return Ok(Err("it is a database of something else"));
    }
    if pragma("user_version")? != SCHEMA_VERSION {
        return Ok(Err("its schema is of another version"));
    }
    let genesis =
        connection.query_row("SELECT log_id, hash_version, partitions FROM genesis", (), |row| {
            let (log_id, class) = (LogId::from_bytes(row.get(0)?), Class::Conditional);
            Ok(Genesis { log_id, hash_version: row.get(1)?, partitions: row.get(2)?, class })
        })?;
    match genesis {
        Genesis { hash_version, .. } if hash_version != HASH_VERSION => {
            Ok(Err("its hashes are of another version"))
        }
        Genesis { partitions: 0, .. } => Ok(Err("it has no partitions")),
        genesis => Ok(Ok(genesis)),
    }
}

pub(super) fn load_ends(connection: &Connection, ends: &Ends) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT part, position FROM head")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        ends.advance(row.get(0)?, Position::new(row.get(1)?));
    }
    Ok(())
}

pub(super) fn read_head(connection: &Connection, partition: u16) -> rusqlite::Result<Option<HeadRow>> {
    let mut statement =
        connection.prepare_cached("SELECT term, height, hash, position, record FROM head WHERE part = ?1")?;
    let mut rows = statement.query([partition])?;
    rows.next()?.map(head_row).transpose()
}

fn head_row(row: &Row<'_>) -> rusqlite::Result<HeadRow> {
    let hash = Hash::from_bytes(row.get(2)?);
    let head = StoreHead { number: row.get(0)?, height: row.get(1)?, hash };
    Ok(HeadRow { head, position: Position::new(row.get(3)?), record: Hash::from_bytes(row.get(4)?) })
}

/// The bytes at a position of a partition.
pub(super) fn read_record(
    connection: &Connection,
    partition: u16,
    position: Position,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT rec FROM log WHERE seq = ?1 AND part = ?2")?;
    let mut rows = statement.query(params![position.get(), partition])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the file's name as durable as its contents.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
