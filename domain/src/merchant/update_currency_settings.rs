//! A shop's currency or time zone changes, as Shopify tells.
use event_schemas::{Currency, TimeZone, merchant::CurrencySettingsUpdated};

use super::{Event, State};
use crate::Rejection;

/// Sets a shop's currency and time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateCurrencySettings {
    /// The currency from now on.
    pub currency: Currency,
    /// The time zone from now on.
    pub timezone: TimeZone,
}

pub(super) fn decide(state: &State, command: &UpdateCurrencySettings) -> Result<Vec<Event>, Rejection> {
    let shop = state.shop()?;
    if (shop.currency, &shop.timezone) == (command.currency, &command.timezone) {
        return Ok(Vec::new());
    }
    let updated = CurrencySettingsUpdated { currency: command.currency, timezone: command.timezone.clone() };
    Ok(vec![updated.into()])
}

#[cfg(test)]
mod tests {
    use event_schemas::{merchant::MerchantInstalled, payload::Payload};

    use super::*;
    use crate::testing::given;

    fn update(currency: &str, timezone: &str) -> UpdateCurrencySettings {
        UpdateCurrencySettings {
            currency: Currency::try_new(currency).unwrap(),
            timezone: TimeZone::try_new(timezone).unwrap(),
        }
    }

    #[test]
    fn a_change_of_currency_or_time_zone_is_recorded_and_a_repeat_is_not() {
        let installed = Event::from(MerchantInstalled::sample());
        for changed in [update("EUR", "Europe/Berlin"), update("USD", "Asia/Tokyo")] {
            let event =
                CurrencySettingsUpdated { currency: changed.currency, timezone: changed.timezone.clone() };
            given::<State>([installed.clone()]).when(changed.clone()).then([event.clone().into()]);
            given::<State>([installed.clone(), event.into()]).when(changed).then_unchanged();
        }
        given::<State>([installed]).when(update("USD", "Europe/Berlin")).then_unchanged();
    }

    #[test]
    fn a_shop_that_never_joined_has_no_currency() {
        given::<State>([]).when(update("EUR", "Europe/Berlin")).then_rejected(Rejection::UnknownMerchant);
    }
}
