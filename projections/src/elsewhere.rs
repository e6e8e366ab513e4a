//! The partitions that other nodes fold: how far they are is read from the store.
use std::{collections::BTreeSet, time::Duration};

use event_log::Checkpoint;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    Error, Progress, ReadStore, error::chain, fold::Standing, parked, partition::Partition, session::Session,
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
pub(crate) async fn watch(store: ReadStore, progress: Progress, partitions: u16, share: Share) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let own = share.borrow().clone();
        match look(&store, (0..partitions).filter(|partition| !own.contains(partition)).collect()).await {
            Ok((seen, parked)) => {
                for Seen { partition, standing } in seen {
                    if share.borrow().contains(&partition) {
                        continue;
                    }
                    for (member, checkpoint) in standing.iter().enumerate() {
                        if let Some(checkpoint) = checkpoint {
                            progress.note_reached(partition, member, checkpoint);
                        }
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
            Err(error) => {
                tracing::warn!("What other nodes fold cannot be seen: {}", chain(&error));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
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
