//! An order's verdict settles its customer's account to the order's level: award and clawback are one thing, in order.
use event_schemas::{Digest, Event, EventId, OrderId, loyalty_order::Assessment, merchant::WhenShort};

use crate::{Reaction, StreamRef, points_account::SettleOrder};

pub(crate) fn react(id: EventId, stream: StreamRef, event: &Event) -> Vec<Reaction> {
    let Event::LoyaltyOrder(event) = event else { return Vec::new() };
    let Some(assessment) = event.assessment() else { return Vec::new() };
    let Some(customer) = assessment.customer else { return Vec::new() };
    if assessment.version == 1 && assessment.target.is_zero() {
        // Nothing can have been granted yet, so there is no level to settle.
        return Vec::new();
    }
    let settle = settlement(id, OrderId(stream.id), assessment);
    vec![Reaction::command("settle-order", StreamRef::account(customer), settle)]
}

/// The sender fills in what is not here: the order's outside name and the content's digest.
fn settlement(id: EventId, order: OrderId, assessment: &Assessment) -> SettleOrder {
    SettleOrder {
        order,
        version: assessment.version,
        target: assessment.target,
        status: assessment.status,
        eligible: assessment.eligible,
        refunded: assessment.refunded,
        rate: assessment.rate,
        rule_version: assessment.rule_version,
        when_short: WhenShort::Unlimited,
        entry: id.entry("settle-order"),
        reference: None,
        content: Digest([0; 16]),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Points, RecordId,
        catalogue::LoyaltyOrderEvent,
        loyalty_order::{OrderDisqualified, OrderQualified, OrderStatus, OrderWaiting},
        sample,
    };

    use super::*;
    use crate::Effect;

    fn reactions(event: impl Into<LoyaltyOrderEvent>) -> Vec<Reaction> {
        let id = EventId { record: RecordId(sample::ENTRY.0), index: 0 };
        react(id, StreamRef::order(sample::ORDER), &event.into().into())
    }

    fn disqualified(version: u32) -> OrderDisqualified {
        let assessment = Assessment::sample(OrderStatus::Disqualified, Some("test"), 0);
        OrderDisqualified { assessment: Assessment { version, ..assessment } }
    }

    #[test]
    fn a_verdict_settles_the_account_of_the_orders_customer() {
        let assessment = Assessment::sample(OrderStatus::Qualified, None, 54);
        let all = reactions(OrderQualified { assessment });
        let [Reaction { step: "settle-order", effect: Effect::Command { stream, command } }] = &all[..]
        else {
            panic!("{all:?}")
        };
        assert_eq!(*stream, StreamRef::account(sample::CUSTOMER));
        let settle = command.clone().settling().unwrap().clone();
        assert_eq!((settle.order, settle.version, settle.target), (sample::ORDER, 1, Points(54)));
    }

    #[test]
    fn a_guests_order_settles_nothing() {
        let guest = Assessment {
            customer: None,
            version: 2,
            ..Assessment::sample(OrderStatus::Waiting, Some("guest"), 0)
        };
        assert_eq!(reactions(OrderWaiting { assessment: guest }), []);
    }

    #[test]
    fn a_first_verdict_of_nothing_settles_nothing_but_a_later_one_does() {
        assert_eq!(reactions(disqualified(1)), []);
        assert_eq!(reactions(disqualified(2)).len(), 1);
    }
}
