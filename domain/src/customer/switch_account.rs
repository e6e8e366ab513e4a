//! Shopify switched the person's account there on or off. Points stay and go on as before.
use event_schemas::{
    Timestamp,
    customer::{CustomerDisabled, CustomerEnabled},
};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Tells whether the person can sign in at the shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwitchAccount {
    /// Whether they can.
    pub enabled: bool,
    /// Shopify's `updated_at` of the message; of two of the same time, the one that switches off holds.
    pub updated_at: Timestamp,
}

pub(super) fn decide(state: &State, command: &SwitchAccount) -> Result<Vec<Event>, Rejection> {
    let SwitchAccount { enabled, updated_at } = *command;
    let told = |at: Timestamp| (at, state.disabled());
    let newer = state.switched_at().is_none_or(|at| told(at) < (updated_at, !enabled));
    if state.merged_into().is_some() || state.deleted() || !newer {
        return Ok(Vec::new());
    }
    let updated_at = Some(updated_at);
    let switched =
        if enabled { CustomerEnabled { updated_at }.into() } else { CustomerDisabled { updated_at }.into() };
    Ok(vec![switched])
}

#[cfg(test)]
mod tests {
    use event_schemas::customer::CustomerDeleted;

    use super::*;
    use crate::{
        customer::specs::at,
        testing::{fold, given, played},
    };

    fn switch(enabled: bool, seconds: i64) -> SwitchAccount {
        SwitchAccount { enabled, updated_at: at(seconds) }
    }

    #[test]
    fn the_newest_word_holds_in_any_order_of_arrival() {
        for (one, other, disabled) in [
            (switch(true, 1), switch(false, 2), true),
            (switch(false, 1), switch(true, 2), false),
            (switch(false, 1), switch(true, 1), true),
        ] {
            for history in [[one.clone(), other.clone()], [other, one]] {
                let state: State = fold(played::<State>(history.into_iter().map(Into::into)));
                assert_eq!(state.disabled(), disabled);
            }
        }
    }

    /// Catches: somebody who is shown as active or disabled again because an older word came late.
    #[test]
    fn a_deleted_profile_is_not_switched_any_more() {
        let deleted = CustomerDeleted { updated_at: Some(at(5)) };
        for word in [switch(true, 1), switch(false, 9)] {
            given::<State>([deleted.clone().into()]).when(word).then_unchanged();
        }
    }

    #[test]
    fn the_same_word_again_changes_nothing() {
        let disabled = CustomerDisabled { updated_at: Some(at(1)) };
        given::<State>([disabled.into()]).when(switch(false, 1)).then_unchanged();
    }
}
