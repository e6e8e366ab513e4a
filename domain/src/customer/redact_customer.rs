//! A person is forgotten, for good: what is kept of them compares nothing any more, and whoever joins again is another one.
use event_schemas::{RequestId, customer::CustomerRedacted};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Tells that the person's key is destroyed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedactCustomer {
    /// The request that asked for it; of two, the first.
    pub request: RequestId,
}

pub(super) fn decide(state: &State, command: &RedactCustomer) -> Result<Vec<Event>, Rejection> {
    let news = (!state.redacted()).then(|| CustomerRedacted { request: command.request }.into());
    Ok(news.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        customer::{CustomersMerged, RegisteredBy},
        sample::{CUSTOMER, REQUEST},
    };

    use super::*;
    use crate::{
        customer::{
            Command, DeleteCustomer, MergeCustomers, RegisterCustomer, SwitchAccount, UpdateCustomer,
            registered,
            specs::{at, profile},
        },
        testing::{fold, given},
    };

    const REDACT: RedactCustomer = RedactCustomer { request: REQUEST };

    fn redacted() -> Event {
        CustomerRedacted { request: REQUEST }.into()
    }

    fn known() -> Event {
        registered(RegisteredBy::Order, &profile(1), None)
    }

    #[test]
    fn whoever_is_known_merged_or_neither_is_erased_once() {
        for history in [vec![], vec![known()], vec![known(), CustomersMerged { into: CUSTOMER }.into()]] {
            given::<State>(history.clone()).when(REDACT).then([redacted()]);
            given::<State>(history.into_iter().chain([redacted()])).when(REDACT).then_unchanged();
        }
        let other = RedactCustomer { request: RequestId(CUSTOMER.0) };
        given::<State>([redacted()]).when(other).then_unchanged();
    }

    /// Catches: a late message that brings the person back, a merge that finds them.
    #[test]
    fn nothing_is_taken_in_of_an_erased_person() {
        for command in [
            Command::from(RegisterCustomer { registered_by: RegisteredBy::Order, profile: profile(2) }),
            UpdateCustomer { profile: profile(2), updated_at: at(9) }.into(),
            SwitchAccount { enabled: false, updated_at: at(9) }.into(),
            DeleteCustomer { at: at(9) }.into(),
            MergeCustomers { into: CUSTOMER }.into(),
        ] {
            given::<State>([known(), redacted()]).when(command).then_rejected(Rejection::AccountRedacted);
        }
    }

    /// Catches: a digest that outlives the key under which it was made.
    #[test]
    fn nothing_that_compares_is_kept_of_an_erased_person() {
        let state = fold::<State>([known(), redacted()]);
        assert_eq!((state.profile_digest(), state.verified_email(), state.registered()), (None, None, false));
        assert_eq!(state.redacted_by(), Some(REQUEST));
    }
}
