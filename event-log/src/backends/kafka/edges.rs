//! Where partitions begin and end, as their leaders say. Its client never fetches: a broker answers one request of a
//! connection after the other, so on a reader's own the question would wait behind a fetch that waits for records.

use std::{sync::Arc, time::Duration};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use tokio::task::spawn_blocking;

use super::client::{self, Heard};
use crate::error::Fault;

const ACTION: &str = "find the end of a partition";

/// The client of one opened log that asks.
pub(super) struct Edges {
    /// Taken only when it ends.
    consumer: Option<Arc<BaseConsumer<Heard>>>,
    topic: String,
}

impl Edges {
    pub(super) fn new(consumer: Arc<BaseConsumer<Heard>>, topic: &str) -> Self {
        Self { consumer: Some(consumer), topic: topic.to_owned() }
    }

    /// The first offset of a partition and the one behind its last.
    pub(super) async fn of(&self, partition: u16, within: Duration) -> Result<(i64, i64), Fault> {
        let consumer = self.consumer.clone().ok_or_else(|| Fault::new(ACTION, "its client ended"))?;
        let edges = ask(consumer.clone(), &self.topic, partition, within).await;
        // Nobody else takes the client's errors, which show in what was asked, or pass.
        while consumer.poll(Duration::ZERO).is_some() {}
        edges
    }
}

/// The same of a client that fetches.
pub(super) async fn ask<X, C>(
    consumer: Arc<C>,
    topic: &str,
    partition: u16,
    within: Duration,
) -> Result<(i64, i64), Fault>
where
    X: ConsumerContext,
    C: Consumer<X> + Send + Sync + 'static,
{
    let topic = topic.to_owned();
    let ask = move || consumer.fetch_watermarks(&topic, i32::from(partition), within);
    let asked = spawn_blocking(ask).await.map_err(|source| Fault::new(ACTION, source))?;
    asked.map_err(|source| Fault::new(ACTION, source))
}

impl Drop for Edges {
    /// The client waits for its threads, which no task may do.
    fn drop(&mut self) {
        client::end(self.consumer.take());
    }
}
