//! Records that are missing: a run of orphans that no claim follows. On an open store the owner finds it first, and claims;
//! if nobody does, history stands still behind a hole, and somebody has to know.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::ids::Position;

/// How long an owner may take to claim behind a hole.
pub(crate) const CLAIMED_WITHIN: Duration = Duration::from_secs(10);

/// The runs that readers of one log stand in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Missing(Arc<Mutex<Vec<Run>>>);

/// One reader's run.
#[derive(Clone, Debug)]
struct Run {
    partition: u16,
    since: Instant,
    /// Tells it from others.
    of: Arc<()>,
}

/// Keeps a run known as long as its reader stands in it.
pub(crate) struct Mark {
    missing: Missing,
    of: Arc<()>,
}

impl Missing {
    /// A reader met its first orphan behind a claim; alarms if it still stands there when the time is over.
    pub(crate) fn mark(&self, partition: u16, position: Position) -> Mark {
        let mark = Mark { missing: self.clone(), of: Arc::default() };
        self.lock().push(Run { partition, since: Instant::now(), of: mark.of.clone() });
        let (missing, of) = (self.clone(), Arc::downgrade(&mark.of));
        tokio::spawn(async move {
            sleep(CLAIMED_WITHIN).await;
            let stands =
                of.upgrade().is_some_and(|of| missing.lock().iter().any(|run| Arc::ptr_eq(&run.of, &of)));
            if stands {
                tracing::error!(
                    log.partition = partition,
                    log.position = position.get(),
                    "A record before position {position} of partition {partition} is missing, and nobody claimed behind it"
                );
            }
        });
        mark
    }

    /// Partitions with a run that is too old, each once.
    pub(crate) fn overdue(&self) -> Vec<u16> {
        let now = Instant::now();
        let is_old = |run: &&Run| now.saturating_duration_since(run.since) >= CLAIMED_WITHIN;
        let mut partitions: Vec<u16> = self.lock().iter().filter(is_old).map(|run| run.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.missing.lock().retain(|run| !Arc::ptr_eq(&run.of, &self.of));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::{
        Class, Log, Reader,
        conformance::commit,
        faulty::{Fate, Faulty, Plan},
        memory,
        mutation::{Mutation, plant},
    };

    /// A log with a hole, and a reader that stands behind it.
    async fn hole() -> (Log, Reader) {
        let log = memory::init(2, Class::Open);
        let process = Faulty::new(&log, Plan::default());
        let mut writer = process.log().claim(0, |_| Ok(())).await.unwrap();
        process.script([Fate::Lose]);
        let lost = writer.append(commit(1)).unwrap();
        let orphan = writer.append(commit(2)).unwrap();
        assert!(lost.await.is_err() && orphan.await.is_err());
        let mut reader = log.reader(0, None).unwrap();
        while reader.skipped().orphans == 0 {
            reader.next(10).await.unwrap();
        }
        (log, reader)
    }

    #[tokio::test(start_paused = true)]
    async fn a_hole_that_nobody_claims_behind_is_overdue_until_somebody_does() {
        let (log, mut reader) = hole().await;
        advance(CLAIMED_WITHIN - Duration::from_millis(1)).await;
        assert_eq!(log.partitions_with_a_hole(), [0_u16; 0]);
        advance(Duration::from_millis(1)).await;
        assert_eq!(log.partitions_with_a_hole(), [0]);
        log.claim(0, |_| Ok(())).await.unwrap();
        reader.next(10).await.unwrap();
        assert_eq!(log.partitions_with_a_hole(), [0_u16; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_gone_knows_of_no_hole() {
        let (log, reader) = hole().await;
        drop(reader);
        advance(CLAIMED_WITHIN).await;
        assert_eq!(log.partitions_with_a_hole(), [0_u16; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_overlooks_orphans_is_found_out() {
        let _planted = plant(&[Mutation::OverlookOrphans]);
        let (log, _reader) = hole().await;
        advance(CLAIMED_WITHIN).await;
        assert_eq!(log.partitions_with_a_hole(), [0_u16; 0], "the planted bug was not there");
    }
}
