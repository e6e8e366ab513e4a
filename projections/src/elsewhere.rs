//! The partitions that other nodes fold: how far they are is read from the store.
use std::{collections::BTreeSet, time::Duration};

use event_log::{Checkpoint, Position};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    Error, Progress, ReadStore, error::chain, fold::Standing, parked, partition::Partition, session::Session,
    standstill::Stands,
};

/// How often the store is asked: whoever reads their own writes through another node waits that long at most.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// After a failure, and before a partition that another node still folds is looked at again.
const PAUSE: Duration = Duration::from_millis(200);

/// The partitions that this process is to fold.
pub(crate) type Share = watch::Receiver<BTreeSet<u16>>;

/// What another node says of one partition: where each projection stands.
struct Seen {
    partition: u16,
    standing: Vec<Option<Checkpoint>>,
}

/// Keeps the progress of the partitions that are not in the share, until the projections stop.
///
/// Where their rows stand is told to `stands`, one for each partition.
pub(crate) async fn watch(
    store: ReadStore,
    progress: Progress,
    stands: Vec<watch::Sender<Stands>>,
    share: Share,
) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let own = share.borrow().clone();
        let others = (0..).zip(&stands).filter_map(|(partition, stands)| {
            let is_own = own.contains(&partition);
            if is_own {
                tell(stands, Stands::Unknown);
            }
            (!is_own).then_some(partition)
        });
        match look(&store, others.collect()).await {
            Ok((seen, parked)) => {
                for Seen { partition, standing } in seen {
                    if share.borrow().contains(&partition) {
                        continue;
                    }
                    for (member, checkpoint) in standing.iter().enumerate() {
                        progress.note_reached(partition, member, checkpoint.as_ref());
                    }
                    if let Some(stands) = stands.get(usize::from(partition)) {
                        tell(stands, Stands::At(lowest(&standing)));
                    }
                    progress.set_keeps_up(partition, true);
                    // What failed here is not ours any more.
                    progress.set_failing(partition, None);
                }
                parked
                    .into_iter()
                    .enumerate()
                    .for_each(|(member, events)| progress.set_parked(member, events));
            }
            Err(error) if error.is_outdated() => return progress.stop(&error),
            Err(error) => {
                tracing::warn!("What other nodes fold cannot be seen: {}", chain(&error));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn tell(stands: &watch::Sender<Stands>, news: Stands) {
    stands.send_if_modified(|known| std::mem::replace(known, news) != news);
}

/// Where the table stands that is furthest behind.
fn lowest(standing: &[Option<Checkpoint>]) -> Option<Checkpoint> {
    let position = |at: &&Option<Checkpoint>| at.map_or(Position::START, |at| at.position);
    *standing.iter().min_by_key(position)?
}

async fn look(store: &ReadStore, partitions: Vec<u16>) -> Result<(Vec<Seen>, Vec<u64>), Error> {
    let tables = store.tables();
    let look = move |session: &dyn Session| {
        let (all, counts) = (tables.all(session)?, parked::counts(session)?);
        let seen = partitions.into_iter().map(|partition| {
            let stored = Standing::look(session, partition)?;
            let standing = all.iter().map(|live| stored.checkpoint(live)).collect::<Result<_, Error>>()?;
            Ok(Seen { partition, standing })
        });
        let seen = seen.collect::<Result<_, Error>>()?;
        Ok((seen, all.iter().map(|live| counts.get(&live.parked_as).copied().unwrap_or_default()).collect()))
    };
    store.read(look).await
}

/// Folds a partition whenever it is in the share; returns why it must stop for good.
pub(crate) async fn follow_in_turn(
    open: impl AsyncFn() -> Result<Partition, Error>,
    number: u16,
    mut share: Share,
) -> Error {
    loop {
        if share.wait_for(|share| share.contains(&number)).await.is_err() {
            // Nobody shares out any more, so it stays where it is.
            std::future::pending::<()>().await;
        }
        let error = tokio::select! {
            biased;
            Ok(_) = share.wait_for(|share| !share.contains(&number)) => continue,
            error = async {
                match open().await {
                    Ok(partition) => partition.follow().await,
                    Err(error) => error,
                }
            } => error,
        };
        match error {
            // Whoever folded it before had not heard yet that it is ours, or other tables are served.
            Error::Moved { .. } => {}
            error if error.may_pass() => {
                tracing::warn!(
                    log.partition = number,
                    "Partition {number} cannot be folded: {}",
                    chain(&error)
                );
            }
            error => return error,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
