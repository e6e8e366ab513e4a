//! How every client is set up, and what its threads tell.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{Address, security};
use crate::frame::{BODY_LEN_MAX, FRAME_LEN};

/// Room for the longest record with its headers, and for a batch that holds it.
pub(super) const MESSAGE_BYTES_MAX: usize = BODY_LEN_MAX + FRAME_LEN + 512 * 1024;

/// What one reader holds that nobody took yet, in KiB; a fetch may come on top.
const QUEUED_KIB_MAX: usize = 8 * 1024;
/// What one fetch brings, unless a single batch is larger.
const FETCH_BYTES: usize = 4 * 1024 * 1024;
/// How often the client says who leads a partition.
const STATISTICS_MS: &str = "1000";
/// How long a record waits for company: about as long as it takes to hand over what 64 callers sent. Less than 1 ms.
pub(super) const LINGER: Duration = Duration::from_micros(30);
/// A record that is not stored by then is given up; the writer doubts by itself at about the same time.
const MESSAGE_TIMEOUT_MS: &str = "10000";

fn any(address: &Address) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &address.brokers)
        .set("client.id", "loyalnest")
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    address.security.apply(&mut config);
    config
}

/// For what administers a topic.
pub(super) fn admin(address: &Address) -> ClientConfig {
    any(address)
}

/// For what writes: nothing is lost, doubled or re-ordered by the client itself.
pub(super) fn producer(address: &Address) -> ClientConfig {
    let mut config = any(address);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", format!("0.{:03}", LINGER.subsec_micros()))
        .set("message.timeout.ms", MESSAGE_TIMEOUT_MS)
        .set("compression.type", "none");
    config
}

/// For what reads. The group is a name without which the client assigns nothing; nobody ever joins it.
pub(super) fn consumer(address: &Address) -> ClientConfig {
    let mut config = any(address);
    config
        .set("group.id", "loyalnest-readers")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_uncommitted")
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", QUEUED_KIB_MAX.to_string())
        .set("fetch.message.max.bytes", FETCH_BYTES.to_string())
        .set("fetch.max.bytes", MESSAGE_BYTES_MAX.max(FETCH_BYTES).to_string())
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.error.backoff.ms", "50");
    config
}

/// A consumer's configuration whose context hears who leads its partition.
pub(super) fn watched(address: &Address) -> ClientConfig {
    let mut config = consumer(address);
    config.set("statistics.interval.ms", STATISTICS_MS);
    config
}

pub(super) fn forward(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!("Kafka's client: {facility}: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!("Kafka's client: {facility}: {message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!("Kafka's client: {facility}: {message}"),
    }
}

/// Ends a client on a thread of its own: it waits for its own threads, and its last messages.
pub(super) fn end(client: impl Send + 'static) {
    let ending = std::thread::Builder::new().name("ending kafka client".to_owned());
    if let Err(error) = ending.spawn(move || drop(client)) {
        tracing::warn!(error = &error as &dyn std::error::Error, "A Kafka client was ended on a busy thread");
    }
}

/// For clients whose failures show in what was asked of them.
#[derive(Default)]
pub(super) struct Heard {
    last: Mutex<Option<BadNews>>,
}

/// Why nothing was answered.
#[derive(Clone)]
pub(super) struct BadNews {
    /// What to check about how both sides prove who they are, if that is where it fails.
    pub(super) check: Option<&'static str>,
    /// In the client's words.
    pub(super) reason: String,
}

impl Heard {
    /// The last bad news, for who wonders why nothing was answered. That somebody was not let in is told before that
    /// nobody is there.
    pub(super) fn last(&self) -> Option<BadNews> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let check = code.and_then(security::what_to_check);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = match code {
            Some(RDKafkaErrorCode::PartitionEOF) => false,
            // It follows the reason why each of them is.
            Some(RDKafkaErrorCode::AllBrokersDown) => last.is_none(),
            _ => check.is_some() || last.as_ref().is_none_or(|last| last.check.is_none()),
        };
        if is_news {
            *last = Some(BadNews { check, reason: reason.to_owned() });
        }
    }
}

impl ConsumerContext for Heard {}

/// Whether anything happened to a reader's connection since it read: an error, another leader, a new connection.
pub(super) struct Watch {
    topic: String,
    partition: i32,
    is_in_doubt: AtomicBool,
    /// Who led the partition, and how often it was connected to.
    leader: Mutex<Option<(i32, i64)>>,
}

impl Watch {
    pub(super) fn new(topic: &str, partition: i32) -> Self {
        let (topic, is_in_doubt) = (topic.to_owned(), AtomicBool::new(false));
        Self { topic, partition, is_in_doubt, leader: Mutex::default() }
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt.load(Ordering::Acquire)
    }

    pub(super) fn doubt(&self) {
        self.is_in_doubt.store(true, Ordering::Release);
    }

    fn look_at_leader(&self, statistics: &Statistics) {
        let partition =
            statistics.topics.get(&self.topic).and_then(|topic| topic.partitions.get(&self.partition));
        let Some(leader) = partition.map(|partition| partition.leader).filter(|leader| *leader >= 0) else {
            return;
        };
        let broker = statistics.brokers.values().find(|broker| broker.nodeid == leader);
        let now = (leader, broker.and_then(|broker| broker.connects).unwrap_or(0));
        let mut known = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if known.replace(now).is_some_and(|before| before != now) {
            self.doubt();
        }
    }
}

/// The context of a reader's consumer.
pub(super) struct Watching(pub(super) std::sync::Arc<Watch>);

impl ClientContext for Watching {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.look_at_leader(&statistics);
    }

    /// It comes to who reads as well, in its place between the messages.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Watching {}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the client says it, less what nobody here looks at.
    fn statistics(leader: i32, connects: i64) -> Statistics {
        let mut statistics = Statistics::default();
        let mut topic = rdkafka::statistics::Topic::default();
        topic.partitions.insert(3, rdkafka::statistics::Partition { leader, ..Default::default() });
        statistics.topics.insert("points".to_owned(), topic);
        for nodeid in [1, 2] {
            let connects = Some(if nodeid == leader { connects } else { 9 });
            let broker = rdkafka::statistics::Broker { nodeid, connects, ..Default::default() };
            statistics.brokers.insert(nodeid.to_string(), broker);
        }
        statistics
    }

    /// With only the leader compared the second half was seen to fail, with only the connections the first.
    #[test]
    fn another_leader_or_another_connection_raises_a_doubt() {
        for changed in [statistics(2, 4), statistics(1, 5)] {
            let watch = Watch::new("points", 3);
            for _ in 0..3 {
                watch.look_at_leader(&statistics(1, 4));
                watch.look_at_leader(&statistics(-1, 0));
            }
            assert!(!watch.is_in_doubt());
            watch.look_at_leader(&changed);
            assert!(watch.is_in_doubt());
        }
    }
}
