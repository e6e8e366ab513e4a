//! A state of a product is seen. The newest `updated_at` wins, and what was deleted stays deleted.
use event_schemas::{ProductId, ProductTag, Timestamp, Title, product::ProductSynced};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Tells what a product looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncProduct {
    /// Which.
    pub product: ProductId,
    /// Its name in the shop.
    pub title: Title,
    /// Its tags.
    pub tags: Vec<ProductTag>,
    /// Shopify's `updated_at` of that state.
    pub updated_at: Timestamp,
}

pub(super) fn decide(state: &State, command: &SyncProduct) -> Result<Vec<Event>, Rejection> {
    let SyncProduct { product, title, tags, updated_at } = command.clone();
    let synced = ProductSynced { product, title, tags, updated_at };
    let known = state.synced.as_ref();
    if state.removed || known.is_some_and(|known| updated_at < known.updated_at || *known == synced) {
        return Ok(Vec::new());
    }
    Ok(vec![synced.into()])
}

#[cfg(test)]
mod tests {
    use event_schemas::{payload::Payload, product::ProductRemoved};

    use super::*;
    use crate::testing::given;

    fn sync(seconds: i64, tag: &str) -> SyncProduct {
        let ProductSynced { product, title, .. } = ProductSynced::sample();
        let updated_at = Timestamp::from_micros(seconds * 1_000_000);
        SyncProduct { product, title, tags: vec![ProductTag::try_new(tag).unwrap()], updated_at }
    }

    fn synced(seconds: i64, tag: &str) -> Event {
        let SyncProduct { product, title, tags, updated_at } = sync(seconds, tag);
        ProductSynced { product, title, tags, updated_at }.into()
    }

    #[test]
    fn the_newest_state_wins() {
        given::<State>([]).when(sync(5, "new")).then([synced(5, "new")]);
        given::<State>([synced(5, "new")]).when(sync(4, "old")).then_unchanged();
        given::<State>([synced(5, "new")]).when(sync(5, "new")).then_unchanged();
        given::<State>([synced(5, "new")]).when(sync(5, "other")).then([synced(5, "other")]);
        given::<State>([synced(5, "new")]).when(sync(6, "new")).then([synced(6, "new")]);
    }

    #[test]
    fn a_deleted_product_does_not_come_back() {
        let removed = Event::from(ProductRemoved { updated_at: None });
        given::<State>([removed]).when(sync(5, "new")).then_unchanged();
    }
}
