//! Tables beside the served ones: built from the log, compared where the served ones stand, then served instead of them,
//! or dropped. Whoever follows the log into the served tables goes on meanwhile.
use std::sync::Arc;

use event_log::Log;

use crate::{
    Differences, Error, OnRecords, ReadStore, StoreError, TableDigest,
    catch_up::{Places, Until, fold_until, places},
    differences::differences,
    digest::digest,
    generations,
    live::Live,
    parked,
    session::Session,
};

/// So many records are folded in a moment.
const NEAR_RECORDS: u64 = 500;

/// Tables that are to be served. One at a time for a store: two would build the same generation.
pub struct Shadow {
    store: ReadStore,
    /// Each served table with the one that is to take its place.
    pairs: Vec<(Arc<Live>, Arc<Live>)>,
}

/// A projection that went back to the table it had before.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RolledBack {
    /// The projection.
    pub name: &'static str,
    /// The generation that was served.
    pub from: u32,
    /// The generation that is served now; nothing if there is none before it.
    pub to: Option<u32>,
}

/// A served table and the one beside it at one moment, both at the same place of the log.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The projection.
    pub name: &'static str,
    /// Whether the served table had got anywhere yet.
    pub begun: bool,
    /// What is served.
    pub served: TableDigest,
    /// What the log gives.
    pub rebuilt: TableDigest,
    /// The rows; none unless the digests differ.
    pub differences: Differences,
}

impl ReadStore {
    /// Makes an empty table of the next generation for each projection that is `chosen`. What an interrupted build left
    /// behind goes first.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`].
    pub async fn shadow(&self, chosen: impl Fn(&str) -> bool) -> Result<Shadow, Error> {
        let next = |_: &dyn Session, served: &Live| Ok(Some(served.generation.saturating_add(1)));
        let pairs = self.pairs(chosen, next).await?;
        let pairs = pairs.into_iter().filter_map(|(served, next)| Some((served, next?))).collect();
        let shadow = Shadow { store: self.clone(), pairs };
        shadow.discard().await?;
        let pairs = shadow.pairs.clone();
        let create = move |session: &dyn Session| {
            Ok(pairs.iter().try_for_each(|(_, next)| session.create(&next.shape))?)
        };
        self.write(create).await?;
        Ok(shadow)
    }

    /// Serves the generation before, for each projection that is `chosen` and has one, all at once, after folding into it
    /// what came since.
    ///
    /// # Errors
    /// As [`Shadow::serve`]; then nothing has changed.
    pub async fn roll_back(
        &self,
        log: &Log,
        chosen: impl Fn(&str) -> bool,
        on_records: OnRecords<'_>,
    ) -> Result<Vec<RolledBack>, Error> {
        let before = |session: &dyn Session, served: &Live| {
            let all = generations::all(session, served.definition.name)?;
            Ok(all.into_iter().rfind(|before| *before < served.generation))
        };
        let pairs = self.pairs(chosen, before).await?;
        let told = |(served, before): &(Arc<Live>, Option<Arc<Live>>)| RolledBack {
            name: served.definition.name,
            from: served.generation,
            to: before.as_ref().map(|before| before.generation),
        };
        let rolled_back = pairs.iter().map(told).collect();
        let pairs = pairs.into_iter().filter_map(|(served, before)| Some((served, before?))).collect();
        Shadow { store: self.clone(), pairs }.serve(log, on_records).await?;
        Ok(rolled_back)
    }

    /// The served table of each chosen projection, and beside it the generation that `other` names.
    async fn pairs(
        &self,
        chosen: impl Fn(&str) -> bool,
        other: impl Fn(&dyn Session, &Live) -> Result<Option<u32>, StoreError> + Send + 'static,
    ) -> Result<Vec<(Arc<Live>, Option<Arc<Live>>)>, Error> {
        let tables = self.tables();
        let found = self.write(move |session| {
            let pair = |served: Arc<Live>| {
                let generation = other(session, &served)?;
                let other = generation.map(|other| Arc::new(Live::beside(served.definition, other)));
                Ok((served, other))
            };
            tables.all(session)?.into_iter().map(pair).collect::<Result<Vec<_>, Error>>()
        });
        Ok(found.await?.into_iter().filter(|(served, _)| chosen(served.definition.name)).collect())
    }
}

impl Shadow {
    /// Folds up to where the served tables stand and compares there, with at most `shown_max` rows that differ of each.
    ///
    /// # Errors
    /// [`Error::Log`] with [`event_log::Reason::OtherHistory`] if a served table stands in a history that is not the
    /// log's; those of the log and the store.
    pub async fn compare(
        &self,
        log: &Log,
        shown_max: usize,
        on_records: OnRecords<'_>,
    ) -> Result<Vec<Compared>, Error> {
        self.come_near(log, false, on_records).await?;
        let alone = self.store.alone().await?;
        let standing = self.standing(log).await?;
        self.fold(log, Until::Places(&standing), on_records).await?;
        let moment = self.store.moment().await?;
        alone.end().await?;
        let pairs = self.pairs.clone();
        let compared = tokio::task::spawn_blocking(move || {
            let compare = |((served, next), places): (&(Arc<Live>, Arc<Live>), &Places)| {
                let begun = places.iter().any(Option::is_some);
                compare(&*moment, served, next, begun, shown_max)
            };
            pairs.iter().zip(&standing).map(compare).collect::<Result<_, StoreError>>()
        });
        Ok(compared.await.map_err(|_| Error::Closed)??)
    }

