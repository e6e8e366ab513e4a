//! A shop's currency or time zone changes, as Shopify tells.
use event_schemas::{Currency, TimeZone, Timestamp, merchant::CurrencySettingsUpdated};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Sets a shop's currency and time zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateCurrencySettings {
    /// The currency from now on.
    pub currency: Currency,
    /// The time zone from now on.
    pub timezone: TimeZone,
    /// Shopify's `updated_at` of the message, if it has one: what is older than the newest changes nothing.
    pub updated_at: Option<Timestamp>,
}

pub(super) fn decide(state: &State, command: &UpdateCurrencySettings) -> Result<Vec<Event>, Rejection> {
    let shop = state.shop()?;
    let UpdateCurrencySettings { currency, timezone, updated_at } = command.clone();
    let same = (shop.currency, &shop.timezone) == (currency, &timezone);
    let stale = updated_at.is_some() && updated_at < shop.told_at;
    // A newer message that repeats what is known is news: what lies between them in time must not win later.
    if stale || (same && updated_at <= shop.told_at) {
        return Ok(Vec::new());
    }
    Ok(vec![CurrencySettingsUpdated { currency, timezone, updated_at }.into()])
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
            updated_at: None,
        }
    }

    fn told(currency: &str, seconds: i64) -> UpdateCurrencySettings {
        let updated_at = Some(Timestamp::from_micros(seconds * 1_000_000));
        UpdateCurrencySettings { updated_at, ..update(currency, "Europe/Berlin") }
    }

    fn updated(command: UpdateCurrencySettings) -> Event {
        let UpdateCurrencySettings { currency, timezone, updated_at } = command;
        CurrencySettingsUpdated { currency, timezone, updated_at }.into()
    }

    #[test]
    fn a_change_of_currency_or_time_zone_is_recorded_and_a_repeat_is_not() {
        let installed = Event::from(MerchantInstalled::sample());
        for changed in [update("EUR", "Europe/Berlin"), update("USD", "Asia/Tokyo")] {
            let event = updated(changed.clone());
            given::<State>([installed.clone()]).when(changed.clone()).then([event.clone()]);
            given::<State>([installed.clone(), event]).when(changed).then_unchanged();
        }
        given::<State>([installed]).when(update("USD", "Europe/Berlin")).then_unchanged();
    }

    #[test]
    fn an_older_message_changes_nothing_also_when_the_newest_one_repeated_what_was_known() {
        let known = || [MerchantInstalled::sample().into(), updated(told("USD", 9))];
        given::<State>(known()).when(told("EUR", 8)).then_unchanged();
        given::<State>(known()).when(told("USD", 9)).then_unchanged();
        for changed in [told("EUR", 9), told("EUR", 10), told("USD", 10)] {
            given::<State>(known()).when(changed.clone()).then([updated(changed)]);
        }
    }

    #[test]
    fn a_shop_that_never_joined_has_no_currency() {
        given::<State>([]).when(update("EUR", "Europe/Berlin")).then_rejected(Rejection::UnknownMerchant);
    }
}
