//! Folding a stretch of history into tables of one's own, up to exactly where other tables stand or to the end.
use std::sync::Arc;

use event_log::{Checkpoint, Diverged, Log, Position, Reader, Reason};
use group_commit::Database;

use crate::{
    Error, ReadStore, Served, TableDigest,
    digest::digest,
    fold::{Batch, checkpoint, fold},
    live::Live,
    recorded::items,
};

/// Records per transaction: whoever else writes into the same store waits for one of these at most.
const BATCH_RECORDS_MAX: usize = 500;

/// Told how many records were folded since the last time.
pub type OnRecords<'a> = &'a mut (dyn FnMut(u64) + Send);

/// Where a table stands, by partition; nothing at the beginning.
pub(crate) type Places = Vec<Option<Checkpoint>>;

/// How far to fold.
#[derive(Clone, Copy)]
pub(crate) enum Until<'a> {
    /// Each table to its own places.
    Places(&'a [Places]),
    /// To what is the end of the log when it begins.
    End,
}

impl Until<'_> {
    /// Nothing if the table is not to be folded at all; nothing inside if there is no bound.
    fn of(self, table: usize, partition: u16) -> Option<Option<Checkpoint>> {
        match self {
            Self::End => Some(None),
            Self::Places(places) => {
                let place = *places.get(table)?.get(usize::from(partition))?;
                place.map(Some)
            }
        }
    }
}

impl ReadStore {
    /// Folds the tables of this store up to exactly where the served ones stand, each projection to its own place.
    /// Projections that serve no table stay as they are.
    ///
    /// # Errors
    /// [`Error::Log`] with [`Reason::OtherHistory`] if a table stands in a history that is not the log's; those of the
    /// log and the store.
    pub async fn fold_to(
        &self,
        log: &Log,
        served: &[Served],
        on_records: OnRecords<'_>,
    ) -> Result<(), Error> {
        let tables = self.all_tables().await?;
        let places = |table: &Arc<Live>| {
            let served = served.iter().find(|served| served.name == table.definition.name);
            let place = |partition| served.and_then(|served| served.checkpoint(partition).copied());
            (0..log.partitions()).map(place).collect()
        };
        let places: Vec<Places> = tables.iter().map(places).collect();
        fold_until(log, self.writer(), &tables, Until::Places(&places), on_records).await
    }

    /// What the table of each projection comes to.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn digests(&self) -> Result<Vec<(&'static str, TableDigest)>, Error> {
        let tables = self.all_tables().await?;
        self.digests_of(tables).await
    }

    /// What each of these tables comes to.
    pub(crate) async fn digests_of(
        &self,
        tables: Vec<Arc<Live>>,
    ) -> Result<Vec<(&'static str, TableDigest)>, Error> {
        self.read(move |connection| {
            let digest =
                |table: &Arc<Live>| Ok((table.definition.name, digest(connection, &table.statements)?));
            tables.iter().map(digest).collect()
        })
        .await
    }

    async fn all_tables(&self) -> Result<Vec<Arc<Live>>, Error> {
        let tables = self.tables();
        self.read(move |connection| tables.all(connection)).await
    }
}

/// Folds each of these tables on from where it stands.
pub(crate) async fn fold_until(
    log: &Log,
    database: &Database,
    tables: &[Arc<Live>],
    until: Until<'_>,
    on_records: OnRecords<'_>,
) -> Result<(), Error> {
    let standing = places(database, tables, log.partitions()).await?;
    for partition in 0..log.partitions() {
        let way = |(number, table): (usize, &Arc<Live>)| {
            let from = *standing.get(number)?.get(usize::from(partition))?;
            Some(((from, until.of(number, partition)?), Arc::clone(table)))
        };
        for ((from, until), group) in grouped(tables.iter().enumerate().filter_map(way)) {
            let way = Way { reader: log.reader(partition, from)?, until, end: log.end(partition) };
            advance(way, database, &group, on_records).await?;
        }
    }
    Ok(())
}

/// Where each of these tables stands.
pub(crate) async fn places(
    database: &Database,
    tables: &[Arc<Live>],
    partitions: u16,
) -> Result<Vec<Places>, Error> {
    let tables = tables.to_vec();
    let look = database.call(move |connection| {
        let place = |table: &Arc<Live>, partition| {
            let stored = checkpoint(connection, table, partition)?;
            Ok(stored.map(|bytes| Checkpoint::from_bytes(&bytes)).transpose()?)
        };
        let places = |table| (0..partitions).map(|partition| place(table, partition)).collect();
        tables.iter().map(places).collect::<Result<_, Error>>()
    });
    look.await?
}

/// Tables on the same way share a reader.
fn grouped<W: PartialEq>(tables: impl Iterator<Item = (W, Arc<Live>)>) -> Vec<(W, Vec<Arc<Live>>)> {
    let mut groups: Vec<(W, Vec<Arc<Live>>)> = Vec::new();
    for (way, table) in tables {
        match groups.iter_mut().find(|(other, _)| *other == way) {
            Some((_, group)) => group.push(table),
            None => groups.push((way, vec![table])),
        }
    }
    groups
}

/// From the reader's place on; up to `until`, or at least to `end`.
struct Way {
    reader: Reader,
    until: Option<Checkpoint>,
    end: Position,
}

async fn advance(
    way: Way,
    database: &Database,
    tables: &[Arc<Live>],
    on_records: OnRecords<'_>,
) -> Result<(), Error> {
    let Way { mut reader, until, end } = way;
    let mut read = next(&mut reader, until.as_ref()).await?;
    while let Some(batch) = read {
        on_records(batch.records.len() as u64);
        // Whoever is written to all the time would never be at the end.
        let is_last = until.is_none() && batch.to.position >= end;
        let tables = tables.to_vec();
        let folding = database.call(move |connection| fold(connection, &tables, &batch));
        if is_last {
            folding.await??;
            break;
        }
        // While the store folds a batch, the next one is read and decoded.
        let (folded, following) = tokio::join!(folding, next(&mut reader, until.as_ref()));
        folded??;
        read = following?;
    }
    match until {
        Some(until) if reader.checkpoint() != until => {
            let (partition, position) = (until.partition, until.position);
            let diverged = Diverged { partition, position, reason: Reason::OtherHistory };
            Err(Error::Log(diverged.into()))
        }
        _ => Ok(()),
    }
}

/// The next records up to the place; none if the reader is there, or at the end.
async fn next(reader: &mut Reader, until: Option<&Checkpoint>) -> Result<Option<Batch>, Error> {
    let from = reader.checkpoint();
    // Heights count admitted records, so this never reads past the place.
    let missing = until.map(|until| until.state.height.saturating_sub(from.state.height));
    let room = missing.map_or(BATCH_RECORDS_MAX, |missing| usize::try_from(missing).unwrap_or(usize::MAX));
    if room == 0 {
        return Ok(None);
    }
    let read = reader.next(room.min(BATCH_RECORDS_MAX)).await?.records;
    if read.is_empty() { Ok(None) } else { batch(read, from, reader.checkpoint()).map(Some) }
}

fn batch(read: Vec<event_log::AdmittedRecord>, from: Checkpoint, to: Checkpoint) -> Result<Batch, Error> {
    let decoded = read.into_iter().map(|record| {
        let (partition, position) = (record.partition, record.position);
        let items = items(&record).map_err(|source| Error::Unreadable { partition, position, source })?;
        Ok((record, items))
    });
    Ok(Batch { records: decoded.collect::<Result<_, Error>>()?, from, to })
}
