//! One batch into the tables: rows, parked events and checkpoints in one transaction.
use std::sync::Arc;

use event_log::{AdmittedRecord, Checkpoint};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    live::Live,
    parked, planted,
    projection::ApplyError,
    recorded::{Content, Item},
};

/// Records of one partition, decoded, and the checkpoints before and behind them.
pub(crate) struct Batch {
    pub(crate) records: Vec<(AdmittedRecord, Vec<Item>)>,
    pub(crate) from: Checkpoint,
    pub(crate) to: Checkpoint,
}

impl Batch {
    /// Events in it.
    pub(crate) fn events(&self) -> usize {
        let items = self.records.iter().flat_map(|(_, items)| items);
        items.filter(|item| !matches!(item.content, Content::Record(_))).count()
    }
}

/// What a batch did to one projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Folded {
    /// Events that now wait in all.
    pub(crate) parked: u64,
}

/// The store does not stand where its reader started: somebody else writes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoldError {
    /// The store failed.
    #[error("the read store failed")]
    Store(#[from] rusqlite::Error),
    /// Another program moved the checkpoint.
    #[error("another program moved the checkpoint of {projection} in partition {partition}")]
    Moved {
        /// The projection.
        projection: &'static str,
        /// The partition.
        partition: u16,
    },
}

/// Folds the batch into every projection of `members`. The caller's transaction makes it all or nothing.
///
/// A batch that is there already (its commit was reported as failed, but happened) is not folded again.
pub(crate) fn fold(
    connection: &Connection,
    members: &[Arc<Live>],
    batch: &Batch,
) -> Result<Vec<Folded>, FoldError> {
    members.iter().map(|live| fold_into(connection, live, batch)).collect()
}

fn fold_into(connection: &Connection, live: &Live, batch: &Batch) -> Result<Folded, FoldError> {
    let projection = live.definition.name;
    let partition = batch.to.partition;
    let stored = checkpoint(connection, live, partition)?;
    let mut parked = parked::count(connection, &live.parked_as)?;
    if stored.as_deref() == Some(batch.to.to_bytes().as_slice()) {
        return Ok(Folded { parked });
    }
    let at_start = batch.from.position == event_log::Position::START;
    if stored.map_or(!at_start, |stored| stored != batch.from.to_bytes()) {
        return Err(FoldError::Moved { projection, partition });
    }
    for (record, items) in &batch.records {
        for item in items {
            parked += u64::from(!take(connection, live, record, item, parked > 0)?);
        }
    }
    if !planted::commits_checkpoints_apart() {
        save_checkpoint(connection, live, &batch.to)?;
    }
    Ok(Folded { parked })
}

/// Takes one event into the table; false if it had to be parked.
fn take(
    connection: &Connection,
    live: &Live,
    record: &AdmittedRecord,
    item: &Item,
    any_parked: bool,
) -> rusqlite::Result<bool> {
    let projection = live.definition.name;
    // A record as a whole stands for itself; only events wait behind others of their stream.
    let queues = any_parked && !matches!(item.content, Content::Record(_));
    if queues && parked::holds(connection, &live.parked_as, &record.frame, item.stream_type)? {
        parked::park(connection, &live.parked_as, record, item, None)?;
        return Ok(false);
    }
    let reason = match (live.definition.apply)(connection, &live.statements, &item.content) {
        Ok(()) => return Ok(true),
        Err(ApplyError::Poison(reason)) => reason,
        Err(ApplyError::Store(error)) => return Err(error),
    };
    tracing::error!(
        projection.name = projection,
        log.partition = record.partition,
        log.position = record.position.get(),
        event.index = item.index,
        "Parked a sequence of {projection} at position {} of partition {}: {reason}",
        record.position,
        record.partition,
    );
    parked::park(connection, &live.parked_as, record, item, Some(&reason))?;
    Ok(false)
}

/// The projection's checkpoint in a partition, as bytes; nothing at its beginning.
pub(crate) fn checkpoint(
    connection: &Connection,
    live: &Live,
    partition: u16,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut select = connection.prepare_cached(
        "SELECT checkpoint FROM checkpoint WHERE projection = ? AND generation = ? AND part = ?",
    )?;
    select.query_row(params![live.definition.name, live.generation, partition], |row| row.get(0)).optional()
}

pub(crate) fn save_checkpoint(
    connection: &Connection,
    live: &Live,
    checkpoint: &Checkpoint,
) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT OR REPLACE INTO checkpoint (projection, generation, part, checkpoint) VALUES (?, ?, ?, ?)",
    )?;
    let values = params![live.definition.name, live.generation, checkpoint.partition, checkpoint.to_bytes()];
    upsert.execute(values).map(drop)
}
