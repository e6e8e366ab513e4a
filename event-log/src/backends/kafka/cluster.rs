//! What is asked of the cluster before a log is opened: does it answer, is there a topic, and may a log be in it?

use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier},
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    metadata::Metadata,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    Address,
    client::{self, Heard},
    edges::Edges,
    settings::{self, Copies},
};
use crate::{
    error::{Error, Fault},
    genesis::Genesis,
};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Who is not let in need not wait any longer.
const ASKED_EVERY: Duration = Duration::from_secs(2);
const HEARD_WITHIN: Duration = Duration::from_millis(100);
/// How long a new topic may take until every partition has a leader.
const LED_WITHIN: Duration = Duration::from_secs(30);
const CLEANUP: &str = "cleanup.policy";
const COMPACT: &str = "compact";

/// The brokers of an address.
pub(super) struct Cluster {
    address: Address,
    consumer: Arc<BaseConsumer<Heard>>,
    admin: AdminClient<Heard>,
}

/// A topic as it is.
pub(super) struct Topic {
    pub(super) partitions: usize,
    /// The fewest of any partition.
    pub(super) replicas: usize,
    has_leaders: bool,
}

pub(super) struct Seen {
    brokers: usize,
    pub(super) topic: Option<Topic>,
}

impl Cluster {
    pub(super) fn connect(address: &Address) -> Result<Self, Error> {
        // The first client of all: a certificate that cannot be read, or a setting that does not fit, is told here.
        let failed = |error: KafkaError| Error::Unusable {
            place: address.to_string(),
            reason: format!("Kafka's client cannot be set up: {error}"),
        };
        let consumer = client::consumer(address).create_with_context(Heard::default()).map_err(failed)?;
        let admin = client::admin(address).create_with_context(Heard::default()).map_err(failed)?;
        Ok(Self { address: address.clone(), consumer: Arc::new(consumer), admin })
    }

    #[cfg(test)]
    pub(super) fn consumer(&self) -> Arc<BaseConsumer<Heard>> {
        self.consumer.clone()
    }

    /// Makes the topic of a new log and waits until every partition can be written to.
    pub(super) async fn create_topic(&self, genesis: &Genesis) -> Result<(), Error> {
        let already = || Error::AlreadyExists { place: self.address.to_string() };
        let seen = self.look().await?;
        if seen.topic.is_some() {
            return Err(already());
        }
        let copies = Copies::of(seen.brokers);
        let values = settings::values(copies);
        let topic = settings::new_topic(&self.address.topic, genesis.partitions, copies, &values);
        if !self.make(&topic, copies).await? {
            return Err(already());
        }
        let deadline = Instant::now() + LED_WITHIN;
        loop {
            let topic = self.look().await?.topic;
            if topic
                .is_some_and(|topic| topic.has_leaders && topic.partitions == usize::from(genesis.partitions))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.unusable("the new topic has partitions without a leader".to_owned()));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The topic of an existing log, if its settings are such that it may hold one.
    pub(super) async fn check_topic(&self) -> Result<Topic, Error> {
        let seen = self.look().await?;
        let topic = seen.topic.ok_or_else(|| Error::NotFound { place: self.address.to_string() })?;
        let unread =
            || self.unusable("the topic's settings cannot be read; allow DescribeConfigs".to_owned());
        let described = self.described().await?.ok_or_else(unread)?;
        let faults = settings::faults(&described, topic.replicas, Copies::of(seen.brokers));
        if faults.is_empty() {
            Ok(topic)
        } else {
            Err(self.unusable(format!("the topic's settings are not safe: {}", faults.join("; "))))
        }
    }

    /// Makes a topic of one partition that keeps the last message of each key, unless there is one; refuses another kind.
    /// What it holds can be told again, so one with few copies is a warning.
    pub(super) async fn ensure_compacted(&self) -> Result<(), Error> {
        let seen = self.look().await?;
        let copies = Copies::of(seen.brokers);
        let values = [(CLEANUP, COMPACT.to_owned())];
        match seen.topic {
            None => {
                let topic = settings::new_topic(&self.address.topic, 1, copies, &values);
                self.make(&topic, copies).await?;
            }
            Some(topic) if topic.replicas < copies.replicas => self.warn_of_few(topic.replicas),
            Some(_) => {}
        }
        let described = self.described().await?;
        let policy = described.as_ref().and_then(|described| described.get(CLEANUP)?.value.as_deref());
        match policy {
            Some(policy) if policy != COMPACT => {
                Err(self.unusable(format!("{CLEANUP} is {policy}, but must be {COMPACT}")))
            }
            _ => Ok(()),
        }
    }

    /// Makes the topic; `false` if there is one already.
    async fn make(&self, topic: &NewTopic<'_>, copies: Copies) -> Result<bool, Error> {
        let made = self.admin.create_topics([topic], &options()).await;
        let made = made.map_err(|source| Fault::new("make a topic", source))?;
        match made.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => return Ok(false),
            Some(Err((_, code))) => return Err(self.unusable(format!("the topic could not be made: {code}"))),
            Some(Ok(_)) | None => {}
        }
        self.warn_of_few(copies.replicas);
        Ok(true)
    }

