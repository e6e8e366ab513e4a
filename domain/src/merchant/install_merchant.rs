//! A shop joins, once. One that left comes back to its own history and settings.
use event_schemas::{
    Currency, ShopDomain, TimeZone,
    merchant::{CurrencySettingsUpdated, MerchantInstalled, MerchantReinstalled, ProgramSettings},
};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Lets a shop join with the default settings, or come back with those it had. Whether the time zone exists was checked at the edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstallMerchant {
    /// The shop's myshopify.com domain.
    pub shop_domain: ShopDomain,
    /// The shop's currency.
    pub currency: Currency,
    /// The shop's time zone.
    pub timezone: TimeZone,
}

pub(super) fn decide(state: &State, command: &InstallMerchant) -> Result<Vec<Event>, Rejection> {
    if state.installed() {
        return Err(Rejection::ShopExists);
    }
    if let Ok(shop) = state.shop() {
        let InstallMerchant { currency, timezone, .. } = command.clone();
        let changed = (shop.currency, &shop.timezone) != (currency, &timezone);
        let settings =
            changed.then(|| CurrencySettingsUpdated { currency, timezone, updated_at: None }.into());
        return Ok([MerchantReinstalled {}.into()].into_iter().chain(settings).collect());
    }
    let installed = MerchantInstalled {
        shop_domain: command.shop_domain.clone(),
        currency: command.currency,
        timezone: command.timezone.clone(),
        settings_version: 1,
        settings: ProgramSettings::default(),
    };
    Ok(vec![installed.into()])
}

#[cfg(test)]
mod tests {
    use event_schemas::{merchant::MerchantUninstalled, payload::Payload};

    use super::*;
    use crate::testing::{fold, given};

    fn install() -> InstallMerchant {
        let sample = MerchantInstalled::sample();
        InstallMerchant {
            shop_domain: sample.shop_domain,
            currency: sample.currency,
            timezone: sample.timezone,
        }
    }

    #[test]
    fn a_new_shop_starts_with_the_default_settings() {
        given::<State>([]).when(install()).then([MerchantInstalled::sample().into()]);
        let state: State = fold([MerchantInstalled::sample().into()]);
        assert!(state.installed());
        assert_eq!((state.settings_version(), state.earn_rule().version), (1, 1));
    }

    #[test]
    fn a_shop_joins_only_once() {
        given::<State>([MerchantInstalled::sample().into()])
            .when(install())
            .then_rejected(Rejection::ShopExists);
    }

    #[test]
    fn a_shop_that_left_comes_back_with_what_it_says_now() {
        let left = || [MerchantInstalled::sample().into(), MerchantUninstalled {}.into()];
        given::<State>(left()).when(install()).then([MerchantReinstalled {}.into()]);
        let moved = InstallMerchant { currency: Currency::try_new("JPY").unwrap(), ..install() };
        let InstallMerchant { currency, timezone, .. } = moved.clone();
        let settings = CurrencySettingsUpdated { currency, timezone, updated_at: None };
        given::<State>(left()).when(moved).then([MerchantReinstalled {}.into(), settings.into()]);
        let back: State = fold(left().into_iter().chain([MerchantReinstalled {}.into()]));
        assert!(back.installed());
    }
}
