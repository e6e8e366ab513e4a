//! What owners announce: a small compacted topic beside the log's. It is a hint; the claims in the log are the truth.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};

use super::{
    Address,
    client::{self, Heard},
};
use crate::{
    error::{Error, Fault},
    ids::LogId,
};

const POLL: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const COMPACT: &str = "compact";

/// An owner's announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Number of the term in which it claimed.
    pub term: u64,
    /// Where it is, in words that the log does not read.
    pub place: String,
}

/// The announcements of one log, as far as this process heard.
pub struct Owners {
    topic: String,
    log: LogId,
    producer: ThreadedProducer<Announcing>,
    heard: Arc<Mutex<BTreeMap<u16, Announced>>>,
    is_over: Arc<AtomicBool>,
}

impl Owners {
    /// Opens the topic, or makes it, and follows it.
    ///
    /// # Errors
    /// [`Error::Unusable`] if there is another kind of topic in its place, [`Error::Storage`].
    pub async fn open(address: &Address, log: LogId) -> Result<Self, Error> {
        let topic = format!("{}.owners", address.topic);
        prepare(address, &topic).await?;
        let failed = |source: KafkaError| Fault::new("follow the announcements of owners", source);
        let producer = client::admin(address).create_with_context(Announcing).map_err(failed)?;
        let mut config = client::consumer(address);
        // The first announcements may be gone: later ones stand in their place.
        config.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Heard> = config.create_with_context(Heard::default()).map_err(failed)?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&topic, 0, Offset::Beginning).map_err(failed)?;
        consumer.assign(&from).map_err(failed)?;
        let (heard, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (hearing, over) = (Arc::clone(&heard), Arc::clone(&is_over));
        let thread = std::thread::Builder::new().name("kafka owners".to_owned());
        thread
            .spawn(move || follow(&consumer, log, &hearing, &over))
            .map_err(|source| Fault::new("start the thread of announcements", source))?;
        Ok(Self { topic, log, producer, heard, is_over })
    }

    /// The newest announcement for a partition.
    #[must_use]
    pub fn of(&self, partition: u16) -> Option<Announced> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).cloned()
    }

    /// Announces an owner. Best effort: what is lost is told by the failed asks of others.
    pub fn announce(&self, partition: u16, announced: &Announced) {
        hear(&self.heard, partition, announced.clone());
        let (key, value) = (key(self.log, partition), format!("{} {}", announced.term, announced.place));
        let record = BaseRecord::to(&self.topic).partition(0).key(&key).payload(&value);
        if let Err((error, _)) = self.producer.send(record) {
            tracing::warn!(
                partition,
                error = &error as &dyn std::error::Error,
                "The owner was not announced"
            );
        }
    }
}

impl Owners {
    /// Forgets all announcements, for a log that begins again with older terms. It may block for seconds.
    ///
    /// # Errors
    /// [`Error::Storage`] if the broker does not confirm it.
    pub fn forget(&self, partitions: u16) -> Result<(), Error> {
        let failed = |source: KafkaError| Fault::new("forget the owners", source);
        for partition in 0..partitions {
            let key = key(self.log, partition);
            let record = BaseRecord::<String, ()>::to(&self.topic).partition(0).key(&key);
            self.producer.send(record).map_err(|(error, _)| failed(error))?;
        }
        Ok(self.producer.flush(ANSWER_WITHIN).map_err(failed)?)
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
    }
}

/// Makes the topic if it is missing, and refuses one that forgets or keeps everything.
async fn prepare(address: &Address, topic: &str) -> Result<(), Error> {
    let unusable = |reason: String| Error::Unusable { place: format!("{address}.owners"), reason };
    let failed = |source: KafkaError| Fault::new("make the topic of owners", source);
    let admin: AdminClient<Heard> =
        client::admin(address).create_with_context(Heard::default()).map_err(failed)?;
    let options =
        AdminOptions::new().request_timeout(Some(ANSWER_WITHIN)).operation_timeout(Some(ANSWER_WITHIN));
    // As many copies as the brokers make by themselves: what is lost here is announced again.
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(-1)).set("cleanup.policy", COMPACT);
    let made = admin.create_topics([&new], &options).await.map_err(failed)?;
    match made.into_iter().next() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) | None => {}
        Some(Err((_, code))) => return Err(unusable(format!("the topic could not be made: {code}"))),
    }
    let described =
        admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await.map_err(failed)?;
    let policy = described
        .into_iter()
        .flatten()
        .find_map(|described| described.get("cleanup.policy").and_then(|entry| entry.value.clone()));
    match policy {
        Some(policy) if policy != COMPACT => {
            Err(unusable(format!("cleanup.policy is {policy}, but must be {COMPACT}")))
        }
        _ => Ok(()),
    }
}

fn follow(
    consumer: &BaseConsumer<Heard>,
    log: LogId,
    heard: &Mutex<BTreeMap<u16, Announced>>,
    is_over: &AtomicBool,
) {
    while !is_over.load(Ordering::Acquire) {
        // Errors pass, or show in asks that nobody answers.
        let Some(Ok(message)) = consumer.poll(POLL) else { continue };
        let text =
            |bytes: Option<&[u8]>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok().map(str::to_owned));
        let Some(key) = text(message.key()) else { continue };
        match text(message.payload()) {
            Some(value) => {
                if let Some((partition, announced)) = read(log, &key, &value) {
                    hear(heard, partition, announced);
                }
            }
            None => forget(heard, log, &key),
        }
    }
}

fn hear(heard: &Mutex<BTreeMap<u16, Announced>>, partition: u16, announced: Announced) {
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    let known = heard.entry(partition).or_insert_with(|| announced.clone());
    if known.term < announced.term {
        *known = announced;
    }
}

fn forget(heard: &Mutex<BTreeMap<u16, Announced>>, log: LogId, key: &str) {
    let of = key.split_once('/').filter(|(of, _)| *of == log.to_string());
    if let Some(partition) = of.and_then(|(_, partition)| partition.parse::<u16>().ok()) {
        heard.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }
}

fn key(log: LogId, partition: u16) -> String {
    format!("{log}/{partition}")
}

/// What an announcement of this log says.
fn read(log: LogId, key: &str, value: &str) -> Option<(u16, Announced)> {
    let (of, partition) = key.split_once('/')?;
    let (term, place) = value.split_once(' ')?;
    let announced = Announced { term: term.parse().ok()?, place: place.to_owned() };
    (of == log.to_string()).then_some((partition.parse().ok()?, announced))
}

/// Hears nothing of single announcements.
struct Announcing;

impl rdkafka::ClientContext for Announcing {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        client::forward(level, facility, message);
    }

    /// Errors pass, or show in asks that nobody answers.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl rdkafka::producer::ProducerContext for Announcing {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            tracing::warn!(error = error as &dyn std::error::Error, "An owner was not announced");
        }
    }
}
