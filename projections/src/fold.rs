//! One batch into the tables: rows, parked events and checkpoints in one transaction.
use std::{borrow::Cow, collections::HashMap, sync::Arc};

use event_log::{AdmittedRecord, Checkpoint, Position};

use crate::{
    Error, StoreError, Value,
    column::{Column as _, ColumnType, Kind},
    erasure::{self, Erasures, Shops},
    folding::Folding,
    live::Live,
    parked, planted,
    recorded::{Content, Item},
    session::{Session, Typed as _},
    table::Shape,
};

/// How far each generation of each projection is in each partition.
pub(crate) const CHECKPOINT: Shape = Shape {
    table: Cow::Borrowed("checkpoint"),
    columns: &[
        ("projection", ColumnType::of(Kind::Text)),
        ("generation", ColumnType::of(Kind::Integer)),
        ("part", ColumnType::of(Kind::Integer)),
        ("checkpoint", ColumnType::of(Kind::Bytes)),
    ],
    key_len: 3,
    indexes: &[],
    subject: None,
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

/// Where tables stand in one partition, by projection and generation.
pub(crate) struct Standing(HashMap<(String, u32), Vec<u8>>);

impl Standing {
    pub(crate) fn look(session: &dyn Session, partition: u16) -> Result<Self, StoreError> {
        let sql = "SELECT projection, generation, checkpoint FROM checkpoint WHERE part = ?";
        let all = session
            .all(sql, &[partition.store()], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<Vec<u8>>(2)?)))?;
        Ok(Self(all.into_iter().collect()))
    }

    /// The table's checkpoint as bytes; nothing at its beginning.
    pub(crate) fn of(&self, live: &Live) -> Option<&[u8]> {
        self.0.get(&(live.definition.name.to_owned(), live.generation)).map(Vec::as_slice)
    }

    /// The table's checkpoint; nothing at its beginning.
    pub(crate) fn checkpoint(&self, live: &Live) -> Result<Option<Checkpoint>, Error> {
        Ok(self.of(live).map(Checkpoint::from_bytes).transpose()?)
    }
}

/// What each of `members` expects of the batches. Asked ahead of the transaction, it costs those nothing who wait for it.
pub(crate) fn expected(members: &[Arc<Live>], batches: &[Batch]) -> Vec<Box<dyn Folding>> {
    let batches: Vec<_> = batches.iter().collect();
    members.iter().map(|live| expected_by(live, &batches)).collect()
}

fn expected_by(live: &Live, batches: &[&Batch]) -> Box<dyn Folding> {
    let mut folding = (live.definition.folding)();
    for (_, item) in items(batches) {
        folding.expect(&item.content);
    }
    folding
}

fn items<'a>(batches: &'a [&Batch]) -> impl Iterator<Item = (&'a AdmittedRecord, &'a Item)> {
    let records = batches.iter().flat_map(|batch| &batch.records);
    records.flat_map(|(record, items)| items.iter().map(move |item| (record, item)))
}

/// Folds batches of different partitions into every projection of `members`; returns how many events of each wait then.
/// The caller's transaction makes it all or nothing.
///
/// A batch that is there already (its commit was reported as failed, but happened) is not folded again.
pub(crate) fn fold(
    session: &dyn Session,
    members: &[Arc<Live>],
    batches: &[&Batch],
) -> Result<Vec<u64>, Error> {
    fold_expected(session, members, batches, &mut [])
}

