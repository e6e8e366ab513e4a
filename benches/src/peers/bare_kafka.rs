//! The limit of a log on Kafka: a bare client that keeps many messages under way, and answers each when it is stored and
//! another client has read the same bytes back.
use std::sync::Arc;

use anyhow::Context as _;
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    message::{BorrowedMessage, Headers as _, OwnedHeaders, OwnedMessage},
    producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer},
};
use tokio::sync::{mpsc, oneshot};

/// Where a message was stored, or nothing.
type Stored = Option<i64>;

struct Reports;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<Stored>>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        // A caller that went away no longer wants to know.
        report.send(result.as_ref().ok().map(|message| message.offset())).ok();
    }
}

/// Who waits for a message, and for what became of it.
struct Waiting {
    stored: oneshot::Receiver<Stored>,
    answer: oneshot::Sender<()>,
}

/// The client; clones share it.
#[derive(Clone)]
pub(crate) struct BareKafka {
    producer: Arc<ThreadedProducer<Reports>>,
    waiting: mpsc::UnboundedSender<Waiting>,
    topic: Arc<str>,
    message: Arc<OwnedMessage>,
}

impl BareKafka {
    /// A topic of one partition, made as a log is made, for the newest message of another one, again and again: its key,
    /// its headers and its value. Idempotent, confirmed by all replicas, and sent without waiting for company.
    pub(crate) async fn start(address: &str, sample_of: &str) -> anyhow::Result<Self> {
        drop(event_log::kafka::init(&address.parse()?, 1, None).await?);
        let message = Arc::new(reader(sample_of, Offset::OffsetTail(1))?.recv().await?.detach());
        let (mut sends, topic) = connected(address)?;
        sends.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "0");
        let producer = Arc::new(sends.create_with_context(Reports)?);
        let (waiting, queue) = mpsc::unbounded_channel();
        let client = Self { producer, waiting, topic: topic.into(), message };
        tokio::spawn(answer(queue, reader(address, Offset::Beginning)?, client.message.clone()));
        Ok(client)
    }

    /// Sends the message once more; stored and read back when it returns.
    pub(crate) async fn send(self) -> anyhow::Result<()> {
        let (report, stored) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let bare = BaseRecord::<[u8], [u8], _>::with_opaque_to(&self.topic, Box::new(report)).partition(0);
        let headers = self.message.headers().cloned().unwrap_or_else(OwnedHeaders::new);
        let record = BaseRecord { key: self.message.key(), payload: self.message.payload(), ..bare };
        self.producer.send(record.headers(headers)).map_err(|(error, _)| error)?;
        self.waiting.send(Waiting { stored, answer }).ok().context("nobody reads any more")?;
        answered.await.context("a message was not stored, or not read back")
    }
}

/// Where the brokers are, as every client wants to know it, and the topic.
fn connected(address: &str) -> anyhow::Result<(ClientConfig, &str)> {
    let parts = address.strip_prefix("kafka://").and_then(|rest| rest.split_once('/'));
    let (brokers, topic) = parts.context("a topic has an address")?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("socket.nagle.disable", "true");
    Ok((config, topic))
}

/// Reads a topic's only partition from there on.
fn reader(address: &str, from: Offset) -> anyhow::Result<StreamConsumer> {
    let (mut config, topic) = connected(address)?;
    config.set("group.id", "bench").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "500");
    let reader: StreamConsumer = config.create()?;
    let mut begin = TopicPartitionList::new();
    begin.add_partition_offset(topic, 0, from)?;
    reader.assign(&begin)?;
    Ok(reader)
}

/// Answers who waits, as long as everything goes well.
async fn answer(
    mut queue: mpsc::UnboundedReceiver<Waiting>,
    reader: StreamConsumer,
    message: Arc<OwnedMessage>,
) {
    let mut read_up_to = -1;
    while let Some(Waiting { stored, answer }) = queue.recv().await {
        let Ok(Some(offset)) = stored.await else { return };
        while read_up_to < offset {
            let Ok(read) = reader.recv().await else { return };
            // The first message is the certificate of a log.
            if read.offset() > 0 && !is_same(&read, &message) {
                return;
            }
            read_up_to = read.offset();
        }
        answer.send(()).ok();
    }
}

fn is_same(read: &BorrowedMessage<'_>, sent: &OwnedMessage) -> bool {
    let has_same_headers = match (read.headers(), sent.headers()) {
        (Some(read), Some(sent)) => read.iter().eq(sent.iter()),
        (read, sent) => read.is_none() && sent.is_none(),
    };
    has_same_headers && read.key() == sent.key() && read.payload() == sent.payload()
}
