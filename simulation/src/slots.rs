//! Readers of the log that never wake at the same millisecond, so that nothing but the seed decides who goes first.
//!
//! The runtime wakes those who wait for one change in an order of its own, which no seed can set.
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use event_log::{Backend, Ends, Fault, Fetched, Genesis, Position, Producer, Tail};
use tokio::time::{Instant, sleep_until};

/// As many readers may wait at once; a wake-up is at most this many milliseconds late.
const SLOTS: u64 = 47;

/// A backend whose readers have slots.
pub(crate) struct Slotted {
    inner: Arc<dyn Backend>,
    taken: Taken,
    born: Instant,
}

type Taken = Arc<Mutex<BTreeSet<u64>>>;

impl Slotted {
    pub(crate) fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, taken: Taken::default(), born: Instant::now() }
    }
}

struct SlottedTail {
    inner: Box<dyn Tail>,
    slot: u64,
    taken: Taken,
    born: Instant,
}

#[async_trait]
impl Backend for Slotted {
    fn genesis(&self) -> &Genesis {
        self.inner.genesis()
    }

    fn ends(&self) -> &Ends {
        self.inner.ends()
    }

    async fn end_now(&self, partition: u16) -> Result<Position, Fault> {
        self.inner.end_now(partition).await
    }

    fn tail(&self, partition: u16) -> Box<dyn Tail> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (0..SLOTS).find(|slot| !taken.contains(slot)).expect("a slot for every reader");
        taken.insert(slot);
        let (inner, taken) = (self.inner.tail(partition), Arc::clone(&self.taken));
        Box::new(SlottedTail { inner, slot, taken, born: self.born })
    }

    async fn producer(&self, partition: u16) -> Result<Option<Box<dyn Producer>>, Fault> {
        self.inner.producer(partition).await
    }
}

#[async_trait]
impl Tail for SlottedTail {
    async fn fetch(&mut self, after: Position, max_records: usize) -> Result<Fetched, Fault> {
        self.inner.fetch(after, max_records).await
    }

    async fn changed(&mut self, after: Position) -> Result<(), Fault> {
        self.inner.changed(after).await?;
        let age_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due_ms = age_ms - age_ms % SLOTS + self.slot;
        let due_ms = if due_ms > age_ms { due_ms } else { due_ms + SLOTS };
        sleep_until(self.born + Duration::from_millis(due_ms)).await;
        Ok(())
    }
}

impl Drop for SlottedTail {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.slot);
    }
}
