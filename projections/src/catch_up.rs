//! Folding a stretch of history into tables of one's own, up to exactly where other tables stand or to the end.
use std::sync::Arc;

use event_log::{Checkpoint, Diverged, Log, Position, Reason, Span, Sweeper};

use crate::{
    Error, ReadStore, Served, TableDigest,
    digest::digest,
    fold::{Batch, Standing, expected, fold_expected},
    folding::Folding,
    generations,
    live::Live,
    recorded::{events, items},
    session::Session,
};

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
        fold_until(log, self, &tables, Until::Places(&places), on_records).await
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
        self.read(move |session| {
            let digest = |table: &Arc<Live>| Ok((table.definition.name, digest(session, &table.shape)?));
            tables.iter().map(digest).collect()
        })
        .await
    }

    pub(crate) async fn all_tables(&self) -> Result<Vec<Arc<Live>>, Error> {
        let tables = self.tables();
        self.read(move |session| tables.all(session)).await
    }
}

/// Folds each of these tables on from where it stands. Tables on the same way share one pass over the log.
pub(crate) async fn fold_until(
    log: &Log,
    store: &ReadStore,
    tables: &[Arc<Live>],
    until: Until<'_>,
    on_records: OnRecords<'_>,
) -> Result<(), Error> {
    let standing = places(store, tables, log.partitions()).await?;
    let way = |((number, table), standing): ((usize, &Arc<Live>), Places)| {
        let parts = (0..log.partitions()).zip(standing);
        let parts = parts.map(|(partition, from)| Part { from, until: until.of(number, partition) });
        (parts.collect::<Vec<_>>(), Arc::clone(table))
    };
    let ways = tables.iter().enumerate().zip(standing).map(way);
    for (parts, tables) in grouped(ways) {
        advance(log, &parts, store, &tables, on_records).await?;
    }
    Ok(())
}

/// Where each of these tables stands.
pub(crate) async fn places(
    store: &ReadStore,
    tables: &[Arc<Live>],
    partitions: u16,
) -> Result<Vec<Places>, Error> {
    let tables = tables.to_vec();
    let look = move |session: &dyn Session| {
        let standing = (0..partitions).map(|partition| Standing::look(session, partition));
        let standing = standing.collect::<Result<Vec<_>, _>>()?;
        let places = |table: &Arc<Live>| standing.iter().map(|standing| standing.checkpoint(table)).collect();
        tables.iter().map(places).collect()
    };
    store.look_behind(look).await
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

/// From where tables stand in a partition, how far.
#[derive(Clone, Copy, PartialEq)]
struct Part {
    from: Option<Checkpoint>,
    /// As [`Until::of`] gives it.
    until: Option<Option<Checkpoint>>,
}

impl Part {
    fn span(&self) -> Span {
        let begin = self.from.map_or(Position::START, |from| from.position);
        let until = match self.until {
            None => Some(begin),
            Some(until) => until.map(|until| until.position),
        };
        Span { from: self.from, until }
    }
}

async fn advance(
    log: &Log,
    parts: &[Part],
    store: &ReadStore,
    tables: &[Arc<Live>],
    on_records: OnRecords<'_>,
) -> Result<(), Error> {
    let spans: Vec<Span> = parts.iter().map(Part::span).collect();
    // Whoever is written to all the time would never be at the end.
    let ends: Vec<_> = (0..log.partitions()).map(|partition| log.end(partition)).collect();
    let mut sweeper = log.sweep(&spans)?;
    let records_max = store.batch_records();
    let mut read = next(&mut sweeper, tables, records_max).await?;
    while !read.batches.is_empty() {
        on_records(read.batches.iter().map(|batch| batch.records.len() as u64).sum());
        let unbound = parts.iter().all(|part| part.until == Some(None));
        let is_last = unbound && sweeper.checkpoints().zip(&ends).all(|(at, end)| at.position >= *end);
        let shared = tables.to_vec();
        let folding = store.write(move |session| {
            let Ahead { batches, mut expected } = read;
            // A newer program may have put a table of its own in the place of one of these.
            generations::check(session, shared.iter().map(|table| table.definition))?;
            fold_expected(session, &shared, &batches.iter().collect::<Vec<_>>(), &mut expected)?;
            // Who made it frees it: the store has enough to do.
            Ok(Ahead { batches, expected })
        });
        if is_last {
            folding.await?;
            break;
        }
        // While the store folds a batch, the next one is read and decoded.
        let (folded, following) = tokio::join!(folding, next(&mut sweeper, tables, records_max));
        drop(folded?);
        read = following?;
    }
    let bounds = parts.iter().map(|part| part.until.flatten());
    let missed = bounds.zip(sweeper.checkpoints()).find_map(|(until, at)| until.filter(|until| until != at));
    missed.map_or(Ok(()), |Checkpoint { partition, position, .. }| {
        Err(Error::Log(Diverged { partition, position, reason: Reason::OtherHistory }.into()))
    })
}

/// What was read, and what each table expects of it.
struct Ahead {
    batches: Vec<Batch>,
    expected: Vec<Box<dyn Folding>>,
}

/// About so many further records, a batch of each partition that has some; none at the end of the way.
async fn next(sweeper: &mut Sweeper, tables: &[Arc<Live>], records_max: usize) -> Result<Ahead, Error> {
    let of_records = tables.iter().any(|table| table.definition.is_of_records);
    let decode = if of_records { items } else { events };
    let before: Vec<Checkpoint> = sweeper.checkpoints().copied().collect();
    let mut records: Vec<_> = before.iter().map(|_| Vec::new()).collect();
    let mut count = 0;
    while count < records_max {
        let read = sweeper.next(records_max - count).await?.records;
        if read.is_empty() {
            break;
        }
        count += read.len();
        for record in read {
            let (partition, position) = (record.partition, record.position);
            let items =
                decode(&record).map_err(|source| Error::Unreadable { partition, position, source })?;
            records[usize::from(partition)].push((record, items));
        }
    }
    let batches = records.into_iter().zip(before).zip(sweeper.checkpoints());
    let batches = batches.map(|((records, from), to)| Batch { records, from, to: *to });
    let batches: Vec<Batch> = batches.filter(|batch| !batch.records.is_empty()).collect();
    Ok(Ahead { expected: expected(tables, &batches), batches })
}
