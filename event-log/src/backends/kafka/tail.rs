//! Reads one partition for one reader: one connection as long as nothing happens to it, then another that looks first
//! whether what was read last is still there.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Store, reading::Reading};
use crate::{
    backend::{Asked, Fetched, Last, Stored, Tail},
    error::Fault,
    ids::Position,
};

/// After so long without a word from the brokers a fetch fails; it may be repeated.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Between two connections.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct KafkaTail {
    store: Arc<Store>,
    partition: u16,
    reading: Option<Reading>,
    /// What the connection found where it began, until a fetch told it: one that is cancelled does not.
    seen: Option<Last>,
}

impl KafkaTail {
    pub(super) fn new(store: Arc<Store>, partition: u16) -> Self {
        Self { store, partition, reading: None, seen: None }
    }

    /// Makes sure of a connection that goes on behind `after`, and that what stands there is seen. Cancelling it loses
    /// nothing.
    async fn stand_at(&mut self, after: Position, deadline: Instant) -> Result<(), Fault> {
        loop {
            match &mut self.reading {
                Some(reading) if reading.goes_on_behind(after) => {
                    if reading.is_under_way() {
                        reading.let_go(after);
                        return Ok(());
                    }
                    match timeout_at(deadline, reading.first(after)).await {
                        Ok(Some(last)) => {
                            self.seen = Some(last);
                            return Ok(());
                        }
                        Ok(None) => self.reading = None,
                        Err(_) => return Err(reading.fault()),
                    }
                    sleep(PAUSE).await;
                }
                _ => {
                    self.seen = None;
                    self.reading = Some(Reading::begin(&self.store, self.partition, after)?);
                }
            }
        }
    }

    fn told(&mut self, records: Vec<Stored>) -> Fetched {
        Fetched { last: self.seen.take().unwrap_or(Last::Unbroken), records, head: None }
    }

    async fn fetched(&mut self, after: Position, max_records: usize) -> Result<Fetched, Fault> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            self.stand_at(after, deadline).await?;
            let Some(reading) = &mut self.reading else { continue };
            if max_records == 0 || !reading.is_under_way() {
                return Ok(self.told(Vec::new()));
            }
            loop {
                let records = reading.take(max_records);
                if !records.is_empty() {
                    return Ok(self.told(records));
                }
                if reading.is_in_doubt() {
                    break;
                }
                if reading.is_at_end() {
                    return Ok(self.told(records));
                }
                if timeout_at(deadline, reading.more_or_end()).await.is_err() {
                    let fault = reading.fault();
                    self.reading = None;
                    return Err(fault);
                }
            }
        }
    }
}

#[async_trait]
impl Tail for KafkaTail {
    async fn fetch(&mut self, after: Position, max_records: usize) -> Result<Fetched, Fault> {
        let fetched = self.fetched(after, max_records).await;
        let heard = fetched.as_ref().map(drop).map_err(|fault| fault as &dyn std::fmt::Display);
        self.store.ends.heard(Asked::Read, heard);
        fetched
    }

    async fn changed(&mut self, after: Position) -> Result<(), Fault> {
        loop {
            match &mut self.reading {
                Some(reading)
                    if self.seen.is_none()
                        && reading.goes_on_behind(after)
                        && reading.is_under_way()
                        && !reading.has_more(after)
                        && self.store.ends.get(self.partition) <= after =>
                {
                    reading.wait().await;
                }
                // The next fetch connects and looks.
                _ => return Ok(()),
            }
        }
    }
}