    /// The settings of the topic, if they may be read.
    async fn described(&self) -> Result<Option<ConfigResource>, Error> {
        let topic = [ResourceSpecifier::Topic(&self.address.topic)];
        let described = self.admin.describe_configs(&topic, &options()).await;
        let described = described.map_err(|source| Fault::new("ask for the topic's settings", source))?;
        Ok(described.into_iter().next().and_then(Result::ok))
    }

    fn warn_of_few(&self, replicas: usize) {
        if let Some(few) = settings::few(replicas) {
            tracing::warn!(topic = self.address.topic, "The topic {} {few}", self.address.topic);
        }
    }

    /// Asks where the partitions begin and end, from now on.
    pub(super) fn edges(&self) -> Edges {
        Edges::new(self.consumer.clone(), &self.address.topic)
    }

    pub(super) async fn look(&self) -> Result<Seen, Error> {
        let (consumer, topic) = (self.consumer.clone(), self.address.topic.clone());
        let asked = spawn_blocking(move || {
            let deadline = Instant::now() + ANSWER_WITHIN;
            loop {
                let error = match consumer.fetch_metadata(Some(&topic), ASKED_EVERY) {
                    Ok(metadata) => return Ok(Seen::of(&metadata, &topic)),
                    Err(error) => error,
                };
                // Errors are heard by who polls.
                drop(consumer.poll(HEARD_WITHIN));
                let is_let_in = consumer.context().last().is_none_or(|heard| heard.check.is_none());
                if !is_let_in || Instant::now() > deadline {
                    return Err(error);
                }
            }
        });
        let seen = asked.await.map_err(|source| Fault::new("ask the cluster", source))?;
        seen.map_err(|error| {
            let heard = self.consumer.context().last();
            let check = heard.as_ref().and_then(|heard| heard.check).unwrap_or(
                "no broker answers as Kafka does. Check the address, that the broker runs, that its \
                 advertised.listeners can be reached from here, and, if it speaks TLS or asks for a password, the \
                 file of settings that says so (kafka_config, security.protocol)",
            );
            let reason = heard.map_or_else(|| error.to_string(), |heard| heard.reason);
            self.unusable(format!("{check}. The last that was heard: {reason}"))
        })
    }

    fn unusable(&self, reason: String) -> Error {
        Error::Unusable { place: self.address.to_string(), reason }
    }
}

impl Seen {
    fn of(metadata: &Metadata, name: &str) -> Self {
        let topic = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
        let topic = topic.map(|topic| Topic {
            partitions: topic.partitions().len(),
            replicas: topic
                .partitions()
                .iter()
                .map(|partition| partition.replicas().len())
                .min()
                .unwrap_or(0),
            has_leaders: topic.partitions().iter().all(|partition| partition.leader() >= 0),
        });
        let topic = topic.filter(|topic| topic.partitions > 0);
        Self { brokers: metadata.brokers().len(), topic }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_WITHIN)).operation_timeout(Some(ANSWER_WITHIN))
}
