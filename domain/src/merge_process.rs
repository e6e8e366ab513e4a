//! Two people turn out to be one: the first one's account ends and the other takes everything in, so nothing is lost.
use event_schemas::{
    Event, EventId,
    catalogue::{CustomerEvent, PointsAccountEvent},
};

use crate::{
    Reaction, StreamRef,
    points_account::{AbsorbAccount, MergeAccount},
};

pub(crate) fn react(id: EventId, stream: StreamRef, event: &Event) -> Vec<Reaction> {
    let Some(customer) = stream.subject() else { return Vec::new() };
    match event {
        Event::Customer(CustomerEvent::CustomersMerged(merged)) => {
            let merge = MergeAccount { customer, into: merged.into, entry: id.entry("merge-account") };
            vec![Reaction::command("merge-account", StreamRef::account(customer), merge)]
        }
        Event::PointsAccount(PointsAccountEvent::PointsAccountMerged(merged)) => {
            let absorb = AbsorbAccount {
                from: customer,
                estate: merged.estate.clone(),
                entry: id.entry("absorb-account"),
            };
            vec![Reaction::to_account("absorb-account", merged.into, absorb)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        RecordId,
        customer::CustomersMerged,
        payload::Payload,
        points_account::{Estate, PointsAccountMerged},
        sample::{CUSTOMER, ENTRY, OTHER_CUSTOMER},
    };

    use super::*;

    const ID: EventId = EventId { record: RecordId(ENTRY.0), index: 0 };

    /// The command must not go on to the account it was merged into, which would then be merged into itself.
    #[test]
    fn a_merge_of_people_ends_the_first_ones_own_account() {
        let merged = CustomerEvent::from(CustomersMerged::sample()).into();
        let entry = ID.entry("merge-account");
        let merge = MergeAccount { customer: CUSTOMER, into: OTHER_CUSTOMER, entry };
        assert_eq!(
            react(ID, StreamRef::customer(CUSTOMER), &merged),
            [Reaction::command("merge-account", StreamRef::account(CUSTOMER), merge)]
        );
    }

    #[test]
    fn what_an_account_leaves_is_taken_in_wherever_the_other_one_lives_on() {
        let merged = PointsAccountEvent::from(PointsAccountMerged::sample()).into();
        let entry = ID.entry("absorb-account");
        let absorb = AbsorbAccount { from: CUSTOMER, estate: Estate::sample(), entry };
        assert_eq!(
            react(ID, StreamRef::account(CUSTOMER), &merged),
            [Reaction::to_account("absorb-account", OTHER_CUSTOMER, absorb)]
        );
    }
}
