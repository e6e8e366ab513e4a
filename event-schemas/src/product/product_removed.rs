//! A product was deleted.
use crate::{Timestamp, payload};

payload! {
    /// A product was deleted; orders that had it keep what they earned.
    ProductRemoved {
        /// When, if Shopify tells it.
        updated_at: Option<Timestamp>,
    }
    sample: Self { updated_at: None }
}
