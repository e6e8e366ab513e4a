//! Somebody is to be forgotten.
use crate::{CustomerId, Timestamp, payload, words};

words! {
    /// What a redaction is about.
    RedactionScope {
        /// A person, with everybody who turned out to be them.
        Customer = "customer",
        /// A shop, with everybody in it.
        Shop = "shop",
    }
}

words! {
    /// Who asks.
    RequestSource {
        /// Shopify, by its compliance topics.
        Shopify = "shopify",
        /// The merchant.
        Merchant = "merchant",
        /// Who runs the installation.
        Operator = "operator",
    }
}

payload! {
    /// A person or a shop is to be forgotten.
    RedactionRequested {
        /// What it is about.
        scope: RedactionScope,
        /// The person's customers, merged ones too; none if nothing is held of the person, and none for a shop.
        subjects: Vec<CustomerId>,
        /// Who asks.
        source: RequestSource,
        /// When it was asked for.
        requested_at: Timestamp,
        /// When it has to be done.
        due_at: Timestamp,
    }
    sample: Self {
        scope: RedactionScope::Customer,
        subjects: vec![CUSTOMER, OTHER_CUSTOMER],
        source: RequestSource::Shopify,
        requested_at: time(),
        due_at: expiry(),
    }
}
