//! The conformance suite on a real Kafka, and what only Kafka can do to a log.

mod brokers;
mod editor;
mod group;
mod history;
mod memory;
mod outside;
mod own;
mod refusals;
mod secure;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

use self::editor::Editor;
use super::{client, *};
use crate::{
    Timing,
    conformance::{Fixture, Tamper, conformance},
};

fn admin(address: &Address) -> AdminClient<DefaultClientContext> {
    testing::admin(address).unwrap()
}

/// Runs what is asynchronous where nothing may be awaited.
fn wait_for<T: Send>(what: impl Future<Output = T> + Send) -> T {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what);
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

async fn opened(address: &Address) -> Result<Kafka, Error> {
    Kafka::open(address, Some(Writing { columns: None })).await
}

/// A log in a topic that goes with it.
struct Topic {
    address: Address,
    kafka: Kafka,
}

impl Topic {
    async fn new() -> Self {
        let address = testing::new_topic();
        init(&address, 4, None).await.unwrap();
        let kafka = opened(&address).await.unwrap();
        Self { address, kafka }
    }

    fn editor(&self) -> Editor {
        Editor::of(&self.address)
    }

    /// Every running reader looks again, as after any trouble with its connection.
    fn raise_doubts(&self) {
        for watch in self.kafka.store.watches.lock().unwrap().iter().filter_map(std::sync::Weak::upgrade) {
            watch.doubt();
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let admin = admin(&self.address);
        drop(wait_for(admin.delete_topics(&[&self.address.topic], &AdminOptions::new())));
    }
}

impl Fixture for Topic {
    fn log(&self) -> Log {
        self.kafka.log()
    }

    async fn reopen(mut self) -> Self {
        self.kafka = opened(&self.address).await.unwrap();
        self
    }

    /// Nobody edits a topic in place; who wants other records deletes it and makes it again.
    fn tamper(&self, tamper: Tamper) {
        self.editor().tamper(&self.kafka.store.genesis, tamper);
        self.raise_doubts();
    }

    /// The topic is made again for each edit. There are claims and commits among these, and the last record.
    fn edited_every(&self) -> usize {
        3
    }

    fn quick(&self) -> Timing {
        Timing { append_timeout: Duration::from_secs(3), ..crate::conformance::QUICK }
    }
}

conformance!(open_on_kafka, Topic::new().await);
