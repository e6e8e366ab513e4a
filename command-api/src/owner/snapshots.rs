//! `snap.db`: what an owner knew at a checkpoint, so that it need not read the log from its beginning, and need not hold
//! everything in memory. All of it follows from the log; the file may be deleted at any time.
//!
//! Per partition there is one covering checkpoint, and every row holds exactly what the records up to it come to: rows and
//! checkpoint change in one transaction. A row is a stream's packed state, and the positions of the records that it does
//! not contain yet (its tail), so that a long state is not written anew for each of its records. Whatever the log could
//! not contradict carries a checksum: a row that does not fit its own is no row, and the log is read instead.
//! The reference data of shops is kept here too, under a checkpoint of its own (`shops/kept.rs`).
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256};
use domain::{Aggregate, Due, StreamRef};
use event_log::{Covering, LogId, Position};
use event_schemas::{Event, MerchantId, StreamType, Timestamp, catalogue::EVENTS};
use group_commit::{Database, Fault};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, named_params, params, types::Type};
use uuid::Uuid;

use super::{
    due::{DueQuery, DueStream},
    packed::pack,
    partition::StreamKey,
    tiers::Form,
};

/// Raised with every change of a table, of the packed form, of what an aggregate makes of its events, or of what
/// `shops/catalogue.rs` keeps of a product.
const FORMAT: u32 = 3;

/// What is overwritten is gone: a person who is forgotten must not stay readable in a free page.
const PRAGMAS: &str =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8192; PRAGMA secure_delete=ON;";

/// `stream.state` is absent while all that is known of a stream is its tail.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS made_by (format INTEGER NOT NULL, rules BLOB NOT NULL, log_id BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS covering (
    part INTEGER PRIMARY KEY, checkpoint BLOB NOT NULL, recorded_at INTEGER NOT NULL, streams INTEGER NOT NULL,
    sum BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS stream (
    part INTEGER NOT NULL, merchant BLOB NOT NULL, type INTEGER NOT NULL, id BLOB NOT NULL, state BLOB NOT NULL,
    sum BLOB NOT NULL,
    UNIQUE (part, id, type, merchant)
) STRICT;
CREATE TABLE IF NOT EXISTS tail (
    part INTEGER NOT NULL, merchant BLOB NOT NULL, type INTEGER NOT NULL, id BLOB NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (part, id, type, merchant, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS due (
    part INTEGER NOT NULL, merchant BLOB NOT NULL, type INTEGER NOT NULL, id BLOB NOT NULL, kind INTEGER NOT NULL,
    at INTEGER NOT NULL, route BLOB NOT NULL, sum BLOB NOT NULL,
    PRIMARY KEY (part, id, type, merchant, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS due_at ON due (part, kind, at, merchant, type, id, route, sum);
CREATE TABLE IF NOT EXISTS reference_covering (
    part INTEGER PRIMARY KEY, checkpoint BLOB NOT NULL, entries INTEGER NOT NULL, sum BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS reference (
    merchant BLOB NOT NULL, type INTEGER NOT NULL, id BLOB NOT NULL, state BLOB NOT NULL, sum BLOB NOT NULL,
    PRIMARY KEY (type, id, merchant)
) STRICT, WITHOUT ROWID;
";

const TABLES: [&str; 7] = ["made_by", "covering", "stream", "tail", "due", "reference_covering", "reference"];

/// The snapshots of all partitions; clones share the file.
#[derive(Clone)]
pub struct Snapshots {
    database: Database,
    path: PathBuf,
}

/// The snapshot store failed. It is disposable: without it the log is read.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot store failed")]
pub struct SnapshotError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// What stands in a row is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("a row of the snapshots does not fit its checksum")]
struct Spoilt;

impl SnapshotError {
    pub(crate) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(error.into())
    }
}

impl From<Fault> for SnapshotError {
    fn from(fault: Fault) -> Self {
        Self(fault.into())
    }
}

impl From<rusqlite::Error> for SnapshotError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.into())
    }
}

impl Snapshots {
    /// Opens the file, or makes it. What another log, another program or a newer format left in it is thrown away.
    ///
    /// # Errors
    /// [`SnapshotError`] if there can be no such file at the path.
    pub async fn open(path: &Path, log: LogId) -> Result<Self, SnapshotError> {
        let open = || Database::open(path, PRAGMAS, SCHEMA);
        let database = open().or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "The snapshots cannot be read and are dropped"
            );
            for suffix in ["", "-wal", "-shm"] {
                let mut name = path.as_os_str().to_owned();
                name.push(suffix);
                // What cannot be removed makes the second attempt fail.
                drop(std::fs::remove_file(name));
            }
            open()
        })?;
        database.run(move |connection| drop_what_does_not_fit(connection, &rules(), log)).await?;
        Ok(Self { database, path: path.to_owned() })
    }

    /// The file, for what else of the log's is kept by the same rules.
    pub(crate) fn database(&self) -> Database {
        self.database.clone()
    }

    /// One partition's part, for its owner.
    pub(super) fn of(&self, partition: u16) -> Kept {
        // Where the file is not one (in a simulated world), reads go the way of the writes.
        let reader = open_reader(&self.path).ok().map(Mutex::new);
        Kept { database: self.database.clone(), reader, partition }
    }
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    reader.pragma_update(None, "busy_timeout", 5_000)?;
    // Rows that are needed again are in memory already; the memory is for them.
    reader.pragma_update(None, "cache_size", -256)?;
    reader.set_prepared_statement_cache_capacity(16);
    Ok(reader)
}

