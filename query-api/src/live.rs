//! The live feed of one consumer: what its shop's commands changed or were refused, as soon as the read models show it.
//!
//! It reads the audit log behind the consumer's own place and up to what all projections have admitted, so nothing can
//! be left out, and a consumer that comes back goes on where it was. It holds one page; a consumer that was at the end
//! and then falls behind by more than a page is told to start over, and let go.
mod place;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use event_schemas::StreamType;
use privacy::MerchantScope;
use projections::audit_log::{self, Attempt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::Reads;
pub(crate) use place::{NotAPlace, Place};

/// Consumers at once.
const CONSUMERS_MAX: usize = 1_000;
/// What is held for one consumer, in messages.
const PAGE_MAX: usize = 500;
/// A pause after news, so that a busy log is asked for many records at once; as long again for every so many consumers,
/// so that all of them together leave the read store to others.
const PAUSE: Duration = Duration::from_millis(50);
const CONSUMERS_PER_PAUSE: usize = 20;

/// The consumers of the live feed: how many there may be, and when they all end. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    seats: Arc<Semaphore>,
    consumers_max: usize,
    closed: watch::Sender<bool>,
}

impl Default for Live {
    fn default() -> Self {
        Self::for_at_most(CONSUMERS_MAX)
    }
}

impl Live {
    /// Room for this many consumers at once.
    #[must_use]
    pub fn for_at_most(consumers_max: usize) -> Self {
        let seats = Arc::new(Semaphore::new(consumers_max));
        Self { seats, consumers_max, closed: watch::Sender::new(false) }
    }

    fn pause(&self) -> Duration {
        let consumers = self.consumers_max.saturating_sub(self.seats.available_permits());
        let pauses = u32::try_from(1 + consumers / CONSUMERS_PER_PAUSE).unwrap_or(u32::MAX);
        PAUSE.saturating_mul(pauses)
    }

    /// Ends all feeds, for ever: a server that stops waits for its open answers.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }
}

/// What a consumer is told.
pub(crate) enum Message {
    /// The feed begins.
    Open,
    /// One command.
    Happened(Box<Attempt>),
    /// Read the figures anew and begin again; nothing follows.
    Resync(&'static str),
}

/// One consumer's feed.
pub(crate) struct Feed {
    reads: Arc<Reads>,
    scope: MerchantScope,
    streams: Vec<StreamType>,
    /// Where the consumer is once it has all that was handed out.
    place: Place,
    page: VecDeque<Attempt>,
    /// Where it is once the page is handed out, if the page is all there was.
    behind_page: Option<Place>,
    stage: Stage,
    steps: watch::Receiver<()>,
    closed: watch::Receiver<bool>,
    _seat: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    /// On the way to the end, however far it is.
    CatchingUp,
    /// It was at the end.
    Live,
    Ended,
}

impl Feed {
    /// A feed from `place` on; nothing if there are too many consumers.
    pub(crate) fn open(
        reads: Arc<Reads>,
        scope: MerchantScope,
        streams: Vec<StreamType>,
        place: Place,
    ) -> Option<Self> {
        let seat = Arc::clone(&reads.live.seats).try_acquire_owned().ok()?;
        let (steps, closed) = (reads.progress.steps(), reads.live.closed.subscribe());
        let (page, behind_page, stage) = (VecDeque::new(), None, Stage::New);
        Some(Self { reads, scope, streams, place, page, behind_page, stage, steps, closed, _seat: seat })
    }

    /// The next message and the place behind it; nothing once the feed has ended.
    pub(crate) async fn next(&mut self) -> Option<(Message, Place)> {
        let message = match self.stage {
            Stage::New => {
                self.stage = Stage::CatchingUp;
                Message::Open
            }
            Stage::Ended => return None,
            Stage::CatchingUp | Stage::Live => self.happened().await?,
        };
        Some((message, self.place.clone()))
    }

    async fn happened(&mut self) -> Option<Message> {
        loop {
            if let Some(row) = self.page.pop_front() {
                self.place.reach(row.part, row.position);
                if self.page.is_empty() {
                    self.place = self.behind_page.take().unwrap_or_else(|| self.place.clone());
                }
                return Some(Message::Happened(Box::new(row)));
            }
            if *self.closed.borrow() {
                return None;
            }
            let progress = &self.reads.progress;
            if progress.stopped().or_else(|| progress.stands_still_elsewhere()).is_some() {
                return self.resync("projections-stopped");
            }
            self.steps.mark_unchanged();
            let shown = self.reads.place();
            let stretches = shown.beyond(&self.place);
            if stretches.is_empty() {
                self.stage = Stage::Live;
                self.news().await;
                continue;
            }
            let found =
                audit_log::happened(&self.reads.store, self.scope, &self.streams, stretches, PAGE_MAX).await;
            match found {
                Ok(rows) if rows.len() >= PAGE_MAX && self.stage == Stage::Live => {
                    return self.resync("too-slow");
                }
                Ok(rows) if rows.len() >= PAGE_MAX => self.page = rows.into(),
                Ok(rows) => {
                    self.stage = Stage::Live;
                    self.page = rows.into();
                    if self.page.is_empty() {
                        self.place = shown;
                    } else {
                        self.behind_page = Some(shown);
                    }
                }
                Err(error) => {
                    tracing::error!("The live feed could not read the audit log: {error}");
                    return self.resync("unavailable");
                }
            }
        }
    }

    fn resync(&mut self, reason: &'static str) -> Option<Message> {
        self.stage = Stage::Ended;
        Some(Message::Resync(reason))
    }

    /// Waits for a step of the projections, or for the end.
    async fn news(&mut self) {
        let stepped = async {
            // An error means that the projections are gone; the end is told by `closed`.
            if self.steps.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(self.reads.live.pause()).await;
        };
        tokio::select! {
            () = stepped => {}
            _ = self.closed.wait_for(|closed| *closed) => {}
        }
    }
}
