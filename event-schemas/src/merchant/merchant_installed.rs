//! A shop joined.
use crate::{Currency, ShopDomain, TimeZone, merchant::ProgramSettings, payload};

payload! {
    /// A shop joined with the settings its programme starts with.
    MerchantInstalled {
        /// The shop's myshopify.com domain.
        shop_domain: ShopDomain,
        /// The shop's currency.
        currency: Currency,
        /// The shop's time zone.
        timezone: TimeZone,
        /// Version of the settings, 1 at first.
        settings_version: u32,
        /// The settings.
        settings: ProgramSettings,
    }
    sample: Self {
        shop_domain: ShopDomain::try_new("demo.myshopify.com").unwrap_or_else(|e| panic!("{e}")),
        currency: usd(0).currency,
        timezone: TimeZone::try_new("Europe/Berlin").unwrap_or_else(|e| panic!("{e}")),
        settings_version: 1,
        settings: ProgramSettings::default(),
    },
    upcast: payload::with_defaults
}
