//! A shop: whether it is installed, its currency and time zone, and its programme's settings.
mod install_merchant;
mod redact_shop;
mod uninstall_merchant;
mod update_currency_settings;
mod update_program_settings;
mod update_subscription;

pub use install_merchant::InstallMerchant;
pub use redact_shop::RedactShop;
pub use uninstall_merchant::UninstallMerchant;
pub use update_currency_settings::UpdateCurrencySettings;
pub use update_program_settings::{UpdateProgramSettings, check};
pub use update_subscription::UpdateSubscription;

use event_schemas::{
    Currency, RequestId, ShopDomain, StreamType, TimeZone, Timestamp,
    catalogue::MerchantEvent as Event,
    loyalty_order::EarnRule,
    merchant::{ProgramSettings, SubscriptionUpdated},
};
use serde::{Deserialize, Serialize};

use crate::{Decider, Rejection, decider::commands};

commands! {
    Merchant {
        InstallMerchant = "install-merchant" in install_merchant;
        UninstallMerchant = "uninstall-merchant" in uninstall_merchant;
        UpdateProgramSettings = "update-program-settings" in update_program_settings;
        UpdateCurrencySettings = "update-currency-settings" in update_currency_settings;
        UpdateSubscription = "update-subscription" in update_subscription;
        RedactShop = "redact-shop" in redact_shop;
    }
}

/// A shop after its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    shop: Option<Shop>,
    settings_version: u32,
    settings: ProgramSettings,
    subscription: Option<SubscriptionUpdated>,
    redacted: Option<RequestId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shop {
    domain: ShopDomain,
    currency: Currency,
    timezone: TimeZone,
    installed: bool,
    /// Shopify's `updated_at` of the newest message about currency and time zone.
    told_at: Option<Timestamp>,
}

impl State {
    /// Whether the shop ever joined.
    #[must_use]
    pub const fn known(&self) -> bool {
        self.shop.is_some()
    }

    /// Whether the shop joined and did not leave.
    #[must_use]
    pub fn installed(&self) -> bool {
        self.shop.as_ref().is_some_and(|shop| shop.installed)
    }

    /// The shop's myshopify.com domain.
    #[must_use]
    pub fn shop_domain(&self) -> Option<&ShopDomain> {
        self.shop.as_ref().map(|shop| &shop.domain)
    }

    /// The shop's currency.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        self.shop.as_ref().map(|shop| shop.currency)
    }

    /// The shop's time zone.
    #[must_use]
    pub fn timezone(&self) -> Option<&TimeZone> {
        self.shop.as_ref().map(|shop| &shop.timezone)
    }

    /// The programme's settings; the defaults before the shop joined.
    #[must_use]
    pub const fn settings(&self) -> &ProgramSettings {
        &self.settings
    }

    /// Version of the settings; 0 before the shop joined.
    #[must_use]
    pub const fn settings_version(&self) -> u32 {
        self.settings_version
    }

    /// Today's rule of earning, for an order to freeze.
    #[must_use]
    pub fn earn_rule(&self) -> EarnRule {
        let earn = &self.settings.earn;
        EarnRule {
            version: self.settings_version,
            points_per_unit: earn.points_per_unit,
            include_tax: earn.include_tax,
            include_shipping: earn.include_shipping,
            excluded_product_ids: earn.excluded_product_ids.clone(),
            excluded_tags: earn.excluded_tags.clone(),
            include_tips: earn.include_tips,
            include_gift_cards: earn.include_gift_cards,
            store_credit: self.settings.refund.store_credit,
            pending: earn.pending.clone(),
            bonuses: earn.bonuses.clone(),
            judged_product_ids: Vec::new(),
        }
    }

    /// Whether the shop was erased, with everybody in it.
    #[must_use]
    pub const fn redacted(&self) -> bool {
        self.redacted.is_some()
    }

    fn shop(&self) -> Result<&Shop, Rejection> {
        self.shop.as_ref().ok_or(Rejection::UnknownMerchant)
    }
}

impl Decider for State {
    const STREAM: StreamType = StreamType::Merchant;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        let erases = matches!(command, Command::RedactShop(_));
        if self.redacted() && !erases {
            return Err(Rejection::ShopRedacted);
        }
        dispatch(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::MerchantInstalled(installed) => {
                self.shop = Some(Shop {
                    domain: installed.shop_domain.clone(),
                    currency: installed.currency,
                    timezone: installed.timezone.clone(),
                    installed: true,
                    told_at: None,
                });
                self.settings_version = installed.settings_version;
                self.settings = installed.settings.clone();
            }
            Event::MerchantReinstalled(_) => {
                if let Some(shop) = &mut self.shop {
                    shop.installed = true;
                }
            }
            Event::SubscriptionUpdated(updated) => self.subscription = Some(updated.clone()),
            Event::MerchantUninstalled(_) => {
                if let Some(shop) = &mut self.shop {
                    shop.installed = false;
                }
            }
            Event::ShopRedacted(event) => {
                self.redacted = Some(event.request);
                if let Some(shop) = &mut self.shop {
                    shop.installed = false;
                }
            }
            Event::ProgramSettingsUpdated(updated) => {
                self.settings_version = updated.version;
                self.settings = updated.settings.clone();
            }
            Event::CurrencySettingsUpdated(updated) => {
                if let Some(shop) = &mut self.shop {
                    shop.currency = updated.currency;
                    shop.timezone = updated.timezone.clone();
                    shop.told_at = updated.updated_at.or(shop.told_at);
                }
            }
        }
    }
}
