//! Events of a shop and its programme.
mod currency_settings_updated;
mod merchant_installed;
mod merchant_uninstalled;
mod program_settings_updated;
mod settings;

pub use currency_settings_updated::CurrencySettingsUpdated;
pub use merchant_installed::MerchantInstalled;
pub use merchant_uninstalled::MerchantUninstalled;
pub use program_settings_updated::ProgramSettingsUpdated;
pub use settings::{
    Earn, Expiry, ExpiryMode, Pending, PendingPolicy, Processing, ProgramSettings, QualifyOn, Redeem, Refund,
    WhenShort,
};
