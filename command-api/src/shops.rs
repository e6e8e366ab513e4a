//! Reference data: every shop with its settings, products and rewards, kept current by tailing partition 0.
mod catalogue;

pub use catalogue::Product;

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use domain::{merchant, reward};
use event_log::{AdmittedRecord, Log, Position, PositionToken, Reader};
use event_schemas::{
    Currency, Event, MerchantId, ProductId, RewardId, ShopDomain, StreamType, TimeZone,
    loyalty_order::EarnRule,
    merchant::ProgramSettings,
    record::{RawAnswer, View},
};
use tokio::sync::watch;
use uuid::Uuid;

use self::catalogue::Catalogue;
use crate::commands::Unavailable;

/// The partition that holds all reference data.
const PARTITION: u16 = 0;
const BATCH_MAX: usize = 1_024;
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

impl Shops {
    /// Reads all shops there are and keeps following.
    ///
    /// # Errors
    /// The log cannot be read, or holds what this program does not know.
    pub async fn start(log: &Log) -> Result<Self, Error> {
        let index = Arc::new(ArcSwap::from_pointee(Index::default()));
        let (tell, seen) = watch::channel(Position::START);
        let reader = log.reader(PARTITION, None)?;
        let catalogue = Catalogue::default();
        let mut tail =
            Tail { reader, states: HashMap::new(), index: index.clone(), catalogue: catalogue.clone(), tell };
        while tail.advance().await? {}
        tokio::spawn(tail.follow());
        Ok(Self { index, catalogue, seen })
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

struct Tail {
    reader: Reader,
    states: HashMap<MerchantId, merchant::State>,
    index: Arc<ArcSwap<Index>>,
    catalogue: Catalogue,
    tell: watch::Sender<Position>,
}

impl Tail {
    /// Takes in the next batch; `false` at the end.
    async fn advance(&mut self) -> Result<bool, Error> {
        let batch = self.reader.next(BATCH_MAX).await?;
        let mut changed = Vec::new();
        for record in &batch.records {
            let took = self.admit(record);
            let took = took.map_err(|source| Error::Record { position: record.position, source })?;
            changed.extend(took);
        }
        if !changed.is_empty() {
            self.publish(&changed);
        }
        self.tell.send_replace(self.reader.position());
        Ok(!batch.records.is_empty())
    }

    /// Folds the record if it is reference data; says which shop it changes.
    fn admit(&mut self, record: &AdmittedRecord) -> Result<Option<MerchantId>, event_log::BoxError> {
        if record.frame.kind != event_log::Kind::Commit {
            return Ok(None);
        }
        let view = View::open(&record.body)?;
        let RawAnswer::Events(events) = view.answer else { return Ok(None) };
        let (merchant, stream) =
            (MerchantId::from_bytes(record.frame.merchant), Uuid::from_bytes(record.frame.stream));
        let mut changed = None;
        for raw in events.iter().filter(|_| is_reference_data(view.meta.stream_type)) {
            match raw.decode()? {
                Event::Merchant(event) => {
                    domain::Decider::evolve(self.states.entry(merchant).or_default(), &event);
                    changed = Some(merchant);
                }
                Event::Product(event) => self.catalogue.take_in_product(stream, &event),
                Event::Reward(event) => self.catalogue.take_in_reward(merchant, RewardId(stream), &event),
                _ => {}
            }
        }
        Ok(changed)
    }

    fn publish(&self, changed: &[MerchantId]) {
        let mut index = Index::clone(&self.index.load());
        for merchant in changed {
            if let Some(shop) = self.states.get(merchant).and_then(|state| shop(*merchant, state)) {
                index.by_domain.insert(shop.domain.clone(), *merchant);
                index.by_id.insert(*merchant, Arc::new(shop));
            }
        }
        self.index.store(Arc::new(index));
    }

    async fn follow(mut self) {
        loop {
            let step = match self.reader.changed().await {
                Ok(()) => self.advance().await.map(drop),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = step {
                if !matches!(error, Error::Log(event_log::Error::Storage(_))) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "ALARM: shops are no longer followed"
                    );
                    return;
                }
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Shops could not be read; trying again"
                );
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            if self.tell.is_closed() {
                return;
            }
        }
    }
}

/// Partition 0 has streams of people too, whose events are not worth decoding here.
const fn is_reference_data(stream: StreamType) -> bool {
    matches!(stream, StreamType::Merchant | StreamType::Product | StreamType::Reward)
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
