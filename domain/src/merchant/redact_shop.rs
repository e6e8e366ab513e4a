//! A shop is forgotten with everybody in it, for good: one that joins again is another one.
use event_schemas::{RequestId, merchant::ShopRedacted};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Tells that the shop's key is destroyed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedactShop {
    /// The request that asked for it; of two, the first.
    pub request: RequestId,
}

pub(super) fn decide(state: &State, command: &RedactShop) -> Result<Vec<Event>, Rejection> {
    state.shop()?;
    let news = (!state.redacted()).then(|| ShopRedacted { request: command.request }.into());
    Ok(news.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use event_schemas::{merchant::MerchantInstalled, payload::Payload, sample::REQUEST};

    use super::*;
    use crate::{
        merchant::{Command, InstallMerchant, UninstallMerchant},
        testing::{fold, given},
    };

    const REDACT: RedactShop = RedactShop { request: REQUEST };

    fn installed() -> Event {
        MerchantInstalled::sample().into()
    }

    fn redacted() -> Event {
        ShopRedacted { request: REQUEST }.into()
    }

    #[test]
    fn a_shop_is_erased_once_and_never_before_it_joined() {
        given::<State>([installed()]).when(REDACT).then([redacted()]);
        given::<State>([installed(), redacted()]).when(REDACT).then_unchanged();
        given::<State>([]).when(REDACT).then_rejected(Rejection::UnknownMerchant);
    }

    #[test]
    fn an_erased_shop_is_not_installed_and_takes_nothing_in() {
        assert!(!fold::<State>([installed(), redacted()]).installed());
        let sample = MerchantInstalled::sample();
        let again = InstallMerchant {
            shop_domain: sample.shop_domain,
            currency: sample.currency,
            timezone: sample.timezone,
        };
        for command in [Command::from(again), UninstallMerchant {}.into()] {
            given::<State>([installed(), redacted()]).when(command).then_rejected(Rejection::ShopRedacted);
        }
    }
}
