//! A shop joins, once. A shop that left is still known, so that nobody takes over its history by installing it again.
use event_schemas::{
    Currency, ShopDomain, TimeZone,
    merchant::{MerchantInstalled, ProgramSettings},
};

use super::{Event, State};
use crate::Rejection;

/// Lets a shop join with the default settings. Whether the time zone exists was checked at the edge.
#[derive(Clone, Debug, PartialEq)]
pub struct InstallMerchant {
    /// The shop's myshopify.com domain.
    pub shop_domain: ShopDomain,
    /// The shop's currency.
    pub currency: Currency,
    /// The shop's time zone.
    pub timezone: TimeZone,
}

pub(super) fn decide(state: &State, command: &InstallMerchant) -> Result<Vec<Event>, Rejection> {
    if state.known() {
        return Err(Rejection::ShopExists);
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
    fn a_shop_joins_only_once_even_if_it_left() {
        given::<State>([MerchantInstalled::sample().into()])
            .when(install())
            .then_rejected(Rejection::ShopExists);
        given::<State>([MerchantInstalled::sample().into(), MerchantUninstalled {}.into()])
            .when(install())
            .then_rejected(Rejection::ShopExists);
    }
}
