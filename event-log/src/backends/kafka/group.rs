//! A consumer group that shares out the partitions of the log among processes. It proposes only: nothing is read through
//! it and nothing is committed to it, and whoever claims a partition in the log owns it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance},
    error::KafkaError,
    topic_partition_list::TopicPartitionList,
};
use tokio::sync::watch;

use super::{Address, client};
use crate::{
    error::{Error, Fault},
    ids::LogId,
};

/// How long the thread waits for news of the group at most, and so for the end.
const POLL: Duration = Duration::from_millis(100);

/// Members hear from the broker with their next sign of life that shares are made anew, so a node that ends is followed by
/// another one this late.
const HEARTBEAT_MAX: Duration = Duration::from_millis(250);

/// The client sends its signs of life only when something wakes its main loop, and while nothing happens that is once a
/// second; its statistics, which nobody reads, wake it this often.
const WOKEN_EVERY: Duration = Duration::from_millis(100);

/// This process's part in the group. It leaves when this is dropped.
pub struct Group {
    proposed: watch::Receiver<BTreeSet<u16>>,
    is_leaving: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Group {
    /// Joins the group of the log with this id as `name`. A member of which nothing is heard for `session` loses its
    /// partitions; brokers take 6 s at least unless their `group.min.session.timeout.ms` says otherwise.
    ///
    /// # Errors
    /// [`Error::Storage`] if there can be no client. Whether brokers answer shows in what is proposed.
    pub fn join(address: &Address, log: LogId, name: &str, session: Duration) -> Result<Self, Error> {
        let (propose, proposed) = watch::channel(BTreeSet::new());
        let failed = |source: KafkaError| Fault::new("set up the group's client", source);
        let member = Member { topic: address.topic.clone(), propose };
        let consumer: BaseConsumer<Member> =
            config(address, log, name, session).create_with_context(member).map_err(failed)?;
        consumer.subscribe(&[&address.topic]).map_err(failed)?;
        let is_leaving = Arc::new(AtomicBool::new(false));
        let leaving = Arc::clone(&is_leaving);
        let thread = std::thread::Builder::new().name("kafka group".to_owned());
        let thread = thread
            .spawn(move || follow(&consumer, &leaving))
            .map_err(|source| Fault::new("start the group's thread", source))?;
        Ok(Self { proposed, is_leaving, thread: Some(thread) })
    }

    /// The partitions that are proposed to this process.
    #[must_use]
    pub fn proposed(&self) -> watch::Receiver<BTreeSet<u16>> {
        self.proposed.clone()
    }

    /// Leaves the group, so that the others take over at once. Returns when the broker was told, so call it where it may
    /// block.
    pub fn leave(mut self) {
        self.is_leaving.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A thread that broke has left nothing behind.
            drop(thread.join());
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.is_leaving.store(true, Ordering::Release);
    }
}

fn config(address: &Address, log: LogId, name: &str, session: Duration) -> ClientConfig {
    let heartbeat = (session / 3).min(HEARTBEAT_MAX);
    let mut config = client::consumer(address);
    config
        .set("group.id", format!("loyalnest-{log}"))
        .set("client.id", name)
        .set("session.timeout.ms", session.as_millis().to_string())
        .set("heartbeat.interval.ms", heartbeat.as_millis().to_string())
        .set("statistics.interval.ms", WOKEN_EVERY.as_millis().to_string())
        .set("partition.assignment.strategy", "cooperative-sticky")
        // What is proposed is paused at once, so where it would be read from does not matter.
        .set("auto.offset.reset", "latest");
    config
}

/// Serves the group until it is left. Members that stand still longer than a session are told by the broker.
fn follow(consumer: &BaseConsumer<Member>, is_leaving: &AtomicBool) {
    while !is_leaving.load(Ordering::Acquire) {
        // Partitions are paused, so a message can only be one that was on its way; errors are told where they are heard.
        drop(consumer.poll(POLL));
    }
    consumer.context().propose.send_replace(BTreeSet::new());
    consumer.unsubscribe();
    // The broker is told when the client ends, which is when this thread does.
}

/// Turns what the group assigns into proposals.
struct Member {
    topic: String,
    propose: watch::Sender<BTreeSet<u16>>,
}

impl Member {
    fn of<'a>(&'a self, list: &'a TopicPartitionList) -> impl Iterator<Item = u16> + 'a {
        let all = list.elements();
        let own: Vec<u16> = all
            .iter()
            .filter(|element| element.topic() == self.topic)
            .filter_map(|element| u16::try_from(element.partition()).ok())
            .collect();
        own.into_iter()
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::forward(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!("The group of the nodes: {error}: {reason}");
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ConsumerContext for Member {
    /// What is taken away is given back before the group hears that it is.
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => {}
            Rebalance::Revoke(list) => {
                let revoked: BTreeSet<u16> = self.of(list).collect();
                self.propose.send_modify(|own| own.retain(|partition| !revoked.contains(partition)));
            }
            Rebalance::Error(_) => {
                self.propose.send_replace(BTreeSet::new());
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            if let Err(error) = consumer.pause(list) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "The group's partitions are not paused"
                );
            }
            self.propose.send_modify(|own| own.extend(self.of(list)));
        }
    }
}
