//! A shop's currency or time zone changed.
use crate::{Currency, TimeZone, Timestamp, payload};

payload! {
    /// A shop's currency or time zone changed; earlier orders keep theirs.
    CurrencySettingsUpdated {
        /// The currency from now on.
        currency: Currency,
        /// The time zone from now on.
        timezone: TimeZone,
        /// Shopify's `updated_at` of the message, if it came from there.
        updated_at: Option<Timestamp>,
    }
    sample: Self {
        currency: usd(0).currency,
        timezone: TimeZone::try_new("America/New_York").unwrap_or_else(|e| panic!("{e}")),
        updated_at: Some(time()),
    },
    upcast: payload::with_defaults
}
