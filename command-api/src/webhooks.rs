//! Webhooks: a door that keeps what Shopify posts, an inbox, and workers that turn it into commands.
pub(crate) mod blind;
mod body;
pub mod dead_letters;
pub mod deliveries;
pub mod door;
mod execute;
mod inbox;
mod keeper;
pub mod purge;
mod schedule;
mod signature;
mod slots;
pub mod translate;
mod worker;

#[cfg(test)]
mod tests;

pub use signature::Secrets;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use event_schemas::{MerchantId, ShopDomain};
use group_commit::{Fault, Store};
use http_edge::Problem;
use privacy::KeyStore;
use uuid::Uuid;

use self::{
    execute::Executor,
    inbox::{Arrival, Inbox, NotDriven},
    keeper::Keeper,
    translate::NamedShop,
    worker::{Queue, Worker},
};
use crate::{
    clock::Clock,
    commands::Commander,
    requests::{Requests, is_erased},
    shops::Shops,
};

/// How long the planted bug holds deliveries back after their answer: long enough for a kill to fall into it.
const HELD_BACK: Duration = Duration::from_millis(100);

/// What the webhook side is made of.
pub struct Parts {
    /// The way to all aggregates.
    pub commander: Commander,
    /// The shops.
    pub shops: Shops,
    /// The process's clock.
    pub clock: Clock,
    /// Keys and directory.
    pub keys: KeyStore,
    /// The store of the inbox.
    pub work: Store,
    /// The app's secrets.
    pub secrets: Secrets,
}

/// The webhook side; cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    side: Arc<Side>,
}

struct Side {
    inbox: Inbox,
    keeper: Keeper,
    queue: Arc<Queue>,
    shops: Shops,
    clock: Clock,
    secrets: Secrets,
}

/// How many deliveries are not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// To be worked off; those that wait for another try too.
    pub pending: u64,
    /// Ended without effect.
    pub dead_lettered: u64,
}

impl Webhooks {
    /// Starts the workers, which first take up what an earlier process left. They stop with the runtime.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        Self::over(parts, true)
    }

    /// The door alone: it keeps what comes, and the workers of other nodes find it.
    #[must_use]
    pub fn door(parts: Parts) -> Self {
        Self::over(parts, false)
    }

    fn over(parts: Parts, works: bool) -> Self {
        let queue = Arc::new(Queue::new(&parts.work));
        let work = parts.work.clone();
        let inbox = Inbox::new(parts.work, parts.keys.clone());
        let (commander, keys, clock) = (&parts.commander, &parts.keys, &parts.clock);
        let requests = Requests::new(commander.clone(), keys.clone(), work.clone(), clock.clone());
        let worker = Worker {
            inbox: inbox.clone(),
            queue: Arc::clone(&queue),
            shops: parts.shops.clone(),
            clock: parts.clock.clone(),
            executor: Executor {
                commander: parts.commander,
                shops: parts.shops.clone(),
                keys: parts.keys,
                inbox: inbox.clone(),
                requests,
                merging: Arc::default(),
            },
        };
        if works {
            tokio::spawn(worker.run());
        }
        let keeper = Keeper::start(inbox.clone(), Arc::clone(&queue));
        let Parts { shops, clock, secrets, .. } = parts;
        Self { side: Arc::new(Side { inbox, keeper, queue, shops, clock, secrets }) }
    }

    /// How many deliveries are not done.
    ///
    /// # Errors
    /// A problem to answer with, if work.db is not available.
    pub async fn probe(&self) -> Result<Counts, Problem> {
        let (pending, dead_lettered) = self.side.inbox.counts().await.map_err(unavailable)?;
        Ok(Counts { pending, dead_lettered })
    }

    /// Begins no delivery any more; what is in hand is finished, and the rest goes to other nodes at once.
    ///
    /// # Errors
    /// The store of the inbox failed: the others wait until this node's lease is over.
    pub async fn leave(&self) -> Result<(), Fault> {
        self.side.queue.leave().await
    }

    /// The shop that a domain or a body leads to, also one that the list of shops does not show.
    async fn shop_of(
        &self,
        domain: Option<&ShopDomain>,
        named: NamedShop,
    ) -> Result<Option<MerchantId>, Problem> {
        self.side.inbox.shop_of(domain, named).await.map_err(unavailable)
    }

    /// Keeps a delivery durably, then wakes a worker.
    async fn keep(&self, arrival: Arrival<'_>) -> Result<(), Problem> {
        let fresh = match self.side.inbox.prepare(arrival).await {
            // Of a shop that was erased nothing is kept any more, and its sender is not to try again.
            Err(inbox::Error::Keys(error)) if is_erased(&error) => return Ok(()),
            prepared => prepared.map_err(unavailable)?,
        };
        if crate::planted::acks_before_commit() {
            let keeper = self.side.keeper.clone();
            tokio::spawn(async move {
                tokio::time::sleep(HELD_BACK).await;
                drop(keeper.keep(fresh).await);
            });
            return Ok(());
        }
        self.side.keeper.keep(fresh).await.map_err(unavailable)
    }

    async fn redrive(
        &self,
        merchant: MerchantId,
        row: Uuid,
        edited: Option<Bytes>,
    ) -> Result<Result<(), NotDriven>, Problem> {
        let (inbox, queue, now) =
            (self.side.inbox.clone(), Arc::clone(&self.side.queue), self.side.clock.now());
        let driven = tokio::spawn(async move {
            let driven = inbox.redrive(merchant, row, edited, now).await?;
            if driven.is_ok() {
                queue.reopened(merchant, row);
            }
            Ok(driven)
        });
        driven.await.map_err(|error| Problem::internal(&error))?.map_err(unavailable)
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhooks")
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn unavailable(error: inbox::Error) -> Problem {
    Problem::unavailable("unavailable", "The delivery could not be kept or read").fault(&error)
}
