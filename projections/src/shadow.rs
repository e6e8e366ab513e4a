//! Tables of the next generation, built from the log beside the served ones, then served instead of them, or dropped.
use std::sync::Arc;

use event_log::Log;
use group_commit::Database;

use crate::{
    Differences, Error, OnRecords, ReadStore, Served, TableDigest,
    catch_up::{digests, fold_to, fold_to_end},
    differences::differences,
    generations, parked, served,
    store::Live,
};

/// Tables that are being built. Nobody else may follow the log into the same file meanwhile: whoever holds the log open
/// for writing is alone.
pub struct Shadow {
    database: Database,
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

impl ReadStore {
    /// Makes an empty table of the next generation for each projection that is `chosen`. What an interrupted build left
    /// behind goes first.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`].
    pub async fn shadow(&self, chosen: impl Fn(&str) -> bool) -> Result<Shadow, Error> {
        let served = self.live().iter().filter(|live| chosen(live.definition.name)).cloned();
        let next = |served: Arc<Live>| {
            let next = Live::beside(served.definition, served.generation.saturating_add(1));
            (served, Arc::new(next))
        };
        let pairs: Vec<_> = served.map(next).collect();
        let shadow = Shadow { database: self.writer().clone(), pairs };
        shadow.discard().await?;
        let pairs = shadow.pairs.clone();
        let made = shadow.database.call(move |connection| {
            pairs.iter().try_for_each(|(_, next)| connection.execute_batch(&next.statements.create))
        });
        made.await??;
        Ok(shadow)
    }

    /// Serves the generation before, for each projection that is `chosen` and has one, all at once. It goes on from
    /// where it stood. This handle still names the tables it was opened with: open the store again.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`].
    pub async fn roll_back(&self, chosen: impl Fn(&str) -> bool) -> Result<Vec<RolledBack>, Error> {
        let served: Vec<_> =
            self.live().iter().filter(|live| chosen(live.definition.name)).cloned().collect();
        let rolled_back = self.writer().call(move |connection| {
            let back = |live: &Arc<Live>| {
                let name = live.definition.name;
                let from = generations::served(connection, name)?;
                let before = generations::all(connection, name)?.into_iter().rfind(|before| *before < from);
                if let Some(before) = before {
                    generations::swap(connection, live.definition, from, before)?;
                }
                Ok(RolledBack { name, from, to: before })
            };
            served.iter().map(back).collect::<rusqlite::Result<_>>()
        });
        Ok(rolled_back.await??)
    }
}

impl Shadow {
    /// What is served now, of the projections that are rebuilt.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`], [`Error::Log`] for a checkpoint that is none.
    pub async fn served(&self, partitions: u16) -> Result<Vec<Served>, Error> {
        let pairs = self.pairs.clone();
        let look = self.database.call(move |connection| {
            let look = |(served, _): &(Arc<Live>, Arc<Live>)| {
                let state = served::table(connection, served, partitions)?;
                Ok(Served { name: served.definition.name, state })
            };
            pairs.iter().map(look).collect::<Result<_, Error>>()
        });
        look.await?
    }

    /// Folds up to exactly where the served tables stand.
    ///
    /// # Errors
    /// As [`ReadStore::fold_to`].
    pub async fn fold_to(
        &self,
        log: &Log,
        served: &[Served],
        on_records: OnRecords<'_>,
    ) -> Result<(), Error> {
        fold_to(log, &self.database, &self.next(), served, on_records).await
    }

    /// Folds what is missing to the end of the log.
    ///
    /// # Errors
    /// Those of the log and the store.
    pub async fn fold_to_end(&self, log: &Log, on_records: OnRecords<'_>) -> Result<(), Error> {
        fold_to_end(log, &self.database, &self.next(), on_records).await
    }

    /// What each new table comes to.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`].
    pub async fn digests(&self) -> Result<Vec<(&'static str, TableDigest)>, Error> {
        digests(&self.database, &self.next()).await
    }

    /// How many events wait for each new table.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`].
    pub async fn parked(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        let next = self.next();
        let count = self.database.call(move |connection| {
            let count =
                |next: &Arc<Live>| Ok((next.definition.name, parked::count(connection, &next.parked_as)?));
            next.iter().map(count).collect::<rusqlite::Result<_>>()
        });
        Ok(count.await??)
    }

    /// In which rows a projection's served table and its new one differ, with at most `first_max` of them.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`].
    pub async fn differences(&self, name: &str, first_max: usize) -> Result<Differences, Error> {
        let pair = self.pairs.iter().find(|(served, _)| served.definition.name == name).cloned();
        let Some((served, next)) = pair else { return Ok(Differences::default()) };
        let found = self
            .database
            .call(move |connection| differences(connection, &served.statements, &next.statements, first_max));
        Ok(found.await??)
    }

    /// Serves the new tables, all at once, and keeps those before them for [`ReadStore::roll_back`]; older ones go. The
    /// store's handle still names the tables it was opened with: open the store again.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`]; then nothing has changed.
    pub async fn swap(self) -> Result<(), Error> {
        let swapped = self.database.call(move |connection| {
            self.pairs.iter().try_for_each(|(served, next)| {
                let name = served.definition.name;
                generations::swap(connection, served.definition, served.generation, next.generation)?;
                let kept = [served.generation, next.generation];
                let older = generations::all(connection, name)?;
                older
                    .into_iter()
                    .filter(|generation| !kept.contains(generation))
                    .try_for_each(|generation| generations::forget(connection, name, generation))
            })
        });
        Ok(swapped.await??)
    }

    /// Drops the new tables, and whatever else is newer than what is served.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Store`].
    pub async fn discard(&self) -> Result<(), Error> {
        let pairs = self.pairs.clone();
        let dropped = self.database.call(move |connection| {
            pairs.iter().try_for_each(|(served, _)| {
                let name = served.definition.name;
                let newer = generations::all(connection, name)?;
                newer
                    .into_iter()
                    .filter(|generation| *generation > served.generation)
                    .try_for_each(|generation| generations::forget(connection, name, generation))
            })
        });
        Ok(dropped.await??)
    }

    fn next(&self) -> Vec<Arc<Live>> {
        self.pairs.iter().map(|(_, next)| Arc::clone(next)).collect()
    }
}
