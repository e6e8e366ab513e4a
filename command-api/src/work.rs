//! What must survive but is no history: `work.db`, or a schema that several processes share. One schema for all of it, one
//! connection, shared commits.
use std::path::Path;

use group_commit::{Store, StoreError};

/// Durable when a call returns. The connection is the only one, so nothing else may checkpoint the file; it does so every
/// 64 MiB, because the calls of the group that does it wait for it, and a page that changed often is then written once.
///
/// What is deleted is overwritten in the file. Older frames of the write-ahead log may hold it until they are written over;
/// whatever leads to a person is sealed there as it is in the file.
const PRAGMAS: &str = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=16000;
    PRAGMA temp_store=MEMORY; PRAGMA secure_delete=ON;";

const SCHEMA: &str = "
-- Deliveries. Every random key costs a page in each commit, so none is indexed here.
CREATE TABLE IF NOT EXISTS inbox(
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  merchant BLOB NOT NULL,
  topic TEXT NOT NULL,
  webhook_id TEXT NOT NULL,
  body_hash BLOB NOT NULL,
  received_at INTEGER NOT NULL,
  correlation BLOB NOT NULL,
  trace BLOB NOT NULL,
  day TEXT NOT NULL,                 -- whose key the body is sealed under
  people BLOB NOT NULL,              -- whom it is about: blind references, so that an erasure finds it
  status TEXT NOT NULL,              -- accepted | processed | dead_lettered
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt INTEGER NOT NULL DEFAULT 0,
  reason TEXT,
  position TEXT,                     -- of the record that the delivery ended in, with its log
  subject BLOB,                      -- the customer it was about, as far as it was worked off
  shared INTEGER NOT NULL DEFAULT 0, -- the same body came under another shop's name
  edited INTEGER NOT NULL DEFAULT 0, -- the body is no longer what was signed
  drive INTEGER NOT NULL DEFAULT 0   -- counts re-drives; part of its commands' keys
);
DROP INDEX IF EXISTS inbox_open;
CREATE INDEX IF NOT EXISTS inbox_accepted ON inbox(seq) WHERE status = 'accepted';
CREATE INDEX IF NOT EXISTS inbox_dead ON inbox(merchant, id) WHERE status = 'dead_lettered';
CREATE INDEX IF NOT EXISTS inbox_subject ON inbox(subject) WHERE subject IS NOT NULL;

-- The sealed bodies, apart because a delivery's end would write them again. None where the topic has no effect.
CREATE TABLE IF NOT EXISTS inbox_body(seq INTEGER PRIMARY KEY, body BLOB NOT NULL);