    /// Folds what is missing to the end of the log, and makes the indexes: at the end, because that costs a fraction of
    /// keeping them up row by row.
    ///
    /// # Errors
    /// Those of the log and the store.
    pub async fn fold_to_end(&self, log: &Log, on_records: OnRecords<'_>) -> Result<(), Error> {
        self.fold(log, Until::End, on_records).await?;
        for next in self.next() {
            // One at a time, so that others may write between them.
            self.store.write(move |session| Ok(session.index(&next.shape)?)).await?;
        }
        Ok(())
    }

    /// What each new table comes to.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn digests(&self) -> Result<Vec<(&'static str, TableDigest)>, Error> {
        self.store.digests_of(self.next()).await
    }

    /// How many events wait for each new table.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn parked(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        let next = self.next();
        let count = |session: &dyn Session, next: &Live| {
            Ok((next.definition.name, parked::count(session, &next.parked_as)?))
        };
        self.store.read(move |session| next.iter().map(|next| count(session, next)).collect()).await
    }

    /// Serves the new tables, all at once and at the end of the log, and keeps those before them for
    /// [`ReadStore::roll_back`]; older ones go. Whoever follows the log goes on with the new ones from there.
    ///
    /// # Errors
    /// Those of the log and the store; what is served is still served then, unless a commit that was told as failed
    /// happened after all ([`Error::Write`]).
    pub async fn serve(self, log: &Log, on_records: OnRecords<'_>) -> Result<(), Error> {
        self.come_near(log, true, on_records).await?;
        let alone = self.store.alone().await?;
        self.fold(log, Until::End, on_records).await?;
        let pairs = self.pairs.clone();
        let swapped = self.store.write(move |session| {
            let swap = |(served, next): &(Arc<Live>, Arc<Live>)| {
                generations::swap(session, served.definition, served.generation, next.generation)
            };
            pairs.iter().try_for_each(swap)
        });
        let swapped = swapped.await;
        drop(alone);
        swapped?;
        self.forget_older().await
    }

    /// Drops what is neither served now nor the way back. A large table takes a while, so nobody waits for it.
    async fn forget_older(self) -> Result<(), Error> {
        let store = self.store.clone();
        let forget = move |session: &dyn Session| {
            for (served, next) in &self.pairs {
                let (name, kept) = (served.definition.name, [served.generation, next.generation]);
                let mut older = generations::all(session, name)?;
                older.retain(|generation| !kept.contains(generation));
                older
                    .into_iter()
                    .try_for_each(|generation| generations::forget(session, name, generation))?;
            }
            Ok(())
        };
        store.write(forget).await
    }

    /// Drops the new tables, and whatever else is newer than what is served.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`].
    pub async fn discard(&self) -> Result<(), Error> {
        let pairs = self.pairs.clone();
        let drop_newer = move |session: &dyn Session| {
            let drop_newer = |(served, _): &(Arc<Live>, Arc<Live>)| {
                generations::forget_newer(session, served.definition.name, served.generation)
            };
            Ok(pairs.iter().try_for_each(drop_newer)?)
        };
        self.store.write(drop_newer).await
    }

    async fn fold(&self, log: &Log, until: Until<'_>, on_records: OnRecords<'_>) -> Result<(), Error> {
        fold_until(log, &self.store, &self.next(), until, on_records).await
    }

    /// Folds while the served tables go on, until so little is left that they can stand still for it: to where they
    /// stand, or on to the end of the log.
    async fn come_near(&self, log: &Log, to_end: bool, on_records: OnRecords<'_>) -> Result<(), Error> {
        let mut left = u64::MAX;
        loop {
            let mut folded = 0;
            let mut count = |records| {
                folded += records;
                on_records(records);
            };
            if to_end {
                self.fold_to_end(log, &mut count).await?;
            } else {
                let standing = self.standing(log).await?;
                self.fold(log, Until::Places(&standing), &mut count).await?;
            }
            // What came meanwhile is about as much as came during the last round; if that grows, it would for ever.
            if folded <= NEAR_RECORDS || folded >= left {
                return Ok(());
            }
            left = folded;
        }
    }

    /// Where the served tables stand.
    async fn standing(&self, log: &Log) -> Result<Vec<Places>, Error> {
        let served: Vec<_> = self.pairs.iter().map(|(served, _)| Arc::clone(served)).collect();
        places(&self.store, &served, log.partitions()).await
    }

    fn next(&self) -> Vec<Arc<Live>> {
        self.pairs.iter().map(|(_, next)| Arc::clone(next)).collect()
    }
}

fn compare(
    moment: &dyn Session,
    served: &Live,
    next: &Live,
    begun: bool,
    shown_max: usize,
) -> Result<Compared, StoreError> {
    let name = served.definition.name;
    let (served, rebuilt) = (&served.shape, &next.shape);
    let digests = (digest(moment, served)?, digest(moment, rebuilt)?);
    let differences = if digests.0 == digests.1 {
        Differences::default()
    } else {
        differences(moment, served, rebuilt, shown_max)?
    };
    Ok(Compared { name, begun, served: digests.0, rebuilt: digests.1, differences })
}
