//! A person joins by an order or by the merchant's call. Neither is authoritative: who is known stays as they are.
use event_schemas::customer::RegisteredBy;
use serde::{Deserialize, Serialize};

use super::{Event, Profile, State, registered};
use crate::Rejection;

/// Registers a person who is not known yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterCustomer {
    /// What brings the person.
    pub registered_by: RegisteredBy,
    /// What is known of them.
    pub profile: Profile,
}

pub(super) fn decide(state: &State, command: &RegisterCustomer) -> Result<Vec<Event>, Rejection> {
    if state.registered() || state.merged_into().is_some() {
        return Ok(Vec::new());
    }
    Ok(vec![registered(command.registered_by, &command.profile, None)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{customer::specs::profile, testing::given};

    fn register(number: u8) -> RegisterCustomer {
        RegisterCustomer { registered_by: RegisteredBy::Order, profile: profile(number) }
    }

    #[test]
    fn an_order_registers_a_customer_who_is_not_known() {
        given::<State>([]).when(register(1)).then([registered(RegisteredBy::Order, &profile(1), None)]);
    }

    #[test]
    fn a_known_customer_stays_as_they_are() {
        given::<State>([registered(RegisteredBy::Api, &profile(1), None)]).when(register(2)).then_unchanged();
    }
}
