//! A log in one topic of Apache Kafka. Its class is open: brokers store what they are sent, and readers sort it out.
//!
//! A position is an offset. The record at offset 0 of every partition is the partition's certificate of birth, written
//! by `init` only; a partition that does not begin with it is not of this log. A consumer group proposes who is to own a
//! partition, and nothing is read through it; no transaction is used: what protects history is in `admit`, the reader and
//! the writer.

mod address;
mod certificate;
mod client;
mod cluster;
mod edges;
mod envelope;
mod group;
mod owners;
mod producer;
mod reading;
mod security;
mod settings;
mod tail;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use self::{
    address::{Address, NotAnAddress},
    group::Group,
    owners::{Announced, Owners},
    security::NotSecurity,
};
use self::{
    cluster::Cluster,
    edges::Edges,
    producer::{KafkaProducer, Spare},
    tail::KafkaTail,
};
use crate::{
    backend::{Backend, Ends, Producer, Tail},
    columns::Columns,
    error::{Error, Fault},
    genesis::{Class, Genesis},
    ids::Position,
    log::Log,
};

/// What is asked while a log is opened.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Makes a log in a new topic and opens it for writing. How often a record is kept follows from the number of brokers:
/// three times, and twice before it counts, if there are as many. With `columns` the value of a message is what other
/// programs may read of it.
///
/// # Errors
/// [`Error::AlreadyExists`] if the topic exists, [`Error::Unusable`], [`Error::Storage`].
pub async fn init(
    address: &Address,
    partitions: u16,
    columns: Option<Arc<dyn Columns>>,
) -> Result<Log, Error> {
    let genesis = Genesis::new(partitions.max(1), Class::Open);
    let cluster = Cluster::connect(address)?;
    cluster.create_topic(&genesis).await?;
    certificate::write(address, &genesis).await?;
    open(address, columns).await
}

/// Opens an existing log for writing; several processes may, and the claim decides who writes a partition.
///
/// # Errors
/// [`Error::NotFound`] if there is no such topic; [`Error::Unusable`] if no broker answers, if the topic's settings could
/// lose a record (each is named), or if it is no whole log of a version we know; [`Error::Storage`].
pub async fn open(address: &Address, columns: Option<Arc<dyn Columns>>) -> Result<Log, Error> {
    let writing = Writing { columns };
    Ok(Kafka::open(address, Some(writing)).await?.log())
}

/// Opens an existing log for reading only.
///
/// # Errors
/// Those of [`open`].
pub async fn open_read_only(address: &Address) -> Result<Log, Error> {
    Ok(Kafka::open(address, None).await?.log())
}

/// What the readers and writers of one opened log share.
struct Store {
    address: Address,
    genesis: Genesis,
    ends: Arc<Ends>,
    edges: Edges,
    columns: Option<Arc<dyn Columns>>,
    #[cfg(test)]
    watches: std::sync::Mutex<Vec<std::sync::Weak<client::Watch>>>,
}

/// What only a log has that is opened for writing.
struct Writing {
    columns: Option<Arc<dyn Columns>>,
}

#[derive(Clone)]
struct Kafka {
    store: Arc<Store>,
    /// There if it may write.
    spare: Option<Arc<Spare>>,
}

impl Kafka {
    async fn open(address: &Address, writing: Option<Writing>) -> Result<Self, Error> {
        let cluster = Cluster::connect(address)?;
        let topic = cluster.check_topic().await?;
        let genesis = certificate::read(address, topic.partitions).await?;
        let ends = Arc::new(Ends::new(genesis.partitions));
        let edges = cluster.edges();
        for partition in 0..genesis.partitions {
            let (_, end) = edges.of(partition, ANSWER_WITHIN).await?;
            ends.advance(partition, position(end.saturating_sub(1)));
        }
        let spare = match &writing {
            Some(_) => Some(Spare::new(address, &ends, genesis.partitions)?),
            None => None,
        };
        let store = Store {
            address: address.clone(),
            genesis,
            ends,
            edges,
            columns: writing.and_then(|writing| writing.columns),
            #[cfg(test)]
            watches: std::sync::Mutex::default(),
        };
        Ok(Self { store: Arc::new(store), spare })
    }

    fn log(&self) -> Log {
        Log::new(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Backend for Kafka {
    fn genesis(&self) -> &Genesis {
        &self.store.genesis
    }

    fn ends(&self) -> &Ends {
        &self.store.ends
    }

    async fn end_now(&self, partition: u16) -> Result<Position, Fault> {
        let (_, end) = self.store.edges.of(partition, ANSWER_WITHIN).await?;
        let end = position(end.saturating_sub(1));
        self.store.ends.advance(partition, end);
        Ok(end)
    }

    fn tail(&self, partition: u16) -> Box<dyn Tail> {
        Box::new(KafkaTail::new(self.store.clone(), partition))
    }

    async fn producer(&self, partition: u16) -> Result<Option<Box<dyn Producer>>, Fault> {
        let Some(spare) = &self.spare else { return Ok(None) };
        Ok(Some(Box::new(KafkaProducer::start(&self.store, partition, spare)?)))
    }
}

/// The position of what stands at an offset.
fn position(offset: i64) -> Position {
    Position::new(u64::try_from(offset).unwrap_or(0))
}

/// The offset of a position; positions fit 63 bits.
fn offset(position: Position) -> i64 {
    i64::try_from(position.get()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