/// What the aggregates make of the sample of every event. It changes with their fields and with most of their rules;
/// [`FORMAT`] says the rest.
fn rules() -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    digest.update(env!("CARGO_PKG_VERSION").as_bytes());
    for kind in EVENTS {
        let sample = (kind.sample)().ok();
        let event = sample.and_then(|json| Event::decode(kind.number, kind.version, &json).ok());
        let evolved = event.and_then(|event| {
            let mut aggregate = Aggregate::new(event.stream_type());
            aggregate.evolve(&event).ok().map(|()| aggregate)
        });
        let mut state = Vec::new();
        // What has no packed form is never saved.
        let packed = evolved.map(|aggregate| pack(&(&aggregate, aggregate.due()), &mut state));
        digest.update(&[u8::from(packed.is_some_and(|packed| packed.is_ok()))]);
        digest.update(&kind.number.to_be_bytes());
        digest.update(&(state.len() as u64).to_be_bytes());
        digest.update(&state);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.finish().as_ref());
    bytes
}

/// The checksum of a row: whose it is and what it says. Against decay, not against a forger.
pub(crate) fn sum(part: u16, name: &[&[u8]], content: &[u8]) -> [u8; 8] {
    let mut digest = Context::new(&SHA256);
    digest.update(&part.to_be_bytes());
    name.iter().for_each(|field| digest.update(field));
    digest.update(content);
    let digest = digest.finish();
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Refuses a row whose checksum, in this column, is another one.
pub(crate) fn check(row: &rusqlite::Row<'_>, column: usize, sum: [u8; 8]) -> rusqlite::Result<()> {
    if row.get::<_, [u8; 8]>(column)? == sum {
        return Ok(());
    }
    Err(rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Spoilt.into()))
}

impl StreamKey {
    pub(crate) fn sum(&self, part: u16, table: &[u8], content: &[u8]) -> [u8; 8] {
        let stream_type = self.stream_type.number().to_be_bytes();
        sum(part, &[table, &self.merchant.bytes(), &stream_type, self.id.as_bytes()], content)
    }
}

fn due_sum(part: u16, key: &StreamKey, due: Due, route: &Uuid) -> [u8; 8] {
    let at = due.at.micros().to_be_bytes();
    key.sum(part, b"due", &[&[due.kind.number()][..], &at, route.as_bytes()].concat())
}

fn cover_sum(part: u16, checkpoint: &[u8], recorded_at: i64, streams: u64) -> [u8; 8] {
    sum(part, &[b"covering", &recorded_at.to_be_bytes(), &streams.to_be_bytes()], checkpoint)
}

fn drop_what_does_not_fit(connection: &Connection, rules: &[u8; 32], log: LogId) -> rusqlite::Result<()> {
    let mut made_by = connection.prepare("SELECT format, rules, log_id FROM made_by")?;
    let found = made_by.query_row((), |row| {
        Ok(row.get::<_, u32>(0)? == FORMAT
            && row.get::<_, [u8; 32]>(1)? == *rules
            && row.get::<_, [u8; 16]>(2)? == *log.as_bytes())
    });
    match found.optional()? {
        Some(true) => return Ok(()),
        Some(false) => tracing::warn!("The snapshots are of another log or program and are dropped"),
        None => {}
    }
    for table in TABLES {
        connection.execute(&format!("DELETE FROM {table}"), ())?;
    }
    connection.execute("INSERT INTO made_by VALUES (?1, ?2, ?3)", params![FORMAT, rules, log.as_bytes()])?;
    Ok(())
}

