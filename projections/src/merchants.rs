//! Shops: domain, currency, time zone, whether the app is installed, what they pay for.
use event_schemas::{
    Code, Currency, Event, MerchantId, ShopDomain, TimeZone, Timestamp, Title, catalogue::MerchantEvent,
    merchant::MerchantInstalled,
};
use privacy::MerchantScope;

use crate::{Error, Key, Projection, ReadStore, Recorded, Unfoldable, table::table};

table! {
    /// A shop.
    Merchant {
        key {
            /// The shop.
            merchant: MerchantId,
        }
        /// Its myshopify.com domain.
        shop_domain: ShopDomain,
        /// Its currency.
        currency: Currency,
        /// Its time zone.
        timezone: TimeZone,
        /// Whether the app is installed.
        installed: bool,
        /// When it was last installed.
        installed_at: Timestamp,
        /// What the shop pays for, as Shopify calls it.
        plan: Option<Title>,
        /// State of that subscription.
        plan_status: Option<Code>,
        /// When any of this last changed.
        updated_at: Timestamp,
    }
    indexes []
}

/// The projection.
pub struct Merchants;

impl Projection for Merchants {
    type Row = Merchant;
    type Change = ();
    const NAME: &'static str = "merchants";
    const VERSION: u32 = 2;

    fn touches(event: &Recorded) -> Vec<(Key<Merchant>, ())> {
        match event.event {
            Event::Merchant(MerchantEvent::ProgramSettingsUpdated(_)) => Vec::new(),
            Event::Merchant(_) => vec![(Merchant::at(event.merchant), ())],
            _ => Vec::new(),
        }
    }

    fn fold(before: Option<Merchant>, event: &Recorded, (): ()) -> Result<Merchant, Unfoldable> {
        let Event::Merchant(happened) = &event.event else {
            return before.ok_or_else(|| Unfoldable::without("shop"));
        };
        if let MerchantEvent::MerchantInstalled(installed) = happened {
            return Ok(fresh(event, installed));
        }
        let merchant = before.ok_or_else(|| Unfoldable::without("shop"))?;
        let updated_at = event.recorded_at;
        Ok(match happened {
            MerchantEvent::CurrencySettingsUpdated(changed) => Merchant {
                currency: changed.currency,
                timezone: changed.timezone.clone(),
                updated_at,
                ..merchant
            },
            MerchantEvent::MerchantUninstalled(_) | MerchantEvent::ShopRedacted(_) => {
                Merchant { installed: false, updated_at, ..merchant }
            }
            MerchantEvent::MerchantReinstalled(_) => {
                Merchant { installed: true, installed_at: updated_at, updated_at, ..merchant }
            }
            MerchantEvent::SubscriptionUpdated(changed) => Merchant {
                plan: Some(changed.name.clone()),
                plan_status: Some(changed.status.clone()),
                updated_at,
                ..merchant
            },
            MerchantEvent::MerchantInstalled(_) | MerchantEvent::ProgramSettingsUpdated(_) => merchant,
        })
    }
}

fn fresh(event: &Recorded, installed: &MerchantInstalled) -> Merchant {
    Merchant {
        merchant: event.merchant,
        shop_domain: installed.shop_domain.clone(),
        currency: installed.currency,
        timezone: installed.timezone.clone(),
        installed: true,
        installed_at: event.recorded_at,
        plan: None,
        plan_status: None,
        updated_at: event.recorded_at,
    }
}

/// The shop.
pub async fn find(store: &ReadStore, scope: MerchantScope) -> Result<Option<Merchant>, Error> {
    store.find::<Merchants>(scope, Merchant::at(scope.merchant())).await
}
