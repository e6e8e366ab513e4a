//! What a shop pays for changed.
use crate::{Code, Timestamp, Title, payload};

payload! {
    /// The shop's subscription changed, as Shopify tells it.
    SubscriptionUpdated {
        /// The plan's name.
        name: Title,
        /// Its state in kebab-case, such as `active`.
        status: Code,
        /// Shopify's `updated_at` of the message.
        updated_at: Option<Timestamp>,
    }
    sample: Self { name: title("Pro Plan"), status: Code::fixed("active"), updated_at: Some(time()) }
}
