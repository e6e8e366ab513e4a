//! What owners announce: a small compacted topic beside the log's. It is a hint; the claims in the log are the truth.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};

use super::{
    Address,
    client::{self, Heard},
    cluster::Cluster,
};
use crate::{
    error::{Error, Fault},
    ids::LogId,
};

const POLL: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What is not stored by then is told again.
const TOLD_WITHIN_MS: &str = if cfg!(test) { "1000" } else { "10000" };
const TOLD_AGAIN_EVERY: Duration = Duration::from_secs(1);

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
    announcer: Arc<Announcer>,
    is_over: Arc<AtomicBool>,
}

impl Owners {
    /// Opens the topic, or makes it, and follows it.
    ///
    /// # Errors
    /// [`Error::Unusable`] if there is another kind of topic in its place, [`Error::Storage`].
    pub async fn open(address: &Address, log: LogId) -> Result<Self, Error> {
        let address = Address { topic: format!("{}.owners", address.topic), ..address.clone() };
        Cluster::connect(&address)?.ensure_compacted().await?;
        let failed = |source: KafkaError| Fault::new("follow the announcements of owners", source);
        let mut config = client::admin(&address);
        config.set("message.timeout.ms", TOLD_WITHIN_MS);
        let producer = config.create_with_context(Announcing::default()).map_err(failed)?;
        let mut config = client::consumer(&address);
        // The first announcements may be gone: later ones stand in their place.
        config.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Heard> = config.create_with_context(Heard::default()).map_err(failed)?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&address.topic, 0, Offset::Beginning).map_err(failed)?;
        consumer.assign(&from).map_err(failed)?;
        let announcer = Announcer { topic: address.topic, log, producer, heard: Mutex::default() };
        let (announcer, is_over) = (Arc::new(announcer), Arc::new(AtomicBool::new(false)));
        let (telling, over) = (Arc::clone(&announcer), Arc::clone(&is_over));
        let thread = std::thread::Builder::new().name("kafka owners".to_owned());
        thread
            .spawn(move || follow(&consumer, &telling, &over))
            .map_err(|source| Fault::new("start the thread of announcements", source))?;
        Ok(Self { announcer, is_over })
    }

    /// The newest announcement for a partition.
    #[must_use]
    pub fn of(&self, partition: u16) -> Option<Announced> {
        self.announcer.heard().get(&partition).cloned()
    }

    /// Announces an owner. What the topic does not take is told again until it does, or a newer term is heard of.
    pub fn announce(&self, partition: u16, announced: &Announced) {
        self.announcer.hear(partition, announced.clone());
        self.announcer.send(partition, announced.clone());
    }

    /// Whether the topic did not take an announcement, which will be told again.
    #[cfg(test)]
    pub(super) fn is_missed(&self) -> bool {
        !self.announcer.producer.context().0.lock().unwrap().announced.is_empty()
    }

    /// Forgets all announcements, for a log that begins again with older terms. It may block for seconds.
    ///
    /// # Errors
    /// [`Error::Storage`] if the broker does not confirm it.
    pub fn forget(&self, partitions: u16) -> Result<(), Error> {
        let failed = |source: KafkaError| Fault::new("forget the owners", source);
        let Announcer { topic, log, producer, .. } = &*self.announcer;
        for partition in 0..partitions {
            let key = key(*log, partition);
            let record: BaseRecord<'_, String, (), _> = BaseRecord::with_opaque_to(topic, Box::new(None));
            let sent = producer.send(record.partition(0).key(&key));
            sent.map_err(|(error, _)| failed(error))?;
        }
        Ok(producer.flush(ANSWER_WITHIN).map_err(failed)?)
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
    }
}

/// The way to the topic, and what came from it.
struct Announcer {
    topic: String,
    log: LogId,
    producer: ThreadedProducer<Announcing>,
    heard: Mutex<BTreeMap<u16, Announced>>,
}

impl Announcer {
    fn heard(&self) -> MutexGuard<'_, BTreeMap<u16, Announced>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, partition: u16, announced: Announced) {
        let mut heard = self.heard();
        let known = heard.entry(partition).or_insert_with(|| announced.clone());
        if known.term < announced.term {
            *known = announced;
        }
    }

    fn forget(&self, key: &str) {
        let of = key.split_once('/').filter(|(of, _)| *of == self.log.to_string());
        if let Some(partition) = of.and_then(|(_, partition)| partition.parse::<u16>().ok()) {
            self.heard().remove(&partition);
        }
    }

    fn send(&self, partition: u16, announced: Announced) {
        let (key, value) = (key(self.log, partition), format!("{} {}", announced.term, announced.place));
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(Some((partition, announced))));
        let record = record.partition(0).key(&key).payload(&value);
        if let Err((error, record)) = self.producer.send(record) {
            self.producer.context().miss(*record.delivery_opaque, error);
        }
    }

    /// Tells once more what was not stored and is still the newest: whoever did not hear it asks where nobody owns the
    /// partition any more.
    fn tell_again(&self) {
        let Missed { mut announced, error } = self.producer.context().take();
        announced.retain(|(partition, announced)| self.heard().get(partition) == Some(announced));
        let Some(error) = error.filter(|_| !announced.is_empty()) else { return };
        let partitions: Vec<_> = announced.iter().map(|(partition, _)| partition).collect();
        tracing::warn!(
            ?partitions,
            error = &error as &dyn std::error::Error,
            "Owners could not be announced in the topic {}, and are again",
            self.topic
        );
        announced.into_iter().for_each(|(partition, announced)| self.send(partition, announced));
    }
}

fn follow(consumer: &BaseConsumer<Heard>, announcer: &Announcer, is_over: &AtomicBool) {
    let mut told_again = Instant::now();
    while !is_over.load(Ordering::Acquire) {
        if told_again.elapsed() >= TOLD_AGAIN_EVERY {
            told_again = Instant::now();
            announcer.tell_again();
        }
        // Errors pass, or show in asks that nobody answers.
        let Some(Ok(message)) = consumer.poll(POLL) else { continue };
        let text =
            |bytes: Option<&[u8]>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok().map(str::to_owned));
        let Some(key) = text(message.key()) else { continue };
        match text(message.payload()) {
            Some(value) => {
                if let Some((partition, announced)) = read(announcer.log, &key, &value) {
                    announcer.hear(partition, announced);
                }
            }
            None => announcer.forget(&key),
        }
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

/// Hears what becomes of each announcement.
#[derive(Default)]
struct Announcing(Mutex<Missed>);

/// What was not stored since somebody looked.
#[derive(Default)]
struct Missed {
    announced: Vec<(u16, Announced)>,
    /// Why, the last time.
    error: Option<KafkaError>,
}

impl Announcing {
    /// That an announcement was to be forgotten is told to who waits for it.
    fn miss(&self, announced: Option<(u16, Announced)>, error: KafkaError) {
        if let Some(announced) = announced {
            let mut missed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            missed.announced.push(announced);
            missed.error = Some(error);
        }
    }

    fn take(&self) -> Missed {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl rdkafka::ClientContext for Announcing {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        client::forward(level, facility, message);
    }

    /// What it means for an announcement comes with its report.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl rdkafka::producer::ProducerContext for Announcing {
    type DeliveryOpaque = Box<Option<(u16, Announced)>>;

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, announced: Self::DeliveryOpaque) {
        if let Err((error, _)) = result {
            self.miss(*announced, error.clone());
        }
    }
}
