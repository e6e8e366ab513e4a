//! A shop leaves. Its history stays.
use event_schemas::merchant::MerchantUninstalled;
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Lets a shop leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UninstallMerchant {}

pub(super) fn decide(state: &State, _: &UninstallMerchant) -> Result<Vec<Event>, Rejection> {
    let installed = state.shop()?.installed;
    Ok(installed.then(|| MerchantUninstalled {}.into()).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use event_schemas::{merchant::MerchantInstalled, payload::Payload};

    use super::*;
    use crate::testing::given;

    #[test]
    fn a_shop_leaves_once() {
        given::<State>([MerchantInstalled::sample().into()])
            .when(UninstallMerchant {})
            .then([MerchantUninstalled {}.into()]);
        given::<State>([MerchantInstalled::sample().into(), MerchantUninstalled {}.into()])
            .when(UninstallMerchant {})
            .then_unchanged();
    }

    #[test]
    fn a_shop_that_never_joined_cannot_leave() {
        given::<State>([]).when(UninstallMerchant {}).then_rejected(Rejection::UnknownMerchant);
    }
}
