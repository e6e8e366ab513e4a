//! Sends the records of one writer. Whatever the client reports but success means that the outcome is unknown.

use std::{
    collections::VecDeque,
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::{JoinHandle, spawn_blocking, yield_now},
};

use super::{Address, Store, client, envelope::Envelope, position};
use crate::{
    backend::{Asked, Delivery, Ends, Entry, Producer},
    error::Fault,
};

/// So many claims at once find a client that has its number.
const SPARE_MAX: usize = 8;

/// Who waits for what becomes of a record, and in which partition.
pub(super) struct Waiting {
    pub(super) partition: u16,
    pub(super) report: oneshot::Sender<Delivery>,
    /// Its burst, which is under way as long as one of its records is.
    pub(super) burst: Option<Arc<OwnedSemaphorePermit>>,
}

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

/// The clients of the next claims, connected before they are needed: a new one waits half a second for its number, and who
/// takes over from another process claims several partitions at once.
pub(super) struct Spare {
    address: Address,
    ends: Arc<Ends>,
    wanted: usize,
    /// Nobody ever used one of them. The oldest comes first.
    clients: Mutex<VecDeque<Client>>,
    /// Held while one is made.
    making: Mutex<()>,
}

impl Spare {
    pub(super) fn new(address: &Address, ends: &Arc<Ends>, partitions: u16) -> Result<Arc<Self>, Fault> {
        let spare = Arc::new(Self {
            address: address.clone(),
            ends: ends.clone(),
            wanted: usize::from(partitions).min(SPARE_MAX),
            clients: Mutex::new(VecDeque::from([client(address, ends)?])),
            making: Mutex::default(),
        });
        spare.fill();
        Ok(spare)
    }

    /// Gives one that nobody ever used, and has another one made.
    fn take(self: &Arc<Self>) -> Result<Client, Fault> {
        let spare = self.clients().pop_front();
        self.fill();
        match spare {
            Some(spare) if spare.client().fatal_error().is_none() => Ok(spare),
            unsound => {
                client::end(unsound);
                client(&self.address, &self.ends)
            }
        }
    }

    /// Makes what is missing, out of the way of who claims, as long as the log is open.
    fn fill(self: &Arc<Self>) {
        let spare = Arc::downgrade(self);
        spawn_blocking(move || while spare.upgrade().is_some_and(|spare| spare.make()) {});
    }

    /// Whether one was missing and is there now.
    fn make(&self) -> bool {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.clients().len() >= self.wanted {
            return false;
        }
        match client(&self.address, &self.ends) {
            Ok(client) => {
                self.clients().push_back(client);
                true
            }
            Err(fault) => {
                tracing::warn!(error = &fault as &dyn std::error::Error, "There is one spare producer less");
                false
            }
        }
    }

    fn clients(&self) -> MutexGuard<'_, VecDeque<Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        client::end(mem::take(&mut *self.clients()));
    }
}

/// A client of its own per claim, so that nothing of an older one can be mixed up with it.
pub(super) struct KafkaProducer {
    waiting: mpsc::UnboundedSender<(Entry, oneshot::Sender<Delivery>)>,
    sending: JoinHandle<()>,
}

impl KafkaProducer {
    pub(super) fn start(store: &Arc<Store>, partition: u16, spare: &Arc<Spare>) -> Result<Self, Fault> {
        let sending = Sending { store: store.clone(), partition, client: Some(spare.take()?) };
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

/// Hands what waits to the client, a burst at a time, so that each becomes one request: what comes while one is under way
/// is packed and goes as the next.
///
/// The client by itself sends a record as soon as it has one, has only one request with five records or more under way,
/// and waits for its answer busily, with a processor of its own, while it has others. So it gets them together, is
/// told to wait for as long as that takes, and is woken then: by itself it looks again only after a millisecond.
struct Sending {
    store: Arc<Store>,
    partition: u16,
    /// Taken only when it ends.
    client: Option<Client>,
}

impl Sending {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<(Entry, oneshot::Sender<Delivery>)>) {
        let one_at_a_time = Arc::new(Semaphore::new(1));
        let mut packed = Vec::new();
        while let Some(first) = queue.recv().await {
            packed.push(self.pack(first));
            let burst = {
                let mut leave = pin!(one_at_a_time.clone().acquire_owned());
                loop {
                    select! {
                        biased;
                        leave = &mut leave => break leave,
                        Some(next) = queue.recv() => packed.push(self.pack(next)),
                    }
                }
            };
            let Ok(burst) = burst.map(Arc::new) else { return };
            let begun = Instant::now();
            packed.drain(..).for_each(|packed| self.send(packed, &burst));
            while begun.elapsed() <= client::LINGER {
                yield_now().await;
                while let Ok(next) = queue.try_recv() {
                    self.send(self.pack(next), &burst);
                }
            }
            self.wake();
        }
    }

    fn pack(&self, (entry, report): (Entry, oneshot::Sender<Delivery>)) -> Packed {
        let Store { genesis, columns, .. } = &*self.store;
        let envelope = Envelope::of(&entry.record, genesis.log_id, self.partition, columns.as_deref());
        Packed { envelope, report }
    }

    fn send(&self, Packed { envelope, report }: Packed, burst: &Arc<OwnedSemaphorePermit>) {
        let Envelope { headers, key, value } = envelope;
        let waiting = Waiting { partition: self.partition, report, burst: Some(burst.clone()) };
        let message = BaseRecord::with_opaque_to(&self.store.address.topic, Box::new(waiting))
            .partition(i32::from(self.partition))
            .headers(headers)
            .payload(&value[..]);
        let message = BaseRecord { key: key.as_ref().map(|key| &key[..]), ..message };
        if let Some(client) = &self.client
            && let Err((error, message)) = client.send(message)
        {
            let unknown = Delivery::Unknown(Fault::new("send a record", error));
            drop(message.delivery_opaque.report.send(unknown));
        }
    }

    /// Nothing is waited for here; a flush wakes the client's thread, whose linger is over.
    fn wake(&self) {
        drop(self.client.as_ref().map(|client| client.flush(Duration::ZERO)));
    }
}

/// A record ready to be sent, and who waits for it.
struct Packed {
    envelope: Envelope,
    report: oneshot::Sender<Delivery>,
}

impl Drop for Sending {
    /// The client waits for its threads, which no task may do.
    fn drop(&mut self) {
        client::end(self.client.take());
    }
}
