//! Folding a stretch of history into tables of one's own, up to exactly where other tables stand or to the end.
use std::sync::Arc;

use event_log::{Checkpoint, Diverged, FETCH_RECORDS_MAX, Log, Reader, Reason};
use group_commit::Database;

use crate::{
    Error, ReadStore, Served, TableDigest,
    digest::digest,
    fold::{Batch, checkpoint, fold},
    recorded::items,
    store::Live,
};

/// Told how many records were folded since the last time.
pub type OnRecords<'a> = &'a mut (dyn FnMut(u64) + Send);

impl ReadStore {
    /// Folds the tables of this store up to exactly where the served ones stand, each projection to its own place.
    /// Projections that serve no table stay empty.
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
        fold_to(log, self.writer(), self.live(), served, on_records).await
    }

    /// What the table of each projection comes to.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn digests(&self) -> Result<Vec<(&'static str, TableDigest)>, Error> {
        digests(self.writer(), self.live()).await
    }
}

/// Folds each of these tables to where the served table of its projection stands.
pub(crate) async fn fold_to(
    log: &Log,
    database: &Database,
    tables: &[Arc<Live>],
    served: &[Served],
    on_records: OnRecords<'_>,
) -> Result<(), Error> {
    for partition in 0..log.partitions() {
        let until = |table: &Arc<Live>| {
            let served = served.iter().find(|served| served.name == table.definition.name)?;
            Some((*served.checkpoint(partition)?, Arc::clone(table)))
        };
        for (until, group) in grouped(tables.iter().filter_map(until)) {
            let reader = log.reader(partition, None)?;
            advance(reader, database, &group, Some(&until), on_records).await?;
        }
    }
    Ok(())
}

/// Folds each of these tables from where it stands to the end of the log.
pub(crate) async fn fold_to_end(
    log: &Log,
    database: &Database,
    tables: &[Arc<Live>],
    on_records: OnRecords<'_>,
) -> Result<(), Error> {
    for partition in 0..log.partitions() {
        let asked = tables.to_vec();
        let standing = database.call(move |connection| {
            let standing = |table: &Arc<Live>| checkpoint(connection, table, partition);
            asked.iter().map(standing).collect::<rusqlite::Result<Vec<_>>>()
        });
        let standing = standing.await??;
        for (from, group) in grouped(standing.into_iter().zip(tables.iter().cloned())) {
            let from = from.map(|bytes| Checkpoint::from_bytes(&bytes)).transpose()?;
            advance(log.reader(partition, from)?, database, &group, None, on_records).await?;
        }
    }
    Ok(())
}

/// Tables at the same place share a reader.
fn grouped<P: PartialEq>(tables: impl Iterator<Item = (P, Arc<Live>)>) -> Vec<(P, Vec<Arc<Live>>)> {
    let mut groups: Vec<(P, Vec<Arc<Live>>)> = Vec::new();
    for (place, table) in tables {
        match groups.iter_mut().find(|(other, _)| *other == place) {
            Some((_, group)) => group.push(table),
            None => groups.push((place, vec![table])),
        }
    }
    groups
}

/// Folds from the reader's place on; up to `until`, or to the end.
pub(crate) async fn advance(
    mut reader: Reader,
    database: &Database,
    tables: &[Arc<Live>],
    until: Option<&Checkpoint>,
    on_records: OnRecords<'_>,
) -> Result<(), Error> {
    loop {
        let from = reader.checkpoint();
        // Heights count admitted records, so this never reads past the place.
        let missing = until.map(|until| until.state.height.saturating_sub(from.state.height));
        let room =
            missing.map_or(FETCH_RECORDS_MAX, |missing| usize::try_from(missing).unwrap_or(usize::MAX));
        if room == 0 {
            break;
        }
        let read = reader.next(room.min(FETCH_RECORDS_MAX)).await?.records;
        if read.is_empty() {
            break;
        }
        on_records(read.len() as u64);
        let batch = batch(read, from, reader.checkpoint())?;
        let tables = tables.to_vec();
        database.call(move |connection| fold(connection, &tables, &batch)).await??;
    }
    match until {
        Some(until) if reader.checkpoint() != *until => {
            let (partition, position) = (until.partition, until.position);
            let diverged = Diverged { partition, position, reason: Reason::OtherHistory };
            Err(Error::Log(diverged.into()))
        }
        _ => Ok(()),
    }
}

fn batch(read: Vec<event_log::AdmittedRecord>, from: Checkpoint, to: Checkpoint) -> Result<Batch, Error> {
    let decoded = read.into_iter().map(|record| {
        let (partition, position) = (record.partition, record.position);
        let items = items(&record).map_err(|source| Error::Unreadable { partition, position, source })?;
        Ok((record, items))
    });
    Ok(Batch { records: decoded.collect::<Result<_, Error>>()?, from, to })
}

/// What each of these tables comes to.
pub(crate) async fn digests(
    database: &Database,
    tables: &[Arc<Live>],
) -> Result<Vec<(&'static str, TableDigest)>, Error> {
    let tables = tables.to_vec();
    let all = database.call(move |connection| {
        let digest = |table: &Arc<Live>| Ok((table.definition.name, digest(connection, &table.statements)?));
        tables.iter().map(digest).collect::<rusqlite::Result<_>>()
    });
    Ok(all.await??)
}
