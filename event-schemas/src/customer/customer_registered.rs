//! A person joined.
use crate::{Digest, Personal, Timestamp, payload, words};

words! {
    /// What brought the person.
    RegisteredBy {
        /// A customer webhook.
        Customer = "customer",
        /// An order that names the customer.
        Order = "order",
        /// The merchant's own call.
        Api = "api",
    }
}

payload! {
    /// A person joined the programme.
    CustomerRegistered {
        /// What brought the person.
        registered_by: RegisteredBy,
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
        /// Keyed digest of the personal fields, to see whether a later message changes them.
        profile: Digest,
        /// Shopify's `updated_at` of the message, if it was about the customer itself.
        updated_at: Option<Timestamp>,
    }
    sample: Self {
        registered_by: RegisteredBy::Customer,
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
