//! Sends a message for an aggregate to the node that owns its partition, once, and brings the answer back.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use event_log::Log;
use privacy::{Channel, KeyStore};
use reqwest::{Client, redirect::Policy};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    OwnedBy, Owners,
    wire::{self, Ask, Came, Given, Message as _, Told, Wanted, What, WireError},
};
use crate::{
    commands::Unavailable,
    owner::{DueStream, Listing, Message, Work},
    planted,
};

/// Where nodes take asks of each other.
pub(super) const PATH: &str = "/internal/asks";
/// What keeps these messages apart from others of the installation.
pub(super) const PURPOSE: &str = "asks of other nodes";
/// How long an owner may take to answer: longer than any claim of a partition that is in order.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// So many asks at most wait for one node; each has a connection of its own, and one that stands still accepts them all.
const ASKS_MAX: usize = if cfg!(test) { 8 } else { 512 };
/// How long a node may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// The way to the other nodes; cheap to clone.
#[derive(Clone)]
pub(crate) struct Forwarder {
    owners: Arc<dyn Owners>,
    channel: Arc<Channel>,
    http: Client,
    log: Log,
    /// By node, the right to ask it one thing more.
    rights: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// Nodes cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The channel between them.
    #[error("the channel between nodes cannot be made")]
    Channel(#[from] privacy::Error),
    /// The HTTP client.
    #[error("the client for other nodes cannot be made")]
    Client(#[from] reqwest::Error),
}

/// This ask failed. It never says whether the command took effect.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the node could not be asked")]
    Http(#[from] reqwest::Error),
    #[error("the message could not be sealed or opened")]
    Sealed(#[from] privacy::Error),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the node answered another question")]
    Mismatched,
}

impl Forwarder {
    /// A way to the nodes that these owners name.
    ///
    /// # Errors
    /// [`ForwardError`].
    pub(crate) fn new(log: &Log, owners: Arc<dyn Owners>, keys: &KeyStore) -> Result<Self, ForwardError> {
        // A redirect would be a second hop, and a proxy of the environment is for the outside.
        let http = Client::builder().redirect(Policy::none()).no_proxy();
        let http = http.connect_timeout(CONNECT_MAX).timeout(ANSWER_MAX).build()?;
        let (channel, rights) = (Arc::new(keys.channel(PURPOSE)?), Arc::default());
        Ok(Self { owners, channel, http, log: log.clone(), rights })
    }

    /// Whoever else announced the partition.
    pub(crate) fn owner(&self, partition: u16) -> Option<OwnedBy> {
        self.owners.owner(partition)
    }

    /// The right to ask this node, unless too much waits for its answers already.
    fn right(&self, url: &str) -> Option<OwnedSemaphorePermit> {
        let mut rights = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
        // Nodes come back under other addresses.
        rights.retain(|node, right| node == url || right.available_permits() < ASKS_MAX);
        let right = rights.entry(url.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(ASKS_MAX)));
        Arc::clone(right).try_acquire_owned().ok()
    }

    /// Has the message for the partition answered by that node, in a task of its own.
    pub(crate) fn forward(&self, to: OwnedBy, partition: u16, message: Message) {
        let Some(right) = self.right(&to.url) else {
            metrics::counter!("forward_refused_total").increment(1);
            return message.work.refuse(Unavailable::Overloaded);
        };
        let this = self.clone();
        tokio::spawn(async move {
            let _right = right;
            if let Some(another) = planted::forwards_twice().then(|| another(&message)).flatten() {
                drop(this.ask(&to.url, &another).await);
            }
            let told = match ask_of(partition, &message) {
                Ok(Some(ask)) => this.ask(&to.url, &ask).await,
                // To save all is of no use but where the partition is owned.
                Ok(None) => return message.work.refuse(Unavailable::NotOwned),
                Err(error) => Err(error.into()),
            };
            match told {
                Ok(told) => {
                    // Whoever asks this node next sees no less than what is answered now.
                    if let Some(at) = told.position() {
                        this.log.heard_of(at.partition(), at.position());
                    }
                    settle(message.work, told);
                }
                Err(error) => {
                    metrics::counter!("forward_failed_total").increment(1);
                    tracing::warn!(
                        node = to.url,
                        error = &error as &dyn std::error::Error,
                        "A node could not answer for its partition"
                    );
                    message.work.refuse(Unavailable::NotOwned);
                }
            }
        });
    }

    async fn ask(&self, url: &str, ask: &Ask) -> Result<Told, Failed> {
        let sealed = self.channel.seal(PATH.as_bytes(), &ask.encode()?)?;
        let about = digest(&SHA256, &sealed);
        let answer = self.http.post(format!("{url}{PATH}")).body(sealed).send().await?.error_for_status()?;
        let told = self.channel.open(about.as_ref(), &answer.bytes().await?)?;
        Ok(Told::decode(&told)?)
    }
}

/// The bug of a forwarder that makes a command of its own of what it is handed.
fn another(message: &Message) -> Option<Ask> {
    let Work::Command(envelope, _) = &message.work else { return None };
    let what = What::command(&planted::marked::another(envelope)).ok()?;
    Some(Ask::new(message.merchant, message.stream, message.lane, what))
}

/// The message as it travels; none for what only an owner in this process can be asked.
fn ask_of(partition: u16, message: &Message) -> Result<Option<Ask>, WireError> {
    let what = match &message.work {
        Work::Command(envelope, _) => What::command(envelope)?,
        Work::Recall(key, _) => What::Recall(*key),
        Work::Read(_) => What::Read,
        Work::Glance(_) => What::Glance,
        Work::Due(listing) => What::Due(Box::new(Wanted::new(partition, listing.query))),
        Work::Save(saving) if saving.renew.is_empty() => return Ok(None),
        Work::Save(saving) => What::renew(&saving.renew),
    };
    Ok(Some(Ask::new(message.merchant, message.stream, message.lane, what)))
}

/// Gives the asker what was told, with its look at the state.
fn settle(mut work: Work, told: Told) {
    let given = match told.answer {
        Ok(given) => given,
        Err(refusal) => return work.refuse(refusal.into()),
    };
    match given.aggregate() {
        Ok(aggregate) => {
            if let Some(aggregate) = aggregate {
                work.see(&aggregate);
            }
        }
        Err(error) => return work.refuse(Unavailable::fault(error)),
    }
    if let Err(error) = answer(work, given) {
        tracing::warn!(error = &error as &dyn std::error::Error, "A node answered what nobody can read");
    }
}

fn answer(work: Work, given: Given) -> Result<(), Failed> {
    match (work, given.what) {
        (Work::Command(_, asker), Came::Command(decided)) => asker.answer(Ok(decided.answered()?)),
        (Work::Recall(_, asker), Came::Recall(known)) => {
            asker.answer(Ok(known.map(wire::Decided::answered).transpose()?));
        }
        (Work::Read(asker), Came::Read(at)) => asker.answer(Ok(wire::position(&at)?)),
        (Work::Glance(asker), Came::Glance) => asker.answer(Ok(())),
        (Work::Save(saving), Came::Renewed) => saving.finish(Ok(())),
        (Work::Due(listing), Came::Due(found)) => {
            let found = found.into_iter().map(DueStream::try_from).collect::<Result<_, _>>()?;
            Listing { found, ..listing }.finish(Ok(()));
        }
        (work, _) => {
            work.refuse(Unavailable::NotOwned);
            return Err(Failed::Mismatched);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::{Aggregate, StreamRef};
    use event_log::{Class, PositionToken, memory};
    use event_schemas::MerchantId;
    use privacy::RootKey;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{commands::Lane, owner::Asker, testing::ROOT};

    struct Nobody;

    impl Owners for Nobody {
        fn owner(&self, _: u16) -> Option<OwnedBy> {
            None
        }

        fn announce(&self, _: u16, _: u64) {}
    }

    struct Told(mpsc::UnboundedSender<Result<PositionToken, Unavailable>>);

    impl Asker<PositionToken> for Told {
        fn see(&mut self, _: &Aggregate) {}

        fn answer(self: Box<Self>, answer: Result<PositionToken, Unavailable>) {
            drop(self.0.send(answer));
        }
    }

    /// With no bound all of them were sent on.
    #[tokio::test]
    async fn what_is_too_much_for_a_node_that_stands_still_is_refused_at_once() {
        // Its connections are accepted, and nobody reads what comes.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = |port: u16| OwnedBy { url: format!("http://127.0.0.1:{port}"), term: 1 };
        let (log, folder) = (memory::init(1, Class::Open), tempfile::tempdir().unwrap());
        let (file, root) = (folder.path().join("keys.db"), RootKey::from_bytes(ROOT));
        let keys = KeyStore::create_or_open(&file, &root, *log.id().as_bytes()).await.unwrap();
        let forwarder = Forwarder::new(&log, Arc::new(Nobody), &keys).unwrap();
        let (tell, mut told) = mpsc::unbounded_channel();
        let merchant = MerchantId::from_bytes([1; 16]);
        let ask = |to: OwnedBy| {
            let (stream, work) = (StreamRef::merchant(merchant), Work::Read(Box::new(Told(tell.clone()))));
            let message = Message { merchant, stream, lane: Lane::Interactive, resumed: false, work };
            forwarder.forward(to, 0, message);
        };
        let port = silent.local_addr().unwrap().port();
        (0..ASKS_MAX).for_each(|_| ask(owner(port)));
        assert!(told.try_recv().is_err());
        ask(owner(port));
        assert!(matches!(told.try_recv(), Ok(Err(Unavailable::Overloaded))));
        // Another node has nothing to do with it.
        ask(owner(1));
        assert!(told.try_recv().is_err());
    }
}
