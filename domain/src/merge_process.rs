//! Two people turn out to be one: the first one's account ends and the other takes everything in, so nothing is lost.
//!
//! A large account leaves in parts: each goes when the one before has arrived, so at most one is on its way.
use event_schemas::{
    CustomerId, Event, EventId,
    catalogue::{CustomerEvent, PointsAccountEvent},
    points_account::Estate,
};

use crate::{
    Reaction, StreamRef,
    points_account::{AbsorbAccount, ESTATE_PART_MAX, MergeAccount, MoveEstatePart},
};

pub(crate) fn react(id: EventId, stream: StreamRef, event: &Event) -> Vec<Reaction> {
    let Some(customer) = stream.subject() else { return Vec::new() };
    match event {
        Event::Customer(CustomerEvent::CustomersMerged(merged)) => {
            let (entry, part_max) = (id.entry("merge-account"), ESTATE_PART_MAX);
            let merge = MergeAccount { customer, into: merged.into, entry, part_max };
            vec![Reaction::command("merge-account", StreamRef::account(customer), merge)]
        }
        Event::PointsAccount(PointsAccountEvent::EstatePartMoved(moved)) => {
            vec![absorb(id, customer, moved.into, Some(moved.part), &moved.estate)]
        }
        Event::PointsAccount(PointsAccountEvent::PointsAccountMerged(merged)) => {
            vec![absorb(id, customer, merged.into, None, &merged.estate)]
        }
        Event::PointsAccount(PointsAccountEvent::EstatePartAbsorbed(arrived)) => {
            let (part, entry) = (arrived.part.saturating_add(1), id.entry("move-estate-part"));
            let next = MoveEstatePart { part, part_max: ESTATE_PART_MAX, entry };
            vec![Reaction::command("move-estate-part", StreamRef::account(arrived.from), next)]
        }
        _ => Vec::new(),
    }
}

fn absorb(id: EventId, from: CustomerId, into: CustomerId, part: Option<u32>, estate: &Estate) -> Reaction {
    let (estate, entry) = (estate.clone(), id.entry("absorb-account"));
    Reaction::to_account("absorb-account", into, AbsorbAccount { from, part, estate, entry })
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        RecordId,
        customer::CustomersMerged,
        payload::Payload,
        points_account::{EstatePartAbsorbed, EstatePartMoved, PointsAccountAbsorbed, PointsAccountMerged},
        sample::{CUSTOMER, ENTRY, OTHER_CUSTOMER},
    };

    use super::*;

    const ID: EventId = EventId { record: RecordId(ENTRY.0), index: 0 };

    /// The command must not go on to the account it was merged into, which would then be merged into itself.
    #[test]
    fn a_merge_of_people_ends_the_first_ones_own_account() {
        let merged = CustomerEvent::from(CustomersMerged::sample()).into();
        let entry = ID.entry("merge-account");
        let part_max = ESTATE_PART_MAX;
        let merge = MergeAccount { customer: CUSTOMER, into: OTHER_CUSTOMER, entry, part_max };
        assert_eq!(
            react(ID, StreamRef::customer(CUSTOMER), &merged),
            [Reaction::command("merge-account", StreamRef::account(CUSTOMER), merge)]
        );
    }

    #[test]
    fn what_an_account_leaves_is_taken_in_wherever_the_other_one_lives_on() {
        let merged = PointsAccountEvent::from(PointsAccountMerged::sample());
        let moved = PointsAccountEvent::from(EstatePartMoved::sample());
        let entry = ID.entry("absorb-account");
        for (left, part) in [(moved, Some(1)), (merged, None)] {
            let absorb = AbsorbAccount { from: CUSTOMER, part, estate: Estate::sample(), entry };
            assert_eq!(
                react(ID, StreamRef::account(CUSTOMER), &left.into()),
                [Reaction::to_account("absorb-account", OTHER_CUSTOMER, absorb)]
            );
        }
    }

    /// Catches: a part that leaves while the one before is on its way; a merge that stops after its first part.
    #[test]
    fn the_next_part_leaves_when_the_one_before_has_arrived() {
        let arrived = PointsAccountEvent::from(EstatePartAbsorbed::sample()).into();
        let entry = ID.entry("move-estate-part");
        let next = MoveEstatePart { part: 2, part_max: ESTATE_PART_MAX, entry };
        assert_eq!(
            react(ID, StreamRef::account(CUSTOMER), &arrived),
            [Reaction::command("move-estate-part", StreamRef::account(OTHER_CUSTOMER), next)]
        );
        let last = PointsAccountEvent::from(PointsAccountAbsorbed::sample()).into();
        assert_eq!(react(ID, StreamRef::account(CUSTOMER), &last), []);
    }
}
