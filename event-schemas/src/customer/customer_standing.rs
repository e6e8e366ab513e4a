//! What Shopify tells about a person's account there. The points stay in each case.
use crate::{Timestamp, payload};

payload! {
    /// Shopify disabled the person's account.
    CustomerDisabled {
        /// Shopify's `updated_at` of the message.
        updated_at: Option<Timestamp>,
    }
    sample: Self { updated_at: Some(time()) }
}

payload! {
    /// Shopify enabled the person's account again.
    CustomerEnabled {
        /// Shopify's `updated_at` of the message.
        updated_at: Option<Timestamp>,
    }
    sample: Self { updated_at: Some(time()) }
}

payload! {
    /// Shopify deleted the person's profile. This is no erasure: the points stay.
    CustomerDeleted {
        /// Shopify's `updated_at` of the message.
        updated_at: Option<Timestamp>,
    }
    sample: Self { updated_at: Some(time()) }
}
