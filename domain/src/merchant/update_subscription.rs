//! What the shop pays us changes, as Shopify tells. The newest word holds.
use event_schemas::{Code, Timestamp, Title, merchant::SubscriptionUpdated};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Sets the shop's subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateSubscription {
    /// The plan's name.
    pub name: Title,
    /// Its state, such as `active`.
    pub status: Code,
    /// Shopify's `updated_at` of the message.
    pub updated_at: Timestamp,
}

pub(super) fn decide(state: &State, command: &UpdateSubscription) -> Result<Vec<Event>, Rejection> {
    state.shop()?;
    let UpdateSubscription { name, status, updated_at } = command.clone();
    let updated = SubscriptionUpdated { name, status, updated_at: Some(updated_at) };
    let known = state.subscription.as_ref();
    if known.is_some_and(|known| updated.updated_at < known.updated_at || *known == updated) {
        return Ok(Vec::new());
    }
    Ok(vec![updated.into()])
}

#[cfg(test)]
mod tests {
    use event_schemas::{merchant::MerchantInstalled, payload::Payload};

    use super::*;
    use crate::testing::given;

    fn update(status: &'static str, seconds: i64) -> UpdateSubscription {
        UpdateSubscription {
            name: Title::try_new("Pro").unwrap(),
            status: Code::fixed(status),
            updated_at: Timestamp::from_micros(seconds * 1_000_000),
        }
    }

    fn updated(command: UpdateSubscription) -> Event {
        let UpdateSubscription { name, status, updated_at } = command;
        SubscriptionUpdated { name, status, updated_at: Some(updated_at) }.into()
    }

    #[test]
    fn the_newest_word_about_the_subscription_holds() {
        let known = || [MerchantInstalled::sample().into(), updated(update("active", 5))];
        given::<State>(known()).when(update("pending", 4)).then_unchanged();
        given::<State>(known()).when(update("active", 5)).then_unchanged();
        given::<State>(known()).when(update("cancelled", 6)).then([updated(update("cancelled", 6))]);
    }

    #[test]
    fn a_shop_that_never_joined_has_no_subscription() {
        given::<State>([]).when(update("active", 5)).then_rejected(Rejection::UnknownMerchant);
    }
}