-- Rows by what is random in them, 64 bits of it, and the last row up to which it is written: see inbox/known.rs.
CREATE TABLE IF NOT EXISTS inbox_key(key INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(key, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inbox_keyed(one INTEGER PRIMARY KEY CHECK(one = 1), up_to INTEGER NOT NULL);

-- Webhook ids that came first with a body that was here already, and whose it is.
CREATE TABLE IF NOT EXISTS delivery(
  merchant BLOB NOT NULL, webhook_id TEXT NOT NULL, inbox BLOB NOT NULL, duplicate INTEGER NOT NULL,
  PRIMARY KEY(merchant, webhook_id)
) WITHOUT ROWID;

-- Commands sent with an Idempotency-Key: what was asked, the ids it was given, and the first answer as JSON where it
-- says more than the command's own record. No personal values.
CREATE TABLE IF NOT EXISTS idempotency(
  merchant BLOB NOT NULL, key_hash BLOB NOT NULL, fingerprint BLOB NOT NULL, minted BLOB NOT NULL, answer TEXT,
  PRIMARY KEY(merchant, key_hash)
) WITHOUT ROWID;

-- How far each policy has come in each partition.
CREATE TABLE IF NOT EXISTS policy_progress(
  policy TEXT NOT NULL, partition INTEGER NOT NULL, checkpoint BLOB NOT NULL,
  PRIMARY KEY(policy, partition)
) WITHOUT ROWID;

-- Steps of policies that were answered as nobody expected, with the record they go back to as it stands in the log.
CREATE TABLE IF NOT EXISTS parked_task(
  policy TEXT NOT NULL, record BLOB NOT NULL, event_index INTEGER NOT NULL, step TEXT NOT NULL,
  merchant BLOB NOT NULL, stream BLOB NOT NULL, route BLOB NOT NULL, body BLOB NOT NULL,
  reason TEXT NOT NULL, parked_at INTEGER NOT NULL,
  PRIMARY KEY(policy, record, event_index, step)
) WITHOUT ROWID;

-- The last time of day for which a shop's daily jobs are done, in microseconds.
CREATE TABLE IF NOT EXISTS daily_run(merchant BLOB PRIMARY KEY, as_of INTEGER NOT NULL) WITHOUT ROWID;

-- What an erasure removed of each store, in the same transaction, until it is recorded in the log.
CREATE TABLE IF NOT EXISTS erasure_removed(
  request BLOB NOT NULL, store TEXT NOT NULL, removed INTEGER NOT NULL, PRIMARY KEY(request, store)
) WITHOUT ROWID;

-- For whose requests an Idempotency-Key was used, so that an erasure finds what is kept of their bodies.
CREATE TABLE IF NOT EXISTS idempotency_subject(
  merchant BLOB NOT NULL, subject BLOB NOT NULL, key_hash BLOB NOT NULL, PRIMARY KEY(merchant, subject, key_hash)
) WITHOUT ROWID;

-- Requests about people's data: whom each was found to be about, so that a repeated one is about the same people though
-- nothing leads to them any more. Random ids; people holds blind references until what they find is purged; asked_at is
-- when it was kept or made again, or, kept again by the log's word, when it was asked for.
CREATE TABLE IF NOT EXISTS privacy_request(
  request BLOB PRIMARY KEY, merchant BLOB NOT NULL, kind TEXT NOT NULL, route BLOB NOT NULL, subjects BLOB NOT NULL,
  people BLOB NOT NULL, asked_at INTEGER NOT NULL
) WITHOUT ROWID;

-- What a person is handed of their data: waiting | made | ready | expired | erased, and the sealed files in parts.
CREATE TABLE IF NOT EXISTS export(
  request BLOB PRIMARY KEY, merchant BLOB NOT NULL, status TEXT NOT NULL,
  round INTEGER NOT NULL DEFAULT 0,  -- counts what takes the files away
  files INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, manifest BLOB, prepared_at INTEGER NOT NULL DEFAULT 0,
  day TEXT,                          -- whose key the files are sealed under, if nothing is held of the person
  expires_at INTEGER NOT NULL DEFAULT 0,
  fetched INTEGER NOT NULL DEFAULT 0 -- one bit for each file
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS export_waiting ON export(request) WHERE status IN ('waiting', 'made');
CREATE INDEX IF NOT EXISTS export_of ON export(merchant);
CREATE TABLE IF NOT EXISTS export_part(
  n INTEGER PRIMARY KEY, request BLOB NOT NULL, name TEXT NOT NULL, part INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS export_part_of ON export_part(request, name, part);

-- How far what is done now and then has come.
CREATE TABLE IF NOT EXISTS mark(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- How far the development clock was moved forward.
CREATE TABLE IF NOT EXISTS clock(one INTEGER PRIMARY KEY CHECK(one = 1), offset_us INTEGER NOT NULL);
";

/// Opens or creates the file.
///
/// # Errors
/// If SQLite cannot open the file or it holds something else.
pub fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open_file(path, PRAGMAS, SCHEMA)
}

/// Opens the schema in this database, or makes it.
///
/// # Errors
/// The database cannot be used; the error says what to change.
#[cfg(feature = "postgres")]
pub async fn open_at(address: &postgres_store::Address) -> Result<Store, StoreError> {
    const SCHEMA: postgres_store::Schema = postgres_store::Schema {
        name: "loyalnest_work",
        steps: &[include_str!("work/1.sql"), include_str!("work/2.sql"), include_str!("work/3.sql")],
    };
    Store::open_schema(address, SCHEMA).await
}

#[cfg(test)]
mod tests {
    use group_commit::values;

    use super::*;

    /// Catches, tried: the file without `secure_delete`, where the freed pages hold what was deleted.
    #[tokio::test]
    async fn what_is_deleted_is_overwritten_in_the_file_once_the_log_is_written_back() {
        const MARKER: &[u8] = b"sealed-body-of-somebody";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work.db");
        let work = open(&path).unwrap();
        let body = MARKER.repeat(400);
        let insert = move |work: &dyn group_commit::Session| {
            for seq in 1..=50 {
                work.execute("INSERT INTO inbox_body VALUES (?1, ?2)", values![seq, &body])?;
            }
            Ok(())
        };
        work.run(insert).await.unwrap();
        let written_back = || {
            let file = rusqlite::Connection::open(&path).unwrap();
            file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            bytes.windows(MARKER.len()).any(|window| window == MARKER)
        };
        assert!(written_back());
        work.run(|work| work.execute("DELETE FROM inbox_body", values![])).await.unwrap();
        assert!(!written_back());
    }
}
