//! What shops sell and what they give for points, by id. Shops change rarely and are swapped as a whole; a catalogue has
//! many entries that change one by one.
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use domain::{Decider as _, StreamRef, reward};
use event_schemas::{
    MerchantId, ProductId, ProductTag, RewardId, Title,
    catalogue::{ProductEvent, RewardEvent},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A product as orders and people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its name in the shop.
    pub title: Title,
    /// Its tags.
    pub tags: Box<[ProductTag]>,
}

#[derive(Clone, Default)]
pub(super) struct Catalogue {
    entries: Arc<RwLock<Entries>>,
}

#[derive(Default)]
struct Entries {
    /// By stream, which follows from shop and product.
    products: HashMap<Uuid, Arc<Product>>,
    rewards: HashMap<(MerchantId, RewardId), Arc<reward::State>>,
}

impl Catalogue {
    pub(super) fn product(&self, merchant: MerchantId, product: &ProductId) -> Option<Arc<Product>> {
        self.product_of(StreamRef::product(merchant, product).id)
    }

    /// The product with this stream.
    pub(super) fn product_of(&self, stream: Uuid) -> Option<Arc<Product>> {
        self.read().products.get(&stream).cloned()
    }

    pub(super) fn reward(&self, merchant: MerchantId, reward: RewardId) -> Option<Arc<reward::State>> {
        self.read().rewards.get(&(merchant, reward)).cloned()
    }

    /// A deleted product stays: an order from before may still come, and its tags must count then too.
    pub(super) fn take_in_product(&self, stream: Uuid, event: &ProductEvent) {
        match event {
            ProductEvent::ProductSynced(synced) => {
                let product = Product { title: synced.title.clone(), tags: synced.tags.clone().into() };
                self.put_product(stream, product);
            }
            ProductEvent::ProductRemoved(_) => {}
        }
    }

    pub(super) fn take_in_reward(&self, merchant: MerchantId, reward: RewardId, event: &RewardEvent) {
        Arc::make_mut(self.write().rewards.entry((merchant, reward)).or_default()).evolve(event);
    }

    pub(super) fn put_product(&self, stream: Uuid, product: Product) {
        self.write().products.insert(stream, Arc::new(product));
    }

    pub(super) fn put_reward(&self, merchant: MerchantId, reward: RewardId, state: reward::State) {
        self.write().rewards.insert((merchant, reward), Arc::new(state));
    }

    /// How many products and rewards there are.
    pub(super) fn len(&self) -> usize {
        let entries = self.read();
        entries.products.len() + entries.rewards.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        // A panic while it was held leaves whole entries behind.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}
