//! What the reference data came to at a checkpoint, in `snap.db`: a start reads only the records behind it.
//!
//! The rules are those of the owners' snapshots: one covering checkpoint, rows that hold exactly what the admitted records
//! up to it come to, both changed in one transaction, and a checksum on each.
use event_log::Checkpoint;
use event_schemas::{MerchantId, StreamType};
use group_commit::Database;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::PARTITION;
use crate::owner::{
    SnapshotError, Snapshots, StreamKey,
    snapshots::{check, sum},
};

/// Packed entries, each with the stream that it is of.
pub(super) type Rows = Vec<(StreamKey, Vec<u8>)>;

/// Where the entries are kept.
pub(super) struct Kept {
    database: Database,
    /// A bug that a test plants: the checkpoint moves on without the entries that changed.
    #[cfg(test)]
    pub(super) forgets_rows: bool,
}

/// Entries are missing, or there are more than were written.
#[derive(Debug, thiserror::Error)]
#[error("{found} entries of reference data are kept where {expected} were written")]
struct Miscounted {
    found: usize,
    expected: u64,
}

impl Kept {
    pub(super) fn new(snapshots: &Snapshots) -> Self {
        Self {
            database: snapshots.database(),
            #[cfg(test)]
            forgets_rows: false,
        }
    }

    /// All entries and the checkpoint that covers them; nothing if there is none.
    pub(super) async fn load(&self) -> Result<Option<(Checkpoint, Rows)>, SnapshotError> {
        let Some((checkpoint, entries, rows)) = self.database.run(load).await? else { return Ok(None) };
        if rows.len() as u64 != entries {
            let miscounted = Miscounted { found: rows.len(), expected: entries };
            return Err(SnapshotError::new(miscounted));
        }
        Ok(Some((Checkpoint::from_bytes(&checkpoint).map_err(SnapshotError::new)?, rows)))
    }

    /// Moves the checkpoint on: the entries that changed and how many there are now, in one transaction.
    pub(super) async fn write(
        &self,
        rows: Rows,
        checkpoint: &Checkpoint,
        entries: u64,
    ) -> Result<(), SnapshotError> {
        #[cfg(test)]
        let rows = if self.forgets_rows { Rows::new() } else { rows };
        let checkpoint = checkpoint.to_bytes();
        let write = move |connection: &Connection| {
            let mut entry =
                connection.prepare_cached("INSERT OR REPLACE INTO reference VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (key, state) in &rows {
                let stream_type = key.stream_type.number();
                let sum = row_sum(key, state);
                entry.execute(params![key.merchant.bytes(), stream_type, key.id.as_bytes(), state, sum])?;
            }
            let sum = cover_sum(&checkpoint, entries);
            connection
                .prepare_cached("INSERT OR REPLACE INTO reference_covering VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![PARTITION, checkpoint, entries, sum])?;
            Ok(())
        };
        Ok(self.database.run(write).await?)
    }

    /// Drops everything.
    pub(super) async fn clear(&self) -> Result<(), SnapshotError> {
        let clear = |connection: &Connection| {
            connection.execute_batch("DELETE FROM reference_covering; DELETE FROM reference;")
        };
        Ok(self.database.run(clear).await?)
    }
}

fn row_sum(key: &StreamKey, state: &[u8]) -> [u8; 8] {
    key.sum(PARTITION, b"reference", state)
}

fn cover_sum(checkpoint: &[u8], entries: u64) -> [u8; 8] {
    sum(PARTITION, &[b"reference_covering", &entries.to_be_bytes()], checkpoint)
}

/// The checkpoint, how many entries it says there are, and those that there are.
fn load(connection: &Connection) -> rusqlite::Result<Option<(Vec<u8>, u64, Rows)>> {
    let cover = "SELECT checkpoint, entries, sum FROM reference_covering WHERE part = ?1";
    let cover = connection.query_row(cover, [PARTITION], |row| {
        let (checkpoint, entries) = (row.get::<_, Vec<u8>>(0)?, row.get(1)?);
        check(row, 2, cover_sum(&checkpoint, entries))?;
        Ok((checkpoint, entries))
    });
    let Some((checkpoint, entries)) = cover.optional()? else { return Ok(None) };
    let mut all = connection.prepare("SELECT merchant, type, id, state, sum FROM reference")?;
    let all = all.query_map((), |row| {
        let stream_type = StreamType::from_number(row.get(1)?).ok_or(rusqlite::Error::InvalidQuery)?;
        let (merchant, id) = (MerchantId::from_bytes(row.get(0)?), Uuid::from_bytes(row.get(2)?));
        let (key, state) = (StreamKey { merchant, stream_type, id }, row.get::<_, Vec<u8>>(3)?);
        check(row, 4, row_sum(&key, &state))?;
        Ok((key, state))
    })?;
    Ok(Some((checkpoint, entries, all.collect::<rusqlite::Result<_>>()?)))
}