fn clear(connection: &Connection, part: u16) -> rusqlite::Result<()> {
    for table in ["covering", "stream", "tail", "due"] {
        connection.execute(&format!("DELETE FROM {table} WHERE part = ?1"), [part])?;
    }
    Ok(())
}

/// What covers a partition.
pub(super) struct Cover {
    pub(super) covering: Covering,
    /// The time of the newest record.
    pub(super) recorded_at: Timestamp,
    /// How many streams there are.
    pub(super) streams: u64,
}

/// What is written of a stream.
pub(super) struct Row {
    pub(super) key: StreamKey,
    pub(super) route: Uuid,
    /// The whole state; without it the tail grows by `positions`.
    pub(super) state: Option<Form>,
    pub(super) positions: Vec<Position>,
    pub(super) due: Vec<Due>,
}

/// What is stored of a stream.
pub(super) struct Stored {
    pub(super) state: Option<Vec<u8>>,
    pub(super) tail: Vec<Position>,
}

/// The snapshots of one partition.
pub(super) struct Kept {
    database: Database,
    reader: Option<Mutex<Connection>>,
    partition: u16,
}

impl Kept {
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SnapshotError> {
        match &self.reader {
            Some(reader) => Ok(read(&reader.lock().unwrap_or_else(PoisonError::into_inner))?),
            None => Ok(self.database.run(read).await?),
        }
    }

    /// The covering checkpoint, behind every write that was handed over before.
    pub(super) async fn cover(&self) -> Result<Option<Cover>, SnapshotError> {
        let part = self.partition;
        let read = move |connection: &Connection| {
            let mut cover = connection
                .prepare("SELECT checkpoint, recorded_at, streams, sum FROM covering WHERE part = ?1")?;
            let row = |row: &rusqlite::Row<'_>| {
                let (checkpoint, recorded_at, streams) =
                    (row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?);
                check(row, 3, cover_sum(part, &checkpoint, recorded_at, streams))?;
                Ok((checkpoint, recorded_at, streams))
            };
            cover.query_row([part], row).optional()
        };
        let found = self.database.run(read).await.inspect_err(|error| {
            tracing::warn!(
                partition = part,
                error = error as &dyn std::error::Error,
                "The checkpoint of partition {part} cannot be read"
            );
        });
        let Some((checkpoint, recorded_at, streams)) = found? else { return Ok(None) };
        let covering = Covering::from_bytes(&checkpoint).map_err(SnapshotError::new)?;
        Ok(Some(Cover { covering, recorded_at: Timestamp::from_micros(recorded_at), streams }))
    }

    /// What is stored of a stream, if anything is.
    pub(super) async fn load(&self, key: StreamKey) -> Result<Stored, SnapshotError> {
        let part = self.partition;
        let read = move |connection: &Connection| {
            let place = params![part, key.id.as_bytes(), key.stream_type.number(), key.merchant.bytes()];
            let state = connection
                .prepare_cached(
                    "SELECT state, sum FROM stream
                     WHERE part = ?1 AND id = ?2 AND type = ?3 AND merchant = ?4",
                )?
                .query_row(place, |row| {
                    let state: Vec<u8> = row.get(0)?;
                    check(row, 1, key.sum(part, b"stream", &state)).map(|()| state)
                })
                .optional()?;
            let mut tail = connection.prepare_cached(
                "SELECT position FROM tail WHERE part = ?1 AND id = ?2 AND type = ?3 AND merchant = ?4
                 ORDER BY position",
            )?;
            let tail = tail.query_map(place, |row| row.get(0).map(Position::new))?;
            Ok(Stored { state, tail: tail.collect::<rusqlite::Result<_>>()? })
        };
        self.read(read).await
    }

    /// A page of the streams that were due at the covering checkpoint.
    pub(super) async fn due(&self, query: DueQuery) -> Result<Vec<DueStream>, SnapshotError> {
        let part = self.partition;
        let read = move |connection: &Connection| due_page(connection, part, &query);
        self.read(read).await
    }

    /// Moves the partition on: rows and checkpoint in one transaction. Once polled, it is done even if this is dropped,
    /// and before whatever is asked of the file next.
    pub(super) fn write(
        &self,
        rows: Vec<Row>,
        cover: Cover,
    ) -> impl Future<Output = Result<(), SnapshotError>> + Send + use<> {
        let (part, database) = (self.partition, self.database.clone());
        let work = move |connection: &Connection| {
            for row in rows {
                write_row(connection, part, row)?;
            }
            let mut moved =
                connection.prepare_cached("INSERT OR REPLACE INTO covering VALUES (?1, ?2, ?3, ?4, ?5)")?;
            let (checkpoint, recorded_at) = (cover.covering.to_bytes(), cover.recorded_at.micros());
            let sum = cover_sum(part, &checkpoint, recorded_at, cover.streams);
            moved.execute(params![part, checkpoint, recorded_at, cover.streams, sum])?;
            Ok(())
        };
        async move { Ok(database.run(work).await?) }
    }

    /// Drops the partition's snapshots.
    pub(super) async fn clear(&self) -> Result<(), SnapshotError> {
        let part = self.partition;
        Ok(self.database.run(move |connection| clear(connection, part)).await?)
    }
}

