//! Runs the projections: one task per partition, all writing through one connection.
use std::{collections::BTreeSet, time::Duration};

use event_log::Log;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    Error, Progress, ReadStore, StoreError, all, elsewhere, parked,
    partition::Partition,
    standstill::{PATIENCE, Stands, look_out},
};

/// Records per transaction.
const BATCH_RECORDS_MAX: usize = 1_000;
/// How often the gauges are set.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// The running projections. Dropping this stops them; each batch is one transaction, so no moment is a bad one.
pub struct Projections {
    store: ReadStore,
    progress: Progress,
    tasks: JoinSet<()>,
}

impl Projections {
    /// Tries parked sequences again, then follows every partition from the stored checkpoints on.
    ///
    /// # Errors
    /// [`Error::Log`] if a checkpoint is of another history; those of the store.
    pub async fn start(log: Log, store: ReadStore) -> Result<Self, Error> {
        Self::start_among(log, store, None).await
    }

    /// The same as one of several nodes over one store: it folds the partitions of its share, as long as they are in it.
    /// How far the others are it reads from the store, and whether there is more from the log.
    ///
    /// # Errors
    /// Those of [`Self::start`].
    pub async fn start_among(
        log: Log,
        store: ReadStore,
        share: Option<watch::Receiver<BTreeSet<u16>>>,
    ) -> Result<Self, Error> {
        Self::start_patient(log, store, share, PATIENCE).await
    }

    /// The same for who takes rows that others fold for current for so long.
    pub(crate) async fn start_patient(
        log: Log,
        store: ReadStore,
        share: Option<watch::Receiver<BTreeSet<u16>>>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let names = all().iter().map(|definition| definition.name).collect();
        let progress = Progress::new(log.clone(), names);
        let mut running = Self { store, progress, tasks: JoinSet::new() };
        running.retry_parked().await?;
        for number in 0..log.partitions() {
            let partition =
                Partition::open(&log, &running.store, &running.progress, number, BATCH_RECORDS_MAX).await?;
            match share.clone() {
                None => running.tasks.spawn(follow(partition.follow(), running.progress.clone())),
                Some(share) => {
                    let (log, store, progress) =
                        (log.clone(), running.store.clone(), running.progress.clone());
                    let open = async move || {
                        Partition::open(&log, &store, &progress, number, BATCH_RECORDS_MAX).await
                    };
                    let following = elsewhere::follow_in_turn(open, number, share);
                    running.tasks.spawn(follow(following, running.progress.clone()))
                }
            };
        }
        if let Some(share) = share {
            let (store, progress) = (running.store.clone(), running.progress.clone());
            let stands: Vec<_> = (0..log.partitions()).map(|_| watch::Sender::new(Stands::Unknown)).collect();
            for (number, stands) in (0..).zip(&stands) {
                let (log, progress) = (log.clone(), progress.clone());
                running.tasks.spawn(look_out(log, progress, number, stands.subscribe(), patience));
            }
            running.tasks.spawn(elsewhere::watch(store, progress, stands, share));
        }
        running.tasks.spawn(publish(running.progress.clone()));
        Ok(running)
    }

    /// How far they are.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Tries every parked sequence again from its first event on. Returns how many events still wait.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn retry_parked(&self) -> Result<u64, Error> {
        let mut waiting = 0;
        for number in 0..all().len() {
            let tables = self.store.tables();
            let left = self.store.write(move |session| {
                let live = tables.at(session, &[number])?;
                Ok(live.iter().map(|live| parked::retry(session, live)).sum::<Result<u64, StoreError>>()?)
            });
            let left = left.await?;
            self.progress.set_parked(number, left);
            waiting += left;
        }
        Ok(waiting)
    }
}

async fn follow(following: impl Future<Output = Error>, progress: Progress) {
    let error = tokio::select! {
        error = following => error,
        () = progress.until_stopped() => return,
    };
    progress.stop(&error);
}

async fn publish(progress: Progress) {
    let mut ticks = tokio::time::interval(PUBLISH_EVERY);
    loop {
        ticks.tick().await;
        progress.publish();
    }
}
