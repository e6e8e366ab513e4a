//! Reads a topic as any client would, and makes it again with other records.

use std::time::{Duration, Instant};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{Header, Headers as _, OwnedHeaders, OwnedMessage},
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use super::*;
use crate::FRAME_LEN;

const WITHIN: Duration = Duration::from_secs(30);

/// A message without what the broker adds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Plain {
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
}

pub(super) struct Editor(Address);

impl Editor {
    pub(super) fn of(address: &Address) -> Self {
        Self(address.clone())
    }

    /// All messages of each partition.
    pub(super) fn read(&self, partitions: u16) -> Vec<Vec<Plain>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.0.brokers)
            .set("group.id", "an outside reader")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut begin = TopicPartitionList::new();
        for partition in 0..partitions {
            begin.add_partition_offset(&self.0.topic, partition.into(), Offset::Beginning).unwrap();
        }
        consumer.assign(&begin).unwrap();
        let mut found = vec![Vec::new(); partitions.into()];
        let (mut ended, deadline) = (0, Instant::now() + WITHIN);
        while ended < partitions {
            assert!(Instant::now() < deadline, "the topic cannot be read");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => found[message.partition() as usize].push(Plain::of(&message.detach())),
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                _ => {}
            }
        }
        found
    }

    /// Deletes the topic and makes it again with these messages.
    pub(super) fn replace(&self, genesis: &Genesis, content: &[Vec<Plain>]) {
        self.delete();
        let cluster = Cluster::connect(&self.0).unwrap();
        wait_for(cluster.create_topic(genesis)).unwrap();
        self.write(content);
    }

    pub(super) fn delete(&self) {
        let cluster = Cluster::connect(&self.0).unwrap();
        wait_for(async {
            drop(admin(&self.0).delete_topics(&[&self.0.topic], &AdminOptions::new()).await);
            let deadline = Instant::now() + WITHIN;
            while cluster.check_topic().await.is_ok() {
                assert!(Instant::now() < deadline, "the topic was not deleted");
            }
        });
    }

    /// Puts messages behind those that are there.
    pub(super) fn write(&self, content: &[Vec<Plain>]) {
        let producer: BaseProducer = client::producer(&self.0).create().unwrap();
        for (partition, messages) in (0..).zip(content) {
            for message in messages {
                let headers = message.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                });
                let record = BaseRecord::<[u8], [u8]>::to(&self.0.topic)
                    .partition(partition)
                    .headers(headers)
                    .payload(&message.value);
                let record = BaseRecord { key: message.key.as_deref(), ..record };
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
        }
        producer.flush(WITHIN).unwrap();
    }

    pub(super) fn tamper(&self, genesis: &Genesis, tamper: Tamper) {
        let mut content = self.read(genesis.partitions);
        // The first message is the partition's certificate.
        let records = &mut content[0];
        match tamper {
            Tamper::Edit(index, bytes) => {
                records[index + 1].headers[0].1 = bytes[..FRAME_LEN].to_vec();
                records[index + 1].value = bytes[FRAME_LEN..].to_vec();
            }
            Tamper::Delete(index) => drop(records.remove(index + 1)),
            Tamper::Swap(one, other) => records.swap(one + 1, other + 1),
        }
        self.replace(genesis, &content);
    }
}

impl Plain {
    fn of(message: &OwnedMessage) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                .collect(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
        }
    }
}
