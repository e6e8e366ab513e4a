//! Whether the rows of a partition that other nodes fold stand still although the log goes on: whoever folds it may have
//! stopped for good, or be gone, and nobody would take its rows for old.
use std::time::Duration;

use event_log::{Checkpoint, Log, Position};
use tokio::{sync::watch, time::sleep};

use crate::{Progress, error::chain};

/// So long nothing is asked, then again and again; and so long rows may stand behind a record that was seen: longer than
/// it takes to notice that a node is gone, as nodes are set up by default.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Where the rows of a partition stand that other nodes fold.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Stands {
    /// This node folds it, or nobody looked yet.
    Unknown,
    /// The table that is furthest behind stands here; at the beginning without a checkpoint.
    At(Option<Checkpoint>),
}

/// Looks out until nobody says any more where the rows stand.
pub(crate) async fn look_out(
    log: Log,
    progress: Progress,
    partition: u16,
    mut stands: watch::Receiver<Stands>,
    patience: Duration,
) {
    loop {
        let standing = *stands.borrow_and_update();
        let reason = tokio::select! {
            biased;
            changed = stands.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            reason = why(&log, &progress, partition, standing, patience) => reason,
        };
        tracing::error!(
            log.partition = partition,
            "The read models of partition {partition} stand still: {reason}"
        );
        progress.set_still(partition, Some(reason));
        if stands.changed().await.is_err() {
            return;
        }
        progress.set_still(partition, None);
    }
}

/// Why rows that stand there are not current; never returns while they are.
async fn why(log: &Log, progress: &Progress, partition: u16, standing: Stands, patience: Duration) -> String {
    let Stands::At(from) = standing else { return std::future::pending().await };
    let mut seen = from.map_or(Position::START, |from| from.position);
    loop {
        // Of a partition that is folded nothing is asked.
        sleep(patience).await;
        match look_behind(log, partition, from, seen).await {
            Ok(Behind::Nothing { from, to }) => {
                progress.note_nothing_between(partition, from, to);
                seen = to;
            }
            Ok(Behind::Record) => {
                sleep(patience).await;
                return format!("nobody folds what follows in partition {partition} of the log");
            }
            // A log that does not answer is told of elsewhere.
            Err(event_log::Error::Storage { .. }) => {}
            Err(error) => return chain(&error),
        }
    }
}

enum Behind {
    /// Only what every reader skips.
    Nothing {
        from: Position,
        to: Position,
    },
    Record,
}

/// What the log holds behind a checkpoint. Only a log that does not end at `seen` is read.
async fn look_behind(
    log: &Log,
    partition: u16,
    from: Option<Checkpoint>,
    seen: Position,
) -> Result<Behind, event_log::Error> {
    if log.end_now(partition).await? == seen {
        return Ok(Behind::Nothing { from: seen, to: seen });
    }
    let mut reader = log.reader(partition, from)?;
    let is_end = reader.next(1).await?.records.is_empty();
    let (from, to) = (reader.position(), reader.read_position());
    Ok(if is_end { Behind::Nothing { from, to } } else { Behind::Record })
}

#[cfg(test)]
mod tests {
    use event_log::{Class, NewRecord, Writer};

    use super::*;

    struct Watched {
        log: Log,
        writer: Writer,
        progress: Progress,
        stands: watch::Sender<Stands>,
    }

    impl Watched {
        async fn begin() -> Self {
            let log = event_log::memory::init(1, Class::Conditional);
            let writer = log.claim(0, |_| Ok(())).await.unwrap();
            let progress = Progress::new(log.clone(), crate::all().iter().map(|line| line.name).collect());
            let (stands, heard) = watch::channel(Stands::Unknown);
            tokio::spawn(look_out(log.clone(), progress.clone(), 0, heard, PATIENCE));
            Self { log, writer, progress, stands }
        }

        async fn append(&mut self) {
            self.writer.append(NewRecord::barrier(0)).unwrap().await.unwrap();
        }

        /// All that is there is folded.
        async fn fold(&self) -> Checkpoint {
            let mut reader = self.log.reader(0, None).unwrap();
            while !reader.next(10).await.unwrap().records.is_empty() {}
            self.stands.send_replace(Stands::At(Some(reader.checkpoint())));
            reader.checkpoint()
        }

        fn is_still(&self) -> bool {
            self.progress.stands_still(0).is_some()
        }
    }

    /// The clock is the test's own. Catches: rows that nobody folds any more and that count as current for ever, and a
    /// quiet partition that counts as one of those.
    #[tokio::test(start_paused = true)]
    async fn rows_stand_still_only_if_a_record_is_not_folded_for_a_while() {
        let mut watched = Watched::begin().await;
        watched.fold().await;
        // It looks at whole multiples.
        sleep(PATIENCE * 21 / 2).await;
        assert!(!watched.is_still(), "nothing is to be folded");
        watched.append().await;
        sleep(PATIENCE).await;
        assert!(!watched.is_still(), "there was no time to fold it");
        sleep(PATIENCE).await;
        assert!(watched.is_still());
        watched.fold().await;
        sleep(PATIENCE / 2).await;
        assert!(!watched.is_still(), "it is folded");
        for _ in 0..10 {
            watched.append().await;
            sleep(PATIENCE / 2).await;
            watched.fold().await;
            assert!(!watched.is_still(), "a step behind is no standstill");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rows_of_what_the_log_lost_stand_still() {
        let watched = Watched::begin().await;
        let mut lost = watched.fold().await;
        lost.position = Position::new(lost.position.get() + 1);
        watched.stands.send_replace(Stands::At(Some(lost)));
        sleep(PATIENCE * 2).await;
        assert!(watched.is_still());
    }
}
