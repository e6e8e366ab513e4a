//! One connection that reads a partition from a position on, and what it read that nobody took yet.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::select;

use super::{
    Store, certificate,
    client::{self, Watch, Watching},
    edges, envelope, offset, position,
};
use crate::{
    backend::{Last, Stored},
    error::Fault,
    ids::Position,
};

const ENDS_WITHIN: Duration = Duration::from_secs(3);
/// What one fetch gives at most, unless a single record is larger.
const FETCHED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A consumer that began *at* the last record read, so that the first thing it reads shows whether that is still there.
pub(super) struct Reading {
    store: Arc<Store>,
    partition: u16,
    /// Taken only when it ends.
    consumer: Option<Arc<StreamConsumer<Watching>>>,
    watch: Arc<Watch>,
    progress: Progress,
    /// What went wrong last.
    error: Option<KafkaError>,
    /// What is ahead stands behind this position.
    behind: Position,
    ahead: VecDeque<Stored>,
    /// It came to the end once. From then on the next record is asked for before it is there, and what is not ready is
    /// not there.
    is_live: bool,
}

/// How far it is with the record that it began at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Connecting,
    /// The first thing heard was not that record.
    Missing,
    /// That record was seen, and nothing happened since.
    UnderWay,
}

impl Reading {
    pub(super) fn begin(store: &Arc<Store>, partition: u16, at: Position) -> Result<Self, Fault> {
        let failed = |source: KafkaError| Fault::new("read from Kafka", source);
        let topic = &store.address.topic;
        let watch = Arc::new(Watch::new(topic, i32::from(partition)));
        #[cfg(test)]
        store.watches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Arc::downgrade(&watch));
        let consumer: StreamConsumer<Watching> =
            client::watched(&store.address).create_with_context(Watching(watch.clone())).map_err(failed)?;
        let mut begin = TopicPartitionList::new();
        begin
            .add_partition_offset(topic, i32::from(partition), Offset::Offset(offset(at)))
            .map_err(failed)?;
        consumer.assign(&begin).map_err(failed)?;
        Ok(Self {
            store: store.clone(),
            partition,
            consumer: Some(Arc::new(consumer)),
            watch,
            progress: Progress::Connecting,
            error: None,
            behind: at,
            ahead: VecDeque::new(),
            is_live: false,
        })
    }

    /// Whether it vouches for everything up to `after` and can go on from there.
    pub(super) fn goes_on_behind(&self, after: Position) -> bool {
        let has_read = || self.ahead.binary_search_by_key(&after, |stored| stored.position).is_ok();
        !self.watch.is_in_doubt() && (self.behind == after || has_read())
    }

    /// Lets go of what stands up to `after`.
    pub(super) fn let_go(&mut self, after: Position) {
        while self.ahead.front().is_some_and(|stored| stored.position <= after) {
            self.behind = self.ahead.pop_front().map_or(self.behind, |stored| stored.position);
        }
    }

    /// Whether the record that it began at was seen.
    pub(super) fn is_under_way(&self) -> bool {
        self.progress == Progress::UnderWay
    }

    /// Waits for the record that it began at; nothing if this connection will not tell. Cancelling it loses nothing.
    ///
    /// That a record seems to be absent is held against the ends that the leader gives: right after an election a leader
    /// may not yet show all that is confirmed.
    pub(super) async fn first(&mut self, at: Position) -> Option<Last> {
        while self.progress == Progress::Connecting {
            match self.consumer.as_ref()?.recv().await {
                Ok(message) if position(message.offset()) == at => {
                    let last = self.seen(at, &message);
                    drop(message);
                    self.progress = Progress::UnderWay;
                    return Some(last);
                }
                Ok(_) | Err(KafkaError::PartitionEOF(_)) => self.progress = Progress::Missing,
                Err(error) if is_out_of_range(&error) => self.progress = Progress::Missing,
                // It connects again by itself, and has nothing to vouch for yet.
                Err(error) => self.error = Some(error),
            }
        }
        let (begin, end) = self.ends().await?;
        let absent = if at > Position::START { Last::Absent } else { Last::OtherLog };
        (!(begin..end).contains(&offset(at))).then_some(absent)
    }

    fn seen(&self, at: Position, message: &BorrowedMessage<'_>) -> Last {
        if at > Position::START {
            Last::Bytes(envelope::bytes_of(message))
        } else if certificate::is_of(message, &self.store.genesis, self.partition) {
            Last::Unbroken
        } else {
            Last::OtherLog
        }
    }

    /// Why there is no answer.
    pub(super) fn fault(&self) -> Fault {
        let action = "read from Kafka";
        if let Some(error) = &self.error {
            return Fault::new(action, error.clone());
        }
        // Right after an election a leader may not show all that is confirmed; later it is what another reader knows of.
        let shows_less = self.is_live && self.store.ends.get(self.partition) > self.behind;
        Fault::new(
            action,
            if shows_less { "the log ends before what was read of it" } else { "no broker answered in time" },
        )
    }

    /// The first offset and the one behind the last, as the leader gives them on the connection that missed a record: it
    /// waits for none meanwhile.
    async fn ends(&self) -> Option<(i64, i64)> {
        let topic = &self.store.address.topic;
        edges::ask(self.consumer.clone()?, topic, self.partition, ENDS_WITHIN).await.ok()
    }

    /// At most so many records behind `after`, without waiting; none also means that there is a reason to doubt, or to
    /// wait.
    pub(super) fn take(&mut self, max_records: usize) -> Vec<Stored> {
        let mut bytes: usize = self.ahead.iter().map(|stored| stored.bytes.len()).sum();
        let Some(consumer) = self.consumer.clone() else { return Vec::new() };
        while self.ahead.len() < max_records && bytes < FETCHED_BYTES_MAX && !self.watch.is_in_doubt() {
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(news) = pin!(consumer.recv()).poll(&mut context) else { break };
            bytes += news.as_ref().map_or(0, BorrowedMessage::payload_len);
            self.take_in(news);
        }
        self.ahead.iter().take(max_records).cloned().collect()
    }

    /// Waits until there is something behind what was taken, or nothing for sure, or a reason to doubt. Cancelling it loses
    /// nothing.
    pub(super) async fn more_or_end(&mut self) {
        // The client itself says so only after it has waited for more.
        if !self.is_live {
            let Some(consumer) = self.consumer.clone() else { return };
            let edges = select! {
                biased;
                news = consumer.recv() => return self.take_in(news),
                edges = self.store.edges.of(self.partition, ENDS_WITHIN) => edges,
            };
            let has_ended = |(_, end)| end <= offset(self.behind).saturating_add(1);
            self.is_live = edges.is_ok_and(has_ended);
            if self.is_live {
                return;
            }
        }
        self.wait().await;
    }

    /// Waits until there is something behind what was taken, or a reason to doubt. Cancelling it loses nothing.
    pub(super) async fn wait(&mut self) {
        let Some(consumer) = self.consumer.clone() else { return };
        let news = consumer.recv().await;
        self.take_in(news);
    }

    fn take_in(&mut self, news: Result<BorrowedMessage<'_>, KafkaError>) {
        match stored(news.as_ref()) {
            Some(stored) => self.put(stored),
            None => self.hear(news.err()),
        }
    }

    /// Whether nothing is known to stand behind what was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.is_live && self.ahead.is_empty() && self.store.ends.get(self.partition) <= self.behind
    }

    /// Whether something behind `after` was read.
    pub(super) fn has_more(&self, after: Position) -> bool {
        self.ahead.back().is_some_and(|stored| stored.position > after)
    }

    /// Whether an error or a change of the connection was seen.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.watch.is_in_doubt()
    }

    /// Takes in what is no record.
    fn hear(&mut self, error: Option<KafkaError>) {
        match error {
            Some(KafkaError::PartitionEOF(_)) => self.is_live = true,
            Some(error) if !concerns_groups_only(&error) => {
                self.error = Some(error);
                self.watch.doubt();
            }
            _ => {}
        }
    }

    fn put(&mut self, stored: Stored) {
        self.store.ends.advance(self.partition, stored.position);
        self.ahead.push_back(stored);
    }
}

impl Drop for Reading {
    /// The client waits for its threads, which no task may do.
    fn drop(&mut self) {
        client::end(self.consumer.take());
    }
}

fn stored(news: Result<&BorrowedMessage<'_>, &KafkaError>) -> Option<Stored> {
    let message = news.ok()?;
    let bytes: Bytes = envelope::bytes_of(message);
    Some(Stored { position: position(message.offset()), bytes })
}

fn is_out_of_range(error: &KafkaError) -> bool {
    let Some(code) = error.rdkafka_error_code() else { return false };
    [RDKafkaErrorCode::OffsetOutOfRange, RDKafkaErrorCode::AutoOffsetReset, RDKafkaErrorCode::LogTruncation]
        .contains(&code)
}

/// No reader is in a group, but the client looks for one.
fn concerns_groups_only(error: &KafkaError) -> bool {
    let Some(code) = error.rdkafka_error_code() else { return false };
    [
        RDKafkaErrorCode::CoordinatorNotAvailable,
        RDKafkaErrorCode::CoordinatorLoadInProgress,
        RDKafkaErrorCode::NotCoordinator,
        RDKafkaErrorCode::GroupAuthorizationFailed,
    ]
    .contains(&code)
}
