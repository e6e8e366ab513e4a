//! This person turned out to be another one, as Shopify tells when it has merged them. It happens once.
use event_schemas::{CustomerId, customer::CustomersMerged};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Merges this person, known or not, into another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeCustomers {
    /// Who lives on; another person than this, and not merged themselves.
    pub into: CustomerId,
}

pub(super) fn decide(state: &State, command: &MergeCustomers) -> Result<Vec<Event>, Rejection> {
    let merged = state.merged_into().is_none().then(|| CustomersMerged { into: command.into }.into());
    Ok(merged.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use event_schemas::{customer::RegisteredBy, sample::CUSTOMER};

    use super::*;
    use crate::{
        customer::{
            Command, DeleteCustomer, RegisterCustomer, SwitchAccount, UpdateCustomer, registered,
            specs::{at, profile},
        },
        testing::{fold, given},
    };

    fn merged() -> Event {
        CustomersMerged { into: CUSTOMER }.into()
    }

    #[test]
    fn a_merge_leads_to_the_one_who_lives_on() {
        for before in [vec![], vec![registered(RegisteredBy::Order, &profile(1), None)]] {
            given::<State>(before).when(MergeCustomers { into: CUSTOMER }).then([merged()]);
        }
        assert_eq!(fold::<State>([merged()]).merged_into(), Some(CUSTOMER));
    }

    #[test]
    fn merging_a_merged_one_changes_nothing() {
        for into in [CUSTOMER, CustomerId(uuid::Uuid::from_u128(9))] {
            given::<State>([merged()]).when(MergeCustomers { into }).then_unchanged();
        }
    }

    #[test]
    fn nothing_happens_to_a_merged_person_any_more() {
        for command in [
            Command::from(RegisterCustomer { registered_by: RegisteredBy::Order, profile: profile(2) }),
            UpdateCustomer { profile: profile(2), updated_at: at(9) }.into(),
            SwitchAccount { enabled: false, updated_at: at(9) }.into(),
            DeleteCustomer { at: at(9) }.into(),
        ] {
            given::<State>([merged()]).when(command).then_unchanged();
        }
    }
}
