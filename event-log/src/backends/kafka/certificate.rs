//! The first record of every partition: which log it belongs to, since when and in which form.
//!
//! Kafka makes a topic once, however many ask for it, so only who made it writes these records, before anybody can open
//! the log. A topic that lacks one of them was never finished, and holds no history.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, Message, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
    producer::BaseRecord,
};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Address,
    client::{self, Heard},
    producer::{self, Waiting},
};
use crate::{
    backend::{Delivery, Ends},
    bytes_reader::BytesReader,
    error::{Error, Fault},
    genesis::{Class, Genesis},
    hash::HASH_VERSION,
    ids::{LogId, Position},
};

/// Holds the certificate; the value beside it says the same to people.
const HEADER: &str = "loyalnest-genesis";
const FORMAT: u8 = 1;
const READ_WITHIN: Duration = Duration::from_secs(30);

/// What stands in a partition's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Certificate {
    genesis: Genesis,
    partition: u16,
}

enum Found {
    Certificate(Certificate),
    /// Of a format that we do not know.
    Newer(u8),
    Nothing,
}

impl Certificate {
    fn bytes(&self) -> Vec<u8> {
        let Genesis { log_id, hash_version, partitions, class } = self.genesis;
        let mut bytes = vec![FORMAT, hash_version, class as u8];
        bytes.extend(log_id.as_bytes());
        bytes.extend(partitions.to_be_bytes());
        bytes.extend(self.partition.to_be_bytes());
        bytes
    }

    fn text(&self) -> String {
        let Genesis { log_id, hash_version, partitions, .. } = self.genesis;
        format!(
            "{{\"log\":\"{log_id}\",\"partition\":{},\"partitions\":{partitions},\"hash_version\":{hash_version}}}",
            self.partition
        )
    }

