//! The limit of a log on Kafka: a bare client that keeps many records under way, and answers each when it is stored and
//! another client has read the same bytes back.
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer},
};
use tokio::sync::{mpsc, oneshot};

/// Where a record was stored, or nothing.
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

/// Who waits for a record, and for what became of it.
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
    record: Bytes,
}

impl BareKafka {
    /// A topic of one partition, made as a log is made, and records of this length for it. Idempotent, confirmed by all
    /// replicas, and sent without waiting for company, as ours are.
    pub(crate) async fn start(topic: &str, record_len: usize) -> anyhow::Result<Self> {
        drop(event_log::kafka::init(&topic.parse()?, 1, None).await?);
        let (brokers, topic) = topic
            .strip_prefix("kafka://")
            .and_then(|rest| rest.split_once('/'))
            .context("a topic has an address")?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("socket.nagle.disable", "true");
        let mut sends = config.clone();
        sends.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "0");
        let producer = Arc::new(sends.create_with_context(Reports)?);
        config.set("group.id", "bench").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "500");
        let reader: StreamConsumer = config.create()?;
        let mut begin = TopicPartitionList::new();
        begin.add_partition_offset(topic, 0, Offset::Beginning)?;
        reader.assign(&begin)?;
        let record: Bytes = (0..record_len).map(|place| place.to_le_bytes()[0]).collect();
        let (waiting, queue) = mpsc::unbounded_channel();
        tokio::spawn(answer(queue, reader, record.clone()));
        Ok(Self { producer, waiting, topic: topic.into(), record })
    }

    /// Sends one record; stored and read back when it returns.
    pub(crate) async fn send(self) -> anyhow::Result<()> {
        let (report, stored) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(&self.topic, Box::new(report))
            .partition(0)
            .payload(&self.record[..]);
        self.producer.send(record).map_err(|(error, _)| error)?;
        self.waiting.send(Waiting { stored, answer }).ok().context("nobody reads any more")?;
        answered.await.context("a record was not stored, or not read back")
    }
}

/// Answers who waits, as long as everything goes well.
async fn answer(mut queue: mpsc::UnboundedReceiver<Waiting>, reader: StreamConsumer, record: Bytes) {
    let mut read_up_to = -1;
    while let Some(Waiting { stored, answer }) = queue.recv().await {
        let Ok(Some(offset)) = stored.await else { return };
        while read_up_to < offset {
            let Ok(message) = reader.recv().await else { return };
            // The first message is the certificate of a log.
            if message.offset() > 0 && message.payload() != Some(&record[..]) {
                return;
            }
            read_up_to = message.offset();
        }
        answer.send(()).ok();
    }
}
