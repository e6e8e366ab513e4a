//! A shop's currency or time zone changed.
use crate::{Currency, TimeZone, payload};

payload! {
    /// A shop's currency or time zone changed; earlier orders keep theirs.
    CurrencySettingsUpdated {
        /// The currency from now on.
        currency: Currency,
        /// The time zone from now on.
        timezone: TimeZone,
    }
    sample: Self {
        currency: usd(0).currency,
        timezone: TimeZone::try_new("America/New_York").unwrap_or_else(|e| panic!("{e}")),
    }
}
