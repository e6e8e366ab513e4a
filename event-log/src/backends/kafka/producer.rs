//! Sends the records of one writer. Whatever the client reports but success means that the outcome is unknown.

use std::sync::Arc;

use rdkafka::{
    ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer},
};
use tokio::sync::oneshot;

use super::{Store, client, envelope::Envelope, position};
use crate::{
    backend::{Delivery, Entry, Producer},
    error::Fault,
};

/// Who waits for what becomes of a record.
pub(super) type Waiting = oneshot::Sender<Delivery>;

/// Takes the client's reports; whoever waits for a partition to grow hears of it.
#[derive(Default)]
pub(super) struct Reports(Option<(Arc<Store>, u16)>);

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
                if let Some((store, partition)) = &self.0 {
                    store.ends.advance(*partition, position);
                }
                Delivery::Stored(position)
            }
            Err((error, _)) => Delivery::Unknown(Fault::new("store a record", error.clone())),
        };
        drop(waiting.send(delivery));
    }
}

/// A client of its own per claim, so that nothing of an older one can be mixed up with it.
pub(super) struct KafkaProducer {
    store: Arc<Store>,
    partition: u16,
    /// Taken only when it ends.
    client: Option<ThreadedProducer<Reports>>,
}

impl KafkaProducer {
    pub(super) fn start(store: &Arc<Store>, partition: u16) -> Result<Self, Fault> {
        let reports = Reports(Some((store.clone(), partition)));
        let client = client::producer(&store.address).create_with_context(reports);
        let client = client.map_err(|source| Fault::new("set up a producer", source))?;
        Ok(Self { store: store.clone(), partition, client: Some(client) })
    }
}

impl Producer for KafkaProducer {
    fn send(&mut self, entry: Entry) -> oneshot::Receiver<Delivery> {
        let (report, delivery): (Waiting, _) = oneshot::channel();
        let Entry { record, .. } = entry;
        let Store { address, genesis, columns, .. } = &*self.store;
        let Envelope { headers, key, value } =
            Envelope::of(&record, genesis.log_id, self.partition, columns.as_deref());
        let message = BaseRecord::with_opaque_to(&address.topic, Box::new(report))
            .partition(i32::from(self.partition))
            .headers(headers)
            .payload(value);
        let message = BaseRecord { key: key.as_deref(), ..message };
        if let Some(client) = &self.client
            && let Err((error, message)) = client.send(message)
        {
            let unknown = Delivery::Unknown(Fault::new("send a record", error));
            drop(message.delivery_opaque.send(unknown));
        }
        delivery
    }
}

impl Drop for KafkaProducer {
    /// The client waits for its threads, which no task may do.
    fn drop(&mut self) {
        client::end(self.client.take());
    }
}
