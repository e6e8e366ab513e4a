//! Shopify's own word about a person: it registers, and it replaces what is older.
//!
//! A newer message that repeats the known details is an event too: what lies between them in time must not win later.
use event_schemas::{
    Timestamp,
    customer::{CustomerUpdated, RegisteredBy},
};
use serde::{Deserialize, Serialize};

use super::{Event, Profile, State, registered};
use crate::Rejection;

/// Sets a person's details.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateCustomer {
    /// The details as a whole.
    pub profile: Profile,
    /// Shopify's `updated_at` of the message.
    pub updated_at: Timestamp,
}

pub(super) fn decide(state: &State, command: &UpdateCustomer) -> Result<Vec<Event>, Rejection> {
    let UpdateCustomer { profile, updated_at } = command;
    if state.merged_into().is_some() {
        return Ok(Vec::new());
    }
    let Some(known) = &state.known else {
        return Ok(vec![registered(RegisteredBy::Customer, profile, Some(*updated_at))]);
    };
    let same = (known.profile, known.email_verified) == (profile.digest, profile.email_verified);
    if known.updated_at.is_some_and(|seen| *updated_at < seen || (*updated_at == seen && same)) {
        return Ok(Vec::new());
    }
    Ok(vec![updated(profile.clone(), *updated_at)])
}

fn updated(profile: Profile, updated_at: Timestamp) -> Event {
    let Profile {
        shopify_customer_id,
        email,
        email_verified,
        email_digest,
        first_name,
        last_name,
        phone,
        digest,
    } = profile;
    CustomerUpdated {
        shopify_customer_id,
        email,
        email_verified,
        email_digest,
        first_name,
        last_name,
        phone,
        profile: digest,
        updated_at: Some(updated_at),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        customer::specs::{at, profile},
        testing::{fold, given},
    };

    fn update(number: u8, seconds: i64) -> UpdateCustomer {
        UpdateCustomer { profile: profile(number), updated_at: at(seconds) }
    }

    fn known(seconds: Option<i64>) -> [Event; 1] {
        [registered(RegisteredBy::Order, &profile(1), seconds.map(at))]
    }

    #[test]
    fn an_update_of_somebody_unknown_registers_them() {
        given::<State>([]).when(update(1, 5)).then([registered(
            RegisteredBy::Customer,
            &profile(1),
            Some(at(5)),
        )]);
    }

    #[test]
    fn an_update_beats_what_an_order_told() {
        given::<State>(known(None)).when(update(2, 1)).then([updated(profile(2), at(1))]);
    }

    #[test]
    fn an_older_update_changes_nothing_and_one_of_the_same_time_is_applied() {
        given::<State>(known(Some(5))).when(update(2, 4)).then_unchanged();
        given::<State>(known(Some(5))).when(update(2, 5)).then([updated(profile(2), at(5))]);
    }

    #[test]
    fn the_same_update_again_changes_nothing() {
        given::<State>(known(Some(5))).when(update(1, 5)).then_unchanged();
    }

    #[test]
    fn details_that_were_given_up_and_taken_up_again_stay_whatever_comes_late() {
        let again = updated(profile(1), at(9));
        given::<State>(known(Some(5))).when(update(1, 9)).then([again.clone()]);
        let [first] = known(Some(5));
        given::<State>([first, again]).when(update(2, 7)).then_unchanged();
    }

    #[test]
    fn a_verified_address_alone_is_news() {
        let verified = Profile { email_verified: true, ..profile(1) };
        let event = updated(verified.clone(), at(9));
        given::<State>(known(Some(5)))
            .when(UpdateCustomer { profile: verified, updated_at: at(9) })
            .then([event.clone()]);
        let [first] = known(Some(5));
        assert!(fold::<State>([first, event]).email_verified());
    }
}
