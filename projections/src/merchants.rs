//! Shops: domain, currency, time zone, whether the app is installed.
use event_schemas::{
    Currency, Event, MerchantId, ShopDomain, TimeZone, Timestamp,
    catalogue::MerchantEvent,
    merchant::{CurrencySettingsUpdated, MerchantInstalled},
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
        /// When any of this last changed.
        updated_at: Timestamp,
    }
    indexes []
}

/// The projection.
pub struct Merchants;

impl Projection for Merchants {
    type Row = Merchant;
    const NAME: &'static str = "merchants";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<Key<Merchant>> {
        match event.event {
            Event::Merchant(
                MerchantEvent::MerchantInstalled(_)
                | MerchantEvent::MerchantUninstalled(_)
                | MerchantEvent::CurrencySettingsUpdated(_),
            ) => vec![Merchant::at(event.merchant)],
            _ => Vec::new(),
        }
    }

    fn fold(before: Option<Merchant>, event: &Recorded) -> Result<Merchant, Unfoldable> {
        if let Event::Merchant(MerchantEvent::MerchantInstalled(installed)) = &event.event {
            return Ok(fresh(event, installed));
        }
        let merchant = before.ok_or_else(|| Unfoldable::without("shop"))?;
        Ok(match &event.event {
            Event::Merchant(MerchantEvent::CurrencySettingsUpdated(CurrencySettingsUpdated {
                currency,
                timezone,
            })) => Merchant {
                currency: *currency,
                timezone: timezone.clone(),
                updated_at: event.recorded_at,
                ..merchant
            },
            _ => Merchant { installed: false, updated_at: event.recorded_at, ..merchant },
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
        updated_at: event.recorded_at,
    }
}

/// The shop.
pub async fn find(store: &ReadStore, scope: MerchantScope) -> Result<Option<Merchant>, Error> {
    store.find::<Merchants>(Merchant::at(scope.merchant())).await
}
