//! Sends a message for an aggregate to the node that owns its partition, once, and brings the answer back.
use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use event_log::Log;
use privacy::{Channel, KeyStore};
use reqwest::{Client, redirect::Policy};

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
/// How long a node may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// The way to the other nodes; cheap to clone.
#[derive(Clone)]
pub(crate) struct Forwarder {
    owners: Arc<dyn Owners>,
    channel: Arc<Channel>,
    http: Client,
    log: Log,
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
        Ok(Self { owners, channel: Arc::new(keys.channel(PURPOSE)?), http, log: log.clone() })
    }

    /// Whoever else announced the partition.
    pub(crate) fn owner(&self, partition: u16) -> Option<OwnedBy> {
        self.owners.owner(partition)
    }

    /// Has the message for the partition answered by that node, in a task of its own.
    pub(crate) fn forward(&self, to: OwnedBy, partition: u16, message: Message) {
        let this = self.clone();
        tokio::spawn(async move {
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
