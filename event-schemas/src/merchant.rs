//! Events of a shop and its programme.
mod currency_settings_updated;
mod merchant_installed;
mod merchant_reinstalled;
mod merchant_uninstalled;
mod program_settings_updated;
mod settings;
mod shop_redacted;
mod subscription_updated;

pub use currency_settings_updated::CurrencySettingsUpdated;
pub use merchant_installed::MerchantInstalled;
pub use merchant_reinstalled::MerchantReinstalled;
pub use merchant_uninstalled::MerchantUninstalled;
pub use program_settings_updated::ProgramSettingsUpdated;
pub use settings::{
    Action, ActionLimit, Bonus, Earn, Expiry, ExpiryMode, LimitPeriod, Pending, PendingPolicy, Processing,
    ProgramSettings, QualifyOn, Redeem, Refund, StoreCredit, WhenShort,
};
pub use shop_redacted::ShopRedacted;
pub use subscription_updated::SubscriptionUpdated;