    fn of(message: &BorrowedMessage<'_>) -> Found {
        let header = message.headers().and_then(|headers| headers.iter().find(|header| header.key == HEADER));
        let Some(bytes) = header.and_then(|header| header.value) else { return Found::Nothing };
        match bytes {
            [format, hash_version, ..] if *format > FORMAT || *hash_version > HASH_VERSION => {
                Found::Newer((*format).max(*hash_version))
            }
            _ => Self::read(bytes).map_or(Found::Nothing, Found::Certificate),
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = BytesReader(bytes);
        if reader.u8()? != FORMAT {
            return None;
        }
        let hash_version = reader.u8()?;
        let class = Class::from_code(reader.u8()?)?;
        let log_id = LogId::from_bytes(reader.take()?);
        let genesis = Genesis { log_id, hash_version, partitions: reader.u16()?, class };
        let certificate = Self { genesis, partition: reader.u16()? };
        reader.0.is_empty().then_some(certificate)
    }
}

/// Whether a message is the certificate of this partition of this log.
pub(super) fn is_of(message: &BorrowedMessage<'_>, genesis: &Genesis, partition: u16) -> bool {
    let wanted = Certificate { genesis: *genesis, partition };
    matches!(Certificate::of(message), Found::Certificate(found) if found == wanted)
}

/// Writes the certificates into a topic that was just made.
pub(super) async fn write(address: &Address, genesis: &Genesis) -> Result<(), Error> {
    let failed = |source| Fault::new("write the certificates of the log", source);
    let producer = producer::client(address, &Arc::new(Ends::new(genesis.partitions)))?;
    let mut deliveries = Vec::new();
    for partition in 0..genesis.partitions {
        let certificate = Certificate { genesis: *genesis, partition };
        let (report, delivery) = oneshot::channel();
        let (bytes, text) = (certificate.bytes(), certificate.text());
        let headers = OwnedHeaders::new().insert(Header { key: HEADER, value: Some(&bytes) });
        let record = BaseRecord::<(), str, _>::with_opaque_to(
            &address.topic,
            Box::new(Waiting { partition, report, burst: None }),
        )
        .partition(i32::from(partition))
        .headers(headers)
        .payload(&text);
        producer.send(record).map_err(|(error, _)| failed(error))?;
        deliveries.push(delivery);
    }
    for delivery in deliveries {
        match delivery.await {
            Ok(Delivery::Stored(Position::START)) => {}
            Ok(Delivery::Unknown(fault)) => return Err(fault.into()),
            _ => return Err(unusable(address, "somebody else writes to the topic while the log is made")),
        }
    }
    client::end(producer);
    Ok(())
}

/// Reads the certificates of all partitions and compares them.
pub(super) async fn read(address: &Address, partitions: usize) -> Result<Genesis, Error> {
    let reading = address.clone();
    let found = tokio::task::spawn_blocking(move || read_all(&reading, partitions)).await;
    let found = found.map_err(|source| Fault::new("read the certificates of the log", source))??;
    let mut genesis = None;
    for (partition, found) in (0..).zip(found) {
        let certificate = match found {
            Found::Certificate(certificate) => certificate,
            Found::Newer(version) => {
                return Err(unusable(
                    address,
                    &format!("it was made by a newer program (version {version}); update this one"),
                ));
            }
            Found::Nothing => {
                return Err(unusable(
                    address,
                    &format!(
                        "partition {partition} does not begin with the certificate of a log. If making the log was \
                         interrupted, delete the topic and start again; if not, name another topic"
                    ),
                ));
            }
        };
        let expected = *genesis.get_or_insert(certificate.genesis);
        if certificate != (Certificate { genesis: expected, partition }) {
            return Err(unusable(
                address,
                &format!(
                    "partition {partition} holds another log than partition 0; restore the topic as a whole"
                ),
            ));
        }
        if usize::from(expected.partitions) != partitions {
            return Err(unusable(
                address,
                &format!(
                    "the log has {} partitions for ever, but the topic has {partitions}; restore the topic as it was",
                    expected.partitions
                ),
            ));
        }
    }
    genesis.ok_or_else(|| unusable(address, "the topic has no partitions"))
}

fn read_all(address: &Address, partitions: usize) -> Result<Vec<Found>, Error> {
    let failed = |source: KafkaError| Fault::new("read the certificates of the log", source);
    let mut config: ClientConfig = client::consumer(address);
    // Only the first record of each partition is wanted.
    config.set("fetch.message.max.bytes", "1024").set("queued.min.messages", "1");
    let consumer: BaseConsumer<Heard> = config.create_with_context(Heard::default()).map_err(failed)?;
    let mut begin = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        begin.add_partition_offset(&address.topic, partition, rdkafka::Offset::Offset(0)).map_err(failed)?;
    }
    consumer.assign(&begin).map_err(failed)?;
    let mut found: Vec<Option<Found>> = Vec::new();
    found.resize_with(partitions, || None);
    let deadline = Instant::now() + READ_WITHIN;
    while found.iter().any(Option::is_none) {
        let polled = consumer.poll(Duration::from_millis(100));
        let (partition, news) = match &polled {
            Some(Ok(message)) => {
                let is_first = message.offset() == 0;
                (message.partition(), if is_first { Certificate::of(message) } else { Found::Nothing })
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => (*partition, Found::Nothing),
            _ if Instant::now() > deadline => {
                let heard =
                    consumer.context().last().map_or_else(|| "no answer".to_owned(), |heard| heard.reason);
                return Err(unusable(address, &format!("its first records cannot be read: {heard}")));
            }
            _ => continue,
        };
        let place = usize::try_from(partition).ok().and_then(|partition| found.get_mut(partition));
        if let Some(place @ None) = place {
            *place = Some(news);
        }
    }
    Ok(found.into_iter().flatten().collect())
}

fn unusable(address: &Address, reason: &str) -> Error {
    Error::Unusable { place: address.to_string(), reason: reason.to_owned() }
}
