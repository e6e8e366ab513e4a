//! A person's details changed.
use crate::{Digest, Personal, Timestamp, payload};

payload! {
    /// A person's details as a whole after a change.
    CustomerUpdated {
        /// Shopify's customer id, if there is one.
        shopify_customer_id: Option<Personal<String>>,
        /// E-mail address.
        email: Option<Personal<String>>,
        /// Whether Shopify has verified the address.
        email_verified: bool,
        /// Keyed digest of the address as it is compared, to see whose a guest's order is.
        email_digest: Option<Digest>,
        /// First name.
        first_name: Option<Personal<String>>,
        /// Last name.
        last_name: Option<Personal<String>>,
        /// Phone number.
        phone: Option<Personal<String>>,
        /// Keyed digest of the personal fields.
        profile: Digest,
        /// Shopify's `updated_at` of the message.
        updated_at: Option<Timestamp>,
    }
    sample: Self {
        shopify_customer_id: sealed(),
        email: sealed(),
        email_verified: true,
        email_digest: Some(DIGEST),
        first_name: sealed(),
        last_name: sealed(),
        phone: sealed(),
        profile: DIGEST,
        updated_at: Some(time()),
    }
}
