//! A newer state of a product was seen.
use crate::{ProductId, ProductTag, Timestamp, Title, payload};

payload! {
    /// A newer state of a product was seen.
    ProductSynced {
        /// Shopify's id.
        product: ProductId,
        /// Its title.
        title: Title,
        /// Its tags.
        tags: Vec<ProductTag>,
        /// Shopify's `updated_at` of that state.
        updated_at: Timestamp,
    }
    sample: Self {
        product: ProductId::try_new("632910392").unwrap_or_else(|e| panic!("{e}")),
        title: title("IPod Nano - 8GB"),
        tags: vec![ProductTag::try_new("Emotive").unwrap_or_else(|e| panic!("{e}"))],
        updated_at: time(),
    }
}
