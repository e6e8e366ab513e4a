//! Sends the records of one writer. Whatever the client reports but success means that the outcome is unknown.

use std::{
    collections::VecDeque,
    hint, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::{sync::oneshot, task::spawn_blocking};

use super::{
    Address, Store, client,
    envelope::{self, Envelope},
    position,
};
use crate::{
    backend::{Asked, Delivery, Ends, Entry, Producer},
    error::Fault,
};

/// So many claims at once find a client that has its number.
const SPARE_MAX: usize = 8;

/// While a burst is under way, what comes is taken so often: to be woken for each record would cost its owner more than
/// to decide some.
const NAP: Duration = Duration::from_micros(100);

/// Who waits for what becomes of a record, and in which partition.
pub(super) struct Waiting {
    pub(super) partition: u16,
    pub(super) report: oneshot::Sender<Delivery>,
    /// With which others it was sent.
    pub(super) burst: Option<Arc<Burst>>,
}

impl Waiting {
    fn tell(self, delivery: Delivery) {
        match &self.burst {
            Some(burst) => burst.heard(self.report, delivery),
            None => drop(self.report.send(delivery)),
        }
    }
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
        let delivery = match result {
            Ok(message) => {
                // A repeated send is confirmed without an offset; who reads the record back learns it.
                let position = position(message.offset());
                self.0.advance(waiting.partition, position);
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
        waiting.tell(delivery);
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
    desk: Arc<Desk>,
}

impl KafkaProducer {
    pub(super) fn start(store: &Arc<Store>, partition: u16, spare: &Arc<Spare>) -> Result<Self, Fault> {
        let (store, desk) = (store.clone(), Arc::<Desk>::default());
        let source = envelope::source(store.genesis.log_id, partition);
        let sending = Sending { store, partition, source, desk: desk.clone(), client: spare.take()? };
        let thread = thread::Builder::new().name("sends to kafka".to_owned());
        thread.spawn(|| sending.run()).map_err(|source| Fault::new("start to send", source))?;
        Ok(Self { desk })
    }
}

impl Producer for KafkaProducer {
    fn send(&mut self, entry: Entry) -> oneshot::Receiver<Delivery> {
        let (report, delivery) = oneshot::channel();
        self.desk.put((entry, report));
        delivery
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        self.desk.end();
    }
}

/// A record to be sent, and who waits for it.
type New = (Entry, oneshot::Sender<Delivery>);

/// Where records wait for the thread that sends them.
#[derive(Default)]
struct Desk {
    tray: Mutex<Tray>,
    news: Condvar,
}

#[derive(Default)]
struct Tray {
    new: Vec<New>,
    /// A burst was sent, and nothing is known of it yet.
    under_way: bool,
    /// The thread is to be woken for a record; otherwise it looks by itself.
    is_asleep: bool,
    /// What was not sent yet is of a term that is over.
    has_ended: bool,
}

impl Desk {
    /// Behind the end nobody sends it: whoever waits for it hears that.
    fn put(&self, new: New) {
        let mut tray = self.tray();
        if tray.has_ended {
            return;
        }
        tray.new.push(new);
        if mem::take(&mut tray.is_asleep) {
            self.news.notify_one();
        }
    }

    fn arrived(&self) {
        self.tray().under_way = false;
        self.news.notify_one();
    }

    fn end(&self) {
        let mut tray = self.tray();
        tray.has_ended = true;
        tray.new.clear();
        self.news.notify_one();
    }

    /// Waits until there are new records, or none is under way and some wait to be sent; nothing at the end. Says whether
    /// the next burst leaves now.
    fn take(&self, some_wait: bool) -> Option<(Vec<New>, bool)> {
        let mut tray = self.tray();
        let mut napped = false;
        loop {
            let leaves = !tray.under_way && (some_wait || !tray.new.is_empty());
            if tray.has_ended {
                return None;
            } else if leaves || !tray.new.is_empty() {
                tray.under_way |= leaves;
                return Some((mem::take(&mut tray.new), leaves));
            } else if tray.under_way && !napped {
                tray = self.news.wait_timeout(tray, NAP).unwrap_or_else(PoisonError::into_inner).0;
                napped = true;
            } else {
                tray.is_asleep = true;
                tray = self.news.wait(tray).unwrap_or_else(PoisonError::into_inner);
                tray.is_asleep = false;
            }
        }
    }

    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records sent together. With the first that anything is known of, the client is free for the next; what became of all of
/// them is told at once, so that whoever waits is woken once.
pub(super) struct Burst {
    desk: Arc<Desk>,
    heard: Mutex<Vec<(oneshot::Sender<Delivery>, Delivery)>>,
}

impl Burst {
    fn heard(&self, report: oneshot::Sender<Delivery>, delivery: Delivery) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.is_empty() {
            self.desk.arrived();
        }
        heard.push((report, delivery));
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        let heard = self.heard.get_mut().unwrap_or_else(PoisonError::into_inner);
        heard.drain(..).for_each(|(report, delivery)| drop(report.send(delivery)));
    }
}

/// Hands what waits to the client, a burst at a time, so that each becomes one request: what comes while one is under way
/// is packed and goes as the next. On a thread of its own: a task would wait for the runtime's, which decide meanwhile.
///
/// The client by itself sends a record as soon as it has one, has only one request with five records or more under way,
/// and waits for its answer busily, with a processor of its own, while it has others. So it gets them together, is
/// told to wait for as long as that takes, and is woken then: by itself it looks again only after a millisecond.
struct Sending {
    store: Arc<Store>,
    partition: u16,
    source: String,
    desk: Arc<Desk>,
    client: Client,
}

impl Sending {
    fn run(self) {
        let mut packed = Vec::new();
        while let Some((new, leaves)) = self.desk.take(!packed.is_empty()) {
            packed.extend(new.into_iter().map(|new| self.pack(new)));
            if leaves {
                self.send_all(packed.drain(..));
            }
        }
    }

    fn send_all(&self, packed: impl Iterator<Item = Packed>) {
        let burst = Arc::new(Burst { desk: self.desk.clone(), heard: Mutex::default() });
        let begun = Instant::now();
        packed.for_each(|packed| self.send(packed, &burst));
        // To sleep for so little takes several times as long.
        while begun.elapsed() <= client::LINGER {
            hint::spin_loop();
        }
        let late = mem::take(&mut self.desk.tray().new);
        late.into_iter().for_each(|late| self.send(self.pack(late), &burst));
        self.wake();
    }

    fn pack(&self, (entry, report): New) -> Packed {
        let envelope = Envelope::of(&entry.record, &self.source, self.store.columns.as_deref());
        Packed { envelope, report }
    }

    fn send(&self, Packed { envelope, report }: Packed, burst: &Arc<Burst>) {
        let Envelope { headers, key, value } = envelope;
        let waiting = Waiting { partition: self.partition, report, burst: Some(burst.clone()) };
        let message = BaseRecord::with_opaque_to(&self.store.address.topic, Box::new(waiting))
            .partition(i32::from(self.partition))
            .headers(headers)
            .payload(&value[..]);
        let message = BaseRecord { key: key.as_ref().map(|key| &key[..]), ..message };
        if let Err((error, message)) = self.client.send(message) {
            message.delivery_opaque.tell(Delivery::Unknown(Fault::new("send a record", error)));
        }
    }

    /// Nothing is waited for here; a flush wakes the client's thread, whose linger is over.
    fn wake(&self) {
        drop(self.client.flush(Duration::ZERO));
    }
}

impl Drop for Sending {
    /// Also if it failed: nobody waits in vain.
    fn drop(&mut self) {
        self.desk.end();
    }
}

/// A record ready to be sent, and who waits for it.
struct Packed {
    envelope: Envelope,
    report: oneshot::Sender<Delivery>,
}
