//! Saves the state in the background: rounds that begin, are packed a little at a time, and are written when all that was
//! on its way is admitted. No answer ever waits for it.
use std::time::Duration;

use event_log::Covering;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{sync::oneshot, time::Instant};

use super::{mailbox::Saving, partition::Partition, snapshots::SnapshotError};
use crate::commands::Unavailable;

/// A round begins after this time, if anything changed, and sooner only if memory is short: in a busy partition each round
/// writes most of what the one before did, and what a start has to read instead is read in about a second.
const ROUND_EVERY: Duration = Duration::from_secs(5);
/// Rounds are under way for at most one part in so many of the time, so that commands have the processors ...
const ROUND_PART: u32 = 10;
/// ... but one begins after this time at the latest, for the sake of whoever has to start.
const ROUND_EVERY_MAX: Duration = Duration::from_secs(15);
/// So many streams are packed between two looks at the mailbox.
const PACK_AT_ONCE: usize = 64;

/// How far a round is.
enum Stage {
    Idle,
    /// Records that were sent before it began are on their way.
    Marking(oneshot::Receiver<Covering>),
    Marked(Covering),
    Writing(BoxFuture<'static, Result<(), SnapshotError>>),
}

/// What a round waited for.
pub(super) enum News {
    Marked(Option<Covering>),
    Written(Result<(), SnapshotError>),
}

pub(super) struct Saver {
    stage: Stage,
    begun: Instant,
    /// How long after that the next one begins.
    every: Duration,
    /// The last round failed, so the next one waits for its time.
    has_failed: bool,
    /// Packed all of the round.
    is_packed: bool,
    /// Who wants the next round, and who waits for this one.
    wanted: Vec<Saving>,
    served: Vec<Saving>,
    #[cfg(test)]
    planted: Option<super::Planted>,
}

impl Saver {
    #[cfg(test)]
    pub(super) fn plant(&mut self, bug: Option<super::Planted>) {
        self.planted = bug;
    }

    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Idle,
            begun: Instant::now(),
            every: ROUND_EVERY,
            has_failed: false,
            is_packed: true,
            wanted: Vec::new(),
            served: Vec::new(),
            #[cfg(test)]
            planted: None,
        }
    }

    pub(super) fn want(&mut self, wishes: impl IntoIterator<Item = Saving>) {
        self.wanted.extend(wishes);
    }

    /// Whether there is something to pack, which waits for nobody.
    pub(super) fn has_work(&self) -> bool {
        !self.is_packed
    }

    fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// When the next round begins if nothing else asks for it.
    pub(super) fn next_round(&self, has_changes: bool) -> Option<Instant> {
        (has_changes && self.is_idle()).then(|| self.begun + self.every)
    }

    /// Waits for what the round waits for; for ever if that is nothing. Loses nothing if dropped: whoever gets the news
    /// hands it to [`Self::take`].
    pub(super) async fn news(&mut self) -> News {
        match &mut self.stage {
            Stage::Marking(mark) => News::Marked(mark.await.ok()),
            Stage::Writing(write) => News::Written(write.await),
            Stage::Idle | Stage::Marked(_) => std::future::pending().await,
        }
    }

    pub(super) fn take(&mut self, partition: &mut Partition, news: News) {
        match news {
            News::Marked(Some(covering)) => self.stage = Stage::Marked(covering),
            News::Marked(None) => self.end(partition, &Err(Unavailable::NotOwned)),
            News::Written(Ok(())) => {
                metrics::counter!("snapshot_rounds_total").increment(1);
                let number = partition.number().to_string();
                let saved_at = partition.now().micros() / 1_000_000;
                metrics::gauge!("snapshot_timestamp_seconds", "partition" => number)
                    .set(u32::try_from(saved_at).unwrap_or(u32::MAX));
                self.end(partition, &Ok(()));
            }
            News::Written(Err(error)) => {
                metrics::counter!("snapshot_failures_total").increment(1);
                tracing::warn!(
                    partition = partition.number(),
                    error = &error as &dyn std::error::Error,
                    "The state of partition {} could not be saved; it is tried again",
                    partition.number()
                );
                self.end(partition, &Err(Unavailable::fault(error)));
            }
        }
    }

    fn end(&mut self, partition: &mut Partition, saved: &Result<(), Unavailable>) {
        partition.folded.round_ended(saved.is_ok());
        self.has_failed = saved.is_err();
        self.stage = Stage::Idle;
        self.every = if saved.is_ok() { next_after(self.begun.elapsed()) } else { ROUND_EVERY };
        self.is_packed = true;
        self.served.drain(..).for_each(|saving| saving.finish(saved.clone()));
    }

    /// Does what can be done without waiting. `in_flight` records are on their way.
    pub(super) fn step(&mut self, partition: &mut Partition, in_flight: usize) {
        let is_pressed = !partition.folded.cool();
        if partition.folded.kept().is_none() {
            self.wanted.drain(..).for_each(|saving| saving.finish(Ok(())));
            return;
        }
        if self.is_idle() && self.should_begin(partition, is_pressed) {
            self.served.append(&mut self.wanted);
            self.begun = Instant::now();
            partition.folded.begin_round(in_flight);
            self.is_packed = false;
            self.stage = Stage::Marking(partition.covering_of_sent());
            #[cfg(test)]
            if self.planted == Some(super::Planted::SpeculativeSnapshot) {
                partition.folded.await_nothing();
                self.stage = partition.covering().map_or(Stage::Idle, Stage::Marked);
            }
            self.report(partition);
        }
        if !self.is_packed {
            self.is_packed = partition.folded.pack(PACK_AT_ONCE);
        }
        if self.is_packed
            && partition.folded.is_settled()
            && let Stage::Marked(covering) = &self.stage
        {
            let cover = partition.folded.cover(covering.clone());
            let rows = partition.folded.rows();
            #[cfg(test)]
            let rows = match self.planted {
                Some(super::Planted::ForgottenRows) => Vec::new(),
                _ => rows,
            };
            if let Some(kept) = partition.folded.kept() {
                self.stage = Stage::Writing(kept.write(rows, cover).boxed());
            }
        }
    }

    fn should_begin(&self, partition: &Partition, is_pressed: bool) -> bool {
        let is_time = self.begun.elapsed() >= self.every || is_pressed && !self.has_failed;
        !self.wanted.is_empty() || (partition.folded.unsaved_records() > 0 && is_time)
    }

    fn report(&self, partition: &Partition) {
        let number = partition.number().to_string();
        let (live, packed, cold) = partition.folded.count();
        for (tier, streams) in [("live", live as u64), ("packed", packed as u64), ("cold", cold)] {
            metrics::gauge!("state_streams", "partition" => number.clone(), "tier" => tier)
                .set(u32::try_from(streams).unwrap_or(u32::MAX));
        }
    }
}

/// When the next round begins, counted from the beginning of one that took this long.
fn next_after(took: Duration) -> Duration {
    took.saturating_mul(ROUND_PART).clamp(ROUND_EVERY, ROUND_EVERY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_round_puts_off_the_next_one_but_not_for_long() {
        let [short, long, endless] = [100, 800, 60_000].map(Duration::from_millis);
        assert_eq!(next_after(short), ROUND_EVERY);
        assert_eq!(next_after(long), Duration::from_secs(8));
        assert_eq!(next_after(endless), ROUND_EVERY_MAX);
    }
}
