//! An order's verdict settles its customer's account to the order's level: award and clawback are one thing, in order.
use event_schemas::{
    CustomerId, Digest, Event, EventId, OrderId, Timestamp, loyalty_order::Assessment, merchant::WhenShort,
};

use crate::{
    Reaction, StreamRef,
    points_account::{ExpiryRule, SettleOrder},
};

pub(crate) fn react(_: EventId, stream: StreamRef, event: &Event) -> Vec<Reaction> {
    let Event::LoyaltyOrder(event) = event else { return Vec::new() };
    let Some(assessment) = event.assessment() else { return Vec::new() };
    let Some(customer) = assessment.customer else { return Vec::new() };
    let worth_nothing =
        assessment.target.is_zero() && assessment.bonuses.iter().all(|bonus| bonus.target.is_zero());
    if assessment.version == 1 && worth_nothing {
        // Nothing can have been granted yet, so there is no level to settle.
        return Vec::new();
    }
    let settle = settlement(OrderId(stream.id), customer, assessment);
    vec![Reaction::to_account("settle-order", customer, settle)]
}

/// The sender fills in what is not here: time and settings, the order's outside name and the content's digest.
fn settlement(order: OrderId, customer: CustomerId, assessment: &Assessment) -> SettleOrder {
    SettleOrder {
        customer,
        order,
        version: assessment.version,
        target: assessment.target,
        status: assessment.status,
        eligible: assessment.eligible,
        refunded: assessment.refunded,
        rate: assessment.rate,
        rule_version: assessment.rule_version,
        release: assessment.release,
        bonuses: assessment.bonuses.clone(),
        when_short: WhenShort::Unlimited,
        at: Timestamp::EPOCH,
        expiry: ExpiryRule::none(),
        reference: None,
        content: Digest([0; 16]),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Code, Points, Rate, RecordId,
        catalogue::LoyaltyOrderEvent,
        loyalty_order::{BonusTarget, OrderDisqualified, OrderQualified, OrderStatus, OrderWaiting},
        sample,
    };

    use super::*;
    use crate::{Command, Effect, points_account};

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
        let [Reaction { step: "settle-order", effect: Effect::Command { stream, command, .. } }] = &all[..]
        else {
            panic!("{all:?}")
        };
        assert_eq!(*stream, StreamRef::account(sample::CUSTOMER));
        let Command::PointsAccount(points_account::Command::SettleOrder(settle)) = command else { panic!() };
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
        let bonus = BonusTarget {
            rule: Code::fixed("double"),
            multiplier: Rate::ONE,
            eligible: sample::usd(100),
            target: Points(1),
        };
        let nothing_else = Assessment::sample(OrderStatus::Qualified, None, 0);
        let assessment = Assessment { bonuses: vec![bonus], ..nothing_else };
        assert_eq!(reactions(OrderQualified { assessment }).len(), 1);
        assert_eq!(reactions(disqualified(2)).len(), 1);
    }
}
