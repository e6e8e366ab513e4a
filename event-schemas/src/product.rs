//! Events of what a shop sells. A product's stream id follows from Shopify's id.
mod product_removed;
mod product_synced;

pub use product_removed::ProductRemoved;
pub use product_synced::ProductSynced;
