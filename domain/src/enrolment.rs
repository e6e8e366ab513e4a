//! Whoever registers is enrolled: the default of the join policy.
use event_schemas::{Event, EventId, catalogue::CustomerEvent};

use crate::{Reaction, StreamRef, points_account::OpenAccount};

pub(crate) fn react(_: EventId, stream: StreamRef, event: &Event) -> Vec<Reaction> {
    match (event, stream.subject()) {
        (Event::Customer(CustomerEvent::CustomerRegistered(_)), Some(customer)) => {
            // The sender fills in what signing up earns.
            vec![Reaction::to_account("open-account", customer, OpenAccount { sign_up: None })]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{RecordId, customer::CustomerRegistered, payload::Payload, sample};

    use super::*;

    #[test]
    fn a_registration_opens_the_account() {
        let id = EventId { record: RecordId(sample::ENTRY.0), index: 0 };
        let registered = CustomerEvent::from(CustomerRegistered::sample()).into();
        assert_eq!(
            react(id, StreamRef::customer(sample::CUSTOMER), &registered),
            [Reaction::to_account("open-account", sample::CUSTOMER, OpenAccount { sign_up: None })]
        );
    }
}
