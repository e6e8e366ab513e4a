//! Reference data: every shop with its settings, products and rewards, kept current by tailing partition 0.
mod catalogue;
mod kept;
mod tail;
#[cfg(test)]
mod tests;

pub use catalogue::Product;

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use domain::{merchant, reward};
use event_log::{Log, Position, PositionToken};
use event_schemas::{
    Currency, MerchantId, ProductId, RewardId, ShopDomain, TimeZone, loyalty_order::EarnRule,
    merchant::ProgramSettings,
};
use tokio::sync::watch;

use self::{catalogue::Catalogue, kept::Kept, tail::Tail};
use crate::{commands::Unavailable, owner::Snapshots};

/// The partition that holds all reference data.
const PARTITION: u16 = 0;
/// How long a caller waits for what it has just written to be in force.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A shop as commands need it.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Its id.
    pub merchant: MerchantId,
    /// Its myshopify.com domain.
    pub domain: ShopDomain,
    /// Its currency.
    pub currency: Currency,
    /// Its time zone.
    pub timezone: TimeZone,
    /// Whether it has not left.
    pub installed: bool,
    /// What an order earns, to be frozen into it.
    pub rule: EarnRule,
    /// Version of the settings.
    pub settings_version: u32,
    /// The settings.
    pub settings: Arc<ProgramSettings>,
}

#[derive(Clone, Default)]
struct Index {
    by_id: HashMap<MerchantId, Arc<Shop>>,
    by_domain: HashMap<ShopDomain, MerchantId>,
}

/// All shops; cheap to clone and to ask.
#[derive(Clone)]
pub struct Shops {
    index: Arc<ArcSwap<Index>>,
    catalogue: Catalogue,
    seen: watch::Receiver<Position>,
    records_read: u64,
}

/// Reference data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error("the log cannot be read")]
    Log(#[from] event_log::Error),
    /// A record.
    #[error("the record at position {position} cannot be taken in")]
    Record {
        /// Where it stands.
        position: Position,
        /// Why.
        #[source]
        source: event_log::BoxError,
    },
}

impl Error {
    /// Whether the log is another than was read before, or cannot be what it says. Else trying again may help.
    const fn is_about_history(&self) -> bool {
        matches!(self, Self::Log(event_log::Error::Diverged(_)) | Self::Record { .. })
    }
}

impl Shops {
    /// Learns all shops there are, from the snapshots and the records behind them, and keeps following. Without
    /// snapshots, or with some that do not fit the log, it reads from the first record.
    ///
    /// # Errors
    /// The log cannot be read, or holds what this program does not know.
    pub async fn start(log: &Log, snapshots: Option<&Snapshots>) -> Result<Self, Error> {
        Self::start_over(log, snapshots.map(Kept::new)).await
    }

    async fn start_over(log: &Log, kept: Option<Kept>) -> Result<Self, Error> {
        let tail = match kept {
            Some(kept) => Tail::over(log, kept).await?,
            None => Tail::from_the_first(log).await?,
        };
        let shops = tail.shops();
        tokio::spawn(tail.follow());
        Ok(shops)
    }

    /// How many records were read to start: few, if the snapshots fit.
    #[must_use]
    pub const fn records_read(&self) -> u64 {
        self.records_read
    }

    /// The shop with this domain.
    #[must_use]
    pub fn by_domain(&self, domain: &ShopDomain) -> Option<Arc<Shop>> {
        let index = self.index.load();
        index.by_domain.get(domain).and_then(|merchant| index.by_id.get(merchant)).cloned()
    }

    /// The shop with this id.
    #[must_use]
    pub fn by_id(&self, merchant: MerchantId) -> Option<Arc<Shop>> {
        self.index.load().by_id.get(&merchant).cloned()
    }

    /// Every shop that ever joined, by domain.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Shop>> {
        let mut all: Vec<_> = self.index.load().by_id.values().cloned().collect();
        all.sort_by(|a, b| a.domain.cmp(&b.domain));
        all
    }

    /// The product, if Shopify ever told of it; also when it is deleted by now.
    #[must_use]
    pub fn product(&self, merchant: MerchantId, product: &ProductId) -> Option<Arc<Product>> {
        self.catalogue.product(merchant, product)
    }

    /// The reward, if it was ever defined; also when it is retired by now.
    #[must_use]
    pub fn reward(&self, merchant: MerchantId, reward: RewardId) -> Option<Arc<reward::State>> {
        self.catalogue.reward(merchant, reward)
    }

    /// Whether what comes is still taken in. It ends for good where the log diverged, or holds what this program does
    /// not know.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.seen.has_changed().is_ok()
    }

    /// Waits until what the record at `at` says is in force.
    ///
    /// # Errors
    /// [`Unavailable`] if it does not come to that in time.
    pub async fn wait_until(&self, at: PositionToken) -> Result<(), Unavailable> {
        let mut seen = self.seen.clone();
        let reached = tokio::time::timeout(WAIT_MAX, seen.wait_for(|seen| *seen >= at.position())).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Unavailable::Stopped),
            Err(_) => Err(Unavailable::NotOwned),
        }
    }
}

fn shop(merchant: MerchantId, state: &merchant::State) -> Option<Shop> {
    Some(Shop {
        merchant,
        domain: state.shop_domain()?.clone(),
        currency: state.currency()?,
        timezone: state.timezone()?.clone(),
        installed: state.installed(),
        rule: state.earn_rule(),
        settings_version: state.settings_version(),
        settings: Arc::new(state.settings().clone()),
    })
}