/// The same of batches whose members' expectations may be known already.
pub(crate) fn fold_expected(
    session: &dyn Session,
    members: &[Arc<Live>],
    batches: &[&Batch],
    expected: &mut [Box<dyn Folding>],
) -> Result<Vec<u64>, Error> {
    let mut parked = parked::counts(session)?;
    let standing = batches.iter().map(|batch| Standing::look(session, batch.to.partition));
    let standing = standing.collect::<Result<Vec<_>, _>>()?;
    let erased = erasure::shops(session)?;
    let mut reached = Vec::new();
    let mut expected = expected.iter_mut();
    for live in members {
        let expected = expected.next();
        let mut fresh = Vec::with_capacity(batches.len());
        for (batch, standing) in batches.iter().zip(&standing) {
            if is_fresh(live, batch, standing)? {
                fresh.push(*batch);
            }
        }
        if !fresh.is_empty() {
            let waiting = parked.entry(live.parked_as.clone()).or_default();
            let any_parked = *waiting > 0;
            let shops = erased.of(live);
            *waiting += match expected {
                Some(folding) if fresh.len() == batches.len() => {
                    fold_into(session, live, &fresh, folding.as_mut(), any_parked, shops)?
                }
                _ => {
                    let mut folding = expected_by(live, &fresh);
                    fold_into(session, live, &fresh, folding.as_mut(), any_parked, shops)?
                }
            };
            let together = fresh.iter().filter(|batch| !planted::is_apart(batch));
            reached.extend(together.map(|batch| standing_at(live, &batch.to)));
        }
    }
    if !reached.is_empty() {
        session.upsert(&CHECKPOINT, &mut reached.into_iter())?;
    }
    Ok(members.iter().map(|live| parked.get(&live.parked_as).copied().unwrap_or_default()).collect())
}

/// Whether the batch is the table's next one; an error if the store does not stand where its reader started.
fn is_fresh(live: &Live, batch: &Batch, standing: &Standing) -> Result<bool, Error> {
    let stored = standing.of(live);
    if stored == Some(batch.to.to_bytes().as_slice()) {
        return Ok(false);
    }
    let at_start = batch.from.position == Position::START;
    if stored.map_or(!at_start, |stored| stored != batch.from.to_bytes().as_slice()) {
        let (projection, partition) = (live.definition.name, batch.to.partition);
        return Err(Error::Moved { projection, partition });
    }
    Ok(true)
}

/// Returns how many of the events that `folding` expects had to be parked.
fn fold_into(
    session: &dyn Session,
    live: &Live,
    batches: &[&Batch],
    folding: &mut dyn Folding,
    any_parked: bool,
    mut shops: Shops,
) -> Result<u64, StoreError> {
    let erasures = Erasures::of(live, items(batches).map(|(_, item)| &item.content));
    shops.extend(&erasures);
    folding.load(session, &live.shape)?;
    let mut parked = 0;
    for (number, (record, item)) in items(batches).enumerate() {
        // A record as a whole stands for itself; only events wait behind others of their stream.
        let queues = (any_parked || parked > 0) && !matches!(item.content, Content::Record(_));
        if queues && parked::holds(session, &live.parked_as, &record.frame, item.stream_type)? {
            parked::park(session, &live.parked_as, record, item, None)?;
            parked += 1;
        } else if let Err(reason) = folding.take(number, &item.content) {
            warn(live, record, item, &reason);
            parked::park(session, &live.parked_as, record, item, Some(&reason))?;
            parked += 1;
        }
    }
    folding.save(session, &live.shape, &shops)?;
    erasures.apply(session, live)?;
    if parked > 0 {
        shops.scrub_parked(session, live)?;
    }
    Ok(parked)
}

fn warn(live: &Live, record: &AdmittedRecord, item: &Item, reason: &str) {
    let projection = live.definition.name;
    tracing::error!(
        projection.name = projection,
        log.partition = record.partition,
        log.position = record.position.get(),
        event.index = item.index,
        "Parked a sequence of {projection} at position {} of partition {}: {reason}",
        record.position,
        record.partition,
    );
}

/// Notes that these tables stand at this checkpoint.
pub(crate) fn save_checkpoints(
    session: &dyn Session,
    members: &[Arc<Live>],
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    session.upsert(&CHECKPOINT, &mut members.iter().map(|live| standing_at(live, checkpoint)))
}

fn standing_at(live: &Live, checkpoint: &Checkpoint) -> Vec<Value> {
    let Checkpoint { partition, .. } = checkpoint;
    let bytes = Value::Bytes(checkpoint.to_bytes().to_vec());
    vec![Value::text(live.definition.name), live.generation.store(), partition.store(), bytes]
}
