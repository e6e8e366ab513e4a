//! Sends the records of one writer. Whatever the client reports but success means that the outcome is unknown.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::{
    ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::{Address, Store, client, envelope::Envelope, position};
use crate::{
    backend::{Asked, Delivery, Ends, Entry, Producer},
    error::Fault,
    frame::Record,
};

/// Who waits for what becomes of a record, and in which partition.
pub(super) struct Waiting {
    pub(super) partition: u16,
    pub(super) report: oneshot::Sender<Delivery>,
    /// Held by the last record of a burst.
    pub(super) burst: Option<OwnedSemaphorePermit>,
}

/// How many bursts may be under way. Each becomes two or three requests.
const BURSTS_MAX: usize = 1;
const BURST_RECORDS_MAX: usize = 1_000;

/// Takes the client's reports; whoever waits for a partition to grow hears of it.
pub(super) struct Reports(pub(super) Arc<Ends>);

/// A client that sends.
pub(super) type Client = ThreadedProducer<Reports>;

/// Sets a client up; it connects by itself.
pub(super) fn client(address: &Address, ends: &Arc<Ends>) -> Result<Client, Fault> {
    let client = client::producer(address).create_with_context(Reports(ends.clone()));
    client.map_err(|source| Fault::new("set up a producer", source))
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::forward(level, facility, message);
    }

    /// What it means for a record comes with its report.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Box<Waiting>) {
        let Waiting { partition, report, burst: _burst } = *waiting;
        let delivery = match result {
            Ok(message) => {
                // A repeated send is confirmed without an offset; who reads the record back learns it.
                let position = position(message.offset());
                self.0.advance(partition, position);
                self.0.heard(Asked::Write, Ok(()));
                Delivery::Stored(position)
            }
            Err((error, _)) => {
                if !is_of_an_ended_client(error) {
                    self.0.heard(Asked::Write, Err(error));
                }
                Delivery::Unknown(Fault::new("store a record", error.clone()))
            }
        };
        drop(report.send(delivery));
    }
}

/// What a client says of what it had under way when it was ended; the store has no part in it.
fn is_of_an_ended_client(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight].contains(&code))
}

/// The client of the next claim, connected before it is needed: a new one waits half a second for its number.
pub(super) struct Spare(Mutex<Option<Client>>);

impl Spare {
    pub(super) fn new(client: Client) -> Self {
        Self(Mutex::new(Some(client)))
    }

    /// Gives one that nobody ever used, and sets the next one up.
    fn take(&self, store: &Store) -> Result<Client, Fault> {
        let next = client(&store.address, &store.ends)?;
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(next);
        match spare {
            Some(spare) if spare.client().fatal_error().is_none() => Ok(spare),
            unsound => {
                client::end(unsound);
                client(&store.address, &store.ends)
            }
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        client::end(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A client of its own per claim, so that nothing of an older one can be mixed up with it.
pub(super) struct KafkaProducer {
    waiting: mpsc::UnboundedSender<(Entry, oneshot::Sender<Delivery>)>,
    sending: JoinHandle<()>,
}

impl KafkaProducer {
    pub(super) fn start(store: &Arc<Store>, partition: u16, spare: &Spare) -> Result<Self, Fault> {
        let sending = Sending { store: store.clone(), partition, client: Some(spare.take(store)?) };
        let (waiting, queue) = mpsc::unbounded_channel();
        Ok(Self { waiting, sending: tokio::spawn(sending.run(queue)) })
    }
}

impl Producer for KafkaProducer {
    fn send(&mut self, entry: Entry) -> oneshot::Receiver<Delivery> {
        let (report, delivery) = oneshot::channel();
        // If the task has ended, the report's sender is dropped here.
        drop(self.waiting.send((entry, report)));
        delivery
    }
}

impl Drop for KafkaProducer {
    /// What was not handed to the client yet is of a term that is over.
    fn drop(&mut self) {
        self.sending.abort();
    }
}

/// Hands what waits to the client: at once while little is under way, and together with what came meanwhile otherwise.
///
/// The client by itself sends each record in a request of its own as long as five are under way, and then waits busily
/// for the next, with a processor of its own.
struct Sending {
    store: Arc<Store>,
    partition: u16,
    /// Taken only when it ends.
    client: Option<Client>,
}

impl Sending {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<(Entry, oneshot::Sender<Delivery>)>) {
        let bursts = Arc::new(Semaphore::new(BURSTS_MAX));
        let mut burst = Vec::new();
        while queue.recv_many(&mut burst, BURST_RECORDS_MAX).await > 0 {
            let Ok(mut leave) = bursts.clone().acquire_owned().await.map(Some) else { return };
            while burst.len() < BURST_RECORDS_MAX {
                let Ok(next) = queue.try_recv() else { break };
                burst.push(next);
            }
            let (entries, reports): (Vec<Entry>, Vec<_>) = burst.drain(..).unzip();
            // All of them first: what is handed over in one go goes in few requests.
            let envelopes: Vec<_> = entries.iter().map(|entry| self.envelope(&entry.record)).collect();
            let last = envelopes.len() - 1;
            for (place, (envelope, report)) in envelopes.into_iter().zip(reports).enumerate() {
                let burst = if place == last { leave.take() } else { None };
                self.send(envelope, Waiting { partition: self.partition, report, burst });
            }
        }
    }

    fn envelope<'a>(&self, record: &'a Record) -> Envelope<'a> {
        let Store { genesis, columns, .. } = &*self.store;
        Envelope::of(record, genesis.log_id, self.partition, columns.as_deref())
    }

    fn send(&self, Envelope { headers, key, value }: Envelope<'_>, waiting: Waiting) {
        let message = BaseRecord::with_opaque_to(&self.store.address.topic, Box::new(waiting))
            .partition(i32::from(self.partition))
            .headers(headers)
            .payload(value);
        let message = BaseRecord { key: key.as_deref(), ..message };
        if let Some(client) = &self.client
            && let Err((error, message)) = client.send(message)
        {
            let unknown = Delivery::Unknown(Fault::new("send a record", error));
            drop(message.delivery_opaque.report.send(unknown));
        }
    }
}

impl Drop for Sending {
    /// The client waits for its threads, which no task may do.
    fn drop(&mut self) {
        client::end(self.client.take());
    }
}
