//! A log in a Postgres database. Any number of processes may have it open; the heads decide who may append.

mod columns;
mod group;
mod schema;
mod statement;
mod tail;

use std::sync::Arc;

use async_trait::async_trait;
pub use postgres_store::{Address, Error as ServerError};
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};

use self::{
    columns::Cells,
    group::{GroupCommit, Job},
    tail::{PostgresTail, Reads},
};
use crate::{
    Columns,
    backend::{Backend, Delivery, Ends, Entry, Producer, Tail},
    error::{Error, Fault},
    frame::FRAME_LEN,
    genesis::{Class, Genesis},
    ids::Position,
    log::Log,
};

/// Connections that records are stored through; each serves its share of the partitions.
const WRITERS: u16 = 2;

/// Makes a log in the database and opens it for writing. `columns` fill the view `events`.
///
/// # Errors
/// [`Error::AlreadyExists`], [`Error::Unusable`], [`Error::Storage`].
pub async fn init(
    address: &Address,
    partitions: u16,
    columns: Option<Arc<dyn Columns>>,
) -> Result<Log, Error> {
    let mut connection = schema::connect(address).await?;
    schema::migrate(address, &mut connection).await?;
    let genesis = Genesis::new(partitions.max(1), Class::Conditional);
    let created = schema::create(&mut connection, &genesis).await;
    if !created.map_err(|error| Fault::new("make a log", address.explain(error)))? {
        return Err(Error::AlreadyExists { place: address.to_string() });
    }
    open_with(address, genesis, Some(columns)).await
}

/// Opens an existing log for writing, beside whoever else has it open.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Unusable`], [`Error::Storage`].
pub async fn open(address: &Address, columns: Option<Arc<dyn Columns>>) -> Result<Log, Error> {
    let mut connection = schema::connect(address).await?;
    let genesis = read_genesis(address, &mut connection).await?;
    let asked = schema::may_write(&mut connection).await;
    if !asked.map_err(|error| Fault::new("ask what the user may do", address.explain(error)))? {
        let reason = "the user may not append to it; name another one, or grant it \
                      INSERT on loyalnest_log.log and UPDATE on loyalnest_log.head";
        return Err(Error::Unusable { place: address.to_string(), reason: reason.to_owned() });
    }
    open_with(address, genesis, Some(columns)).await
}

/// Opens an existing log for reading only.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Unusable`], [`Error::Storage`].
pub async fn open_read_only(address: &Address) -> Result<Log, Error> {
    let mut connection = schema::connect(address).await?;
    let genesis = read_genesis(address, &mut connection).await?;
    open_with(address, genesis, None).await
}

async fn read_genesis(address: &Address, connection: &mut PgConnection) -> Result<Genesis, Error> {
    let failed = |error| Fault::new("read the log's genesis", address.explain(error));
    let not_found = || Error::NotFound { place: address.to_string() };
    if !schema::exists(connection).await.map_err(failed)? {
        return Err(not_found());
    }
    schema::migrate(address, connection).await?;
    let genesis = schema::genesis(connection).await.map_err(failed)?.ok_or_else(not_found)?;
    genesis.map_err(|reason| Error::Unusable { place: address.to_string(), reason: reason.to_owned() })
}

async fn open_with(
    address: &Address,
    genesis: Genesis,
    writing: Option<Option<Arc<dyn Columns>>>,
) -> Result<Log, Error> {
    let ends = Arc::new(Ends::new(genesis.partitions));
    let reads = Arc::new(Reads::new(address, ends.clone()));
    reads.load_ends().await?;
    let writing = writing.map(|columns| {
        let start = |_| {
            let (jobs, queue) = mpsc::unbounded_channel();
            tokio::spawn(GroupCommit::new(address.clone(), ends.clone()).run(queue));
            jobs
        };
        Writing { queues: (0..WRITERS.min(genesis.partitions)).map(start).collect(), columns }
    });
    Ok(Log::new(Arc::new(PostgresLog { genesis, ends, reads, writing })))
}

struct PostgresLog {
    genesis: Genesis,
    ends: Arc<Ends>,
    reads: Arc<Reads>,
    /// Nothing in a log that was opened for reading only.
    writing: Option<Writing>,
}

/// The tasks that write end with the last log or producer, after storing what they were given.
struct Writing {
    queues: Vec<mpsc::UnboundedSender<Job>>,
    columns: Option<Arc<dyn Columns>>,
}

#[async_trait]
impl Backend for PostgresLog {
    fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn ends(&self) -> &Ends {
        &self.ends
    }

    async fn end_now(&self, partition: u16) -> Result<Position, Fault> {
        self.reads.load_ends().await?;
        Ok(self.ends.get(partition))
    }

    fn tail(&self, partition: u16) -> Box<dyn Tail> {
        Box::new(PostgresTail::new(self.reads.clone(), partition))
    }

    async fn producer(&self, partition: u16) -> Result<Option<Box<dyn Producer>>, Fault> {
        let producer = |writing: &Writing| -> Box<dyn Producer> {
            let jobs = writing.queues[usize::from(partition) % writing.queues.len()].clone();
            Box::new(PostgresProducer { partition, jobs, columns: writing.columns.clone() })
        };
        Ok(self.writing.as_ref().map(producer))
    }
}

struct PostgresProducer {
    partition: u16,
    jobs: mpsc::UnboundedSender<Job>,
    columns: Option<Arc<dyn Columns>>,
}

impl Producer for PostgresProducer {
    fn send(&mut self, entry: Entry) -> oneshot::Receiver<Delivery> {
        let (report, delivery) = oneshot::channel();
        let shown = self
            .columns
            .as_ref()
            .and_then(|columns| columns.of(&entry.record.frame, &entry.record.bytes[FRAME_LEN..]));
        let cells = shown.and_then(Cells::of);
        // A task that is gone drops the report, which is an unknown outcome.
        drop(self.jobs.send(Job { partition: self.partition, entry, cells, report }));
        delivery
    }
}

#[cfg(test)]
mod tests;