fn write_row(connection: &Connection, part: u16, row: Row) -> rusqlite::Result<()> {
    let StreamKey { merchant, stream_type, id } = row.key;
    let (merchant, stream_type, id) = (merchant.bytes(), stream_type.number(), id.as_bytes());
    let place = params![part, id, stream_type, merchant];
    if let Some(state) = row.state.map(Form::bytes) {
        let mut whole = connection.prepare_cached(
            "INSERT INTO stream (part, id, type, merchant, state, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (part, id, type, merchant) DO UPDATE SET state = excluded.state, sum = excluded.sum",
        )?;
        let sum = row.key.sum(part, b"stream", &state);
        whole.execute(params![part, id, stream_type, merchant, state, sum])?;
        connection
            .prepare_cached("DELETE FROM tail WHERE part = ?1 AND id = ?2 AND type = ?3 AND merchant = ?4")?
            .execute(place)?;
    } else {
        let mut longer = connection.prepare_cached(
            "INSERT OR IGNORE INTO tail (part, id, type, merchant, position) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for position in &row.positions {
            longer.execute(params![part, id, stream_type, merchant, position.get()])?;
        }
    }
    connection
        .prepare_cached("DELETE FROM due WHERE part = ?1 AND id = ?2 AND type = ?3 AND merchant = ?4")?
        .execute(place)?;
    let mut earliest = BTreeMap::new();
    for Due { kind, at } in row.due.iter().copied() {
        earliest.entry(kind).and_modify(|first: &mut Timestamp| *first = at.min(*first)).or_insert(at);
    }
    let mut due = connection.prepare_cached(
        "INSERT INTO due (part, id, type, merchant, kind, at, route, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for (kind, at) in earliest {
        let sum = due_sum(part, &row.key, Due { kind, at }, &row.route);
        let route = row.route.as_bytes();
        due.execute(params![part, id, stream_type, merchant, kind.number(), at.micros(), route, sum])?;
    }
    Ok(())
}

fn due_page(connection: &Connection, part: u16, query: &DueQuery) -> rusqlite::Result<Vec<DueStream>> {
    let DueQuery { kind, up_to, merchant, after, limit } = *query;
    let mut page = connection.prepare_cached(
        "SELECT at, merchant, type, id, route, sum FROM due
         WHERE part = :part AND kind = :kind AND at <= :up_to AND (:merchant IS NULL OR merchant = :merchant)
             AND (:at IS NULL OR (at, merchant, type, id, route) > (:at, :after, :type, :id, :route))
         ORDER BY at, merchant, type, id, route LIMIT :limit",
    )?;
    let streams = page.query_map(
        named_params! {
            ":part": part, ":kind": kind.number(), ":up_to": up_to.micros(),
            ":merchant": merchant.map(MerchantId::bytes), ":at": after.map(|after| after.at.micros()),
            ":after": after.map(|after| after.merchant.bytes()),
            ":type": after.map(|after| after.stream.stream_type.number()),
            ":id": after.map(|after| after.stream.id.into_bytes()),
            ":route": after.map(|after| after.stream.route.into_bytes()), ":limit": limit,
        },
        |row| {
            let stream_type = StreamType::from_number(row.get(2)?).ok_or(rusqlite::Error::InvalidQuery)?;
            let stream = StreamRef {
                stream_type,
                id: Uuid::from_bytes(row.get(3)?),
                route: Uuid::from_bytes(row.get(4)?),
            };
            let (at, merchant) = (Timestamp::from_micros(row.get(0)?), MerchantId::from_bytes(row.get(1)?));
            let found = DueStream { at, merchant, stream };
            check(row, 5, due_sum(part, &StreamKey::of(&found), Due { kind, at }, &stream.route))?;
            Ok(found)
        },
    )?;
    streams.collect()
}
