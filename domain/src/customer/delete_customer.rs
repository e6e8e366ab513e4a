//! Shopify deleted the person's profile. That is no erasure: their points and history stay.
use event_schemas::{Timestamp, customer::CustomerDeleted};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Tells that the profile is gone, for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeleteCustomer {
    /// When it was told; the message itself has no time.
    pub at: Timestamp,
}

pub(super) fn decide(state: &State, command: &DeleteCustomer) -> Result<Vec<Event>, Rejection> {
    if state.deleted() || state.merged_into().is_some() {
        return Ok(Vec::new());
    }
    Ok(vec![CustomerDeleted { updated_at: Some(command.at) }.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{customer::specs::at, testing::given};

    #[test]
    fn a_profile_is_deleted_once_also_before_anything_else_is_known_of_it() {
        let deleted = Event::from(CustomerDeleted { updated_at: Some(at(5)) });
        given::<State>([]).when(DeleteCustomer { at: at(5) }).then([deleted.clone()]);
        given::<State>([deleted]).when(DeleteCustomer { at: at(6) }).then_unchanged();
    }
}
