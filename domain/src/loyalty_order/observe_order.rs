//! A state of the order is seen: at first, again, late or out of order. The newest `updated_at` says what it is worth.
use event_schemas::{
    CustomerId, Money, ProductId, ProductTag, Timestamp,
    loyalty_order::{BonusEligible, CodeUsed, EarnRule, OrderObserved, OrderStage},
    merchant::{Bonus, PendingPolicy},
};
use serde::{Deserialize, Serialize};

use super::{
    Draft, Event, RefundFacts, State, codes,
    eligible::{self, Part, Parts},
    record_refund,
};
use crate::{
    Decider as _, Rejection,
    planted::{self, Bug},
};

/// Tells what an order looks like. All amounts are in the currency of `total`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObserveOrder {
    /// Shopify's `updated_at` of that state.
    pub updated_at: Timestamp,
    /// When it was placed: bonuses that hold then are its bonuses.
    pub ordered_at: Timestamp,
    /// When it was paid, if it is; a state does not say it better than when the order was placed.
    pub paid_at: Option<Timestamp>,
    /// When the last of it was fulfilled, if all of it is.
    pub fulfilled_at: Option<Timestamp>,
    /// How far it has come.
    pub stage: OrderStage,
    /// Whether it is a test order.
    pub test: bool,
    /// Who ordered, unless it is a guest's.
    pub customer: Option<CustomerId>,
    /// Whether prices contain tax.
    pub taxes_included: bool,
    /// What was sold, and tips.
    pub lines: Vec<Line>,
    /// What shipping cost.
    pub shipping: Shipping,
    /// What it cost in all.
    pub total: Money,
    /// Codes of ours that it used.
    pub codes_used: Vec<CodeUsed>,
    /// Refunds that the state embeds.
    pub refunds: Vec<RefundFacts>,
    /// Today's rule. It counts until the order qualifies, which freezes it.
    pub rule: EarnRule,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The product, if Shopify still knows it.
    pub product_id: Option<ProductId>,
    /// Whether it is a gift card.
    pub gift_card: bool,
    /// Whether it is a tip.
    pub tip: bool,
    /// The product's tags, as far as they are known.
    pub tags: Vec<ProductTag>,
    /// Price × quantity, less its share of discounts; contains tax if the order's prices do.
    pub subtotal_minor: i64,
    /// Tax of the line.
    pub tax_minor: i64,
}

/// What shipping cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shipping {
    /// Net of discounts; contains tax if the order's prices do.
    pub minor: i64,
    /// Its tax.
    pub tax_minor: i64,
}

pub(super) fn decide(state: &State, command: &ObserveOrder) -> Result<Vec<Event>, Rejection> {
    if let Some(seen) = &state.observed {
        same_currency(seen, command)?;
    }
    let mut draft = Draft::of(state);
    if let Some(observed) = observation(state, command)? {
        draft.push(observed);
    }
    let is_older = state.observed.as_ref().is_some_and(|seen| command.updated_at < seen.updated_at);
    let told =
        if is_older && planted::is(Bug::RefundOfOlderStateDropped) { &[][..] } else { &command.refunds };
    for refund in told {
        // A known refund counts already, whatever this state tells of it.
        if !draft.state.knows_refund(refund.refund) {
            draft.push(record_refund::checked(&draft.state, refund)?);
        }
    }
    draft.judged()
}

fn same_currency(seen: &OrderObserved, command: &ObserveOrder) -> Result<(), Rejection> {
    let (expected, found) = (seen.total.currency, command.total.currency);
    if expected == found { Ok(()) } else { Err(Rejection::CurrencyMismatch { expected, found }) }
}

/// What this state adds to what is known, if anything. An older state is seen too if it teaches something that holds for
/// the order as a whole, such as who ordered.
fn observation(state: &State, command: &ObserveOrder) -> Result<Option<OrderObserved>, Rejection> {
    let seen = state.observed.as_ref();
    let mut observed = observed(state, command)?;
    if let Some(seen) = seen.filter(|seen| seen.updated_at == observed.updated_at) {
        // Of two states of the same time the later stage wins, and what only one of them knows is known.
        let wins = if planted::is(Bug::EarlierStageWins) { OrderStage::min } else { OrderStage::max };
        observed.stage = wins(observed.stage, seen.stage);
        observed.paid_at = observed.paid_at.or(seen.paid_at);
        observed.fulfilled_at = observed.fulfilled_at.or(seen.fulfilled_at);
        observed.customer = observed.customer.or(seen.customer);
    }
    Ok(teaches(state, &observed).then_some(observed))
}

fn teaches(state: &State, observed: &OrderObserved) -> bool {
    let Some(seen) = &state.observed else { return true };
    if seen.updated_at <= observed.updated_at || planted::is(Bug::OlderStateApplies) {
        return seen != observed;
    }
    let mut after = state.clone();
    after.evolve(&observed.clone().into());
    // When the order was paid or fulfilled only matters to points that wait.
    let waits = seen.rule.pending.policy != PendingPolicy::Immediate;
    after.customer != state.customer
        || observed.codes_used != seen.codes_used
        || (waits && after.course != state.course)
}

fn observed(state: &State, command: &ObserveOrder) -> Result<OrderObserved, Rejection> {
    let rule = match &state.observed {
        Some(seen) if state.rule_frozen => seen.rule.clone(),
        _ => in_force(&command.rule, command.ordered_at),
    };
    let rule = eligible::with_products_of_tags(rule, &command.lines);
    let parts = Parts {
        lines: command.lines.iter().map(Part::from),
        shipping: command.shipping,
        taxes_included: command.taxes_included,
        rule: &rule,
    };
    let money = |minor| Money { minor, ..command.total };
    let bonuses = rule.bonuses.iter().map(|bonus| {
        let eligible = money(parts.clone().amount_of_bonus(bonus)?);
        Ok(BonusEligible { rule: bonus.id.clone(), eligible })
    });
    let bonuses = bonuses.collect::<Result<_, Rejection>>()?;
    Ok(OrderObserved {
        updated_at: command.updated_at,
        paid_at: command.paid_at,
        fulfilled_at: command.fulfilled_at,
        stage: command.stage,
        test: command.test,
        customer: command.customer,
        taxes_included: command.taxes_included,
        eligible: money(parts.amount()?),
        bonuses,
        total: command.total,
        codes_used: codes::known(state, &command.codes_used),
        rule,
    })
}

/// The rule with those bonuses only that hold at that time.
fn in_force(rule: &EarnRule, at: Timestamp) -> EarnRule {
    let mut rule = rule.clone();
    let holds = |bonus: &Bonus| {
        bonus.starts_at.is_none_or(|start| start <= at) && bonus.ends_at.is_none_or(|end| at < end)
    };
    rule.bonuses.retain(holds);
    rule
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Points,
        loyalty_order::{Assessment, OrderStatus},
        sample::{CUSTOMER, usd},
    };

    use super::*;
    use crate::{
        loyalty_order::{
            Command, RecordRefund,
            specs::{
                OTHER_CUSTOMER, at, bonus, line, order, refund, refunds, rule, standing, state_after, when,
            },
        },
        testing::given,
    };

    #[test]
    fn a_paid_order_of_a_customer_qualifies_for_the_floor_of_its_amount() {
        let events = given::<State>([]).when(order(1, 5493)).events();
        let [Event::OrderObserved(observed), Event::OrderQualified(qualified)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(observed.eligible, usd(5493));
        let expected = Assessment { rule_version: 3, ..Assessment::sample(OrderStatus::Qualified, None, 54) };
        assert_eq!(qualified.assessment, expected);
    }

    #[test]
    fn the_reason_says_why_an_order_earns_nothing() {
        for (command, status, reason) in [
            (ObserveOrder { test: true, ..order(1, 100) }, OrderStatus::Disqualified, Some("test")),
            (
                ObserveOrder { stage: OrderStage::Voided, ..order(1, 100) },
                OrderStatus::Disqualified,
                Some("voided"),
            ),
            (
                ObserveOrder { stage: OrderStage::Unpaid, ..order(1, 100) },
                OrderStatus::Waiting,
                Some("unpaid"),
            ),
            (ObserveOrder { customer: None, ..order(1, 100) }, OrderStatus::Waiting, Some("guest")),
            (order(1, 0), OrderStatus::Disqualified, Some("nothing-eligible")),
            (ObserveOrder { stage: OrderStage::Cancelled, ..order(1, 100) }, OrderStatus::Cancelled, None),
        ] {
            assert_eq!(standing(&state_after([command])), (status, reason.map(str::to_owned), 0));
        }
    }

    #[test]
    fn the_same_state_again_changes_nothing() {
        when([order(1, 5493)], order(1, 5493)).then_unchanged();
    }

    #[test]
    fn an_older_state_changes_nothing_but_refunds_that_it_embeds_count() {
        when([order(5, 5493)], order(4, 100)).then_unchanged();
        let late = ObserveOrder { refunds: vec![refund(1, 1000)], ..order(4, 100) };
        assert_eq!(standing(&state_after([order(5, 5493), late])), (OrderStatus::Qualified, None, 44));
    }

    #[test]
    fn a_customer_whom_only_an_older_state_tells_is_the_orders_customer() {
        let guest = |time| ObserveOrder { customer: None, ..order(time, 5493) };
        for history in [[order(4, 5493), guest(5)], [guest(5), order(4, 5493)]] {
            let state = state_after(history);
            assert_eq!((state.customer(), standing(&state).2), (Some(CUSTOMER), 54));
        }
    }

    #[test]
    fn a_bonus_that_holds_when_the_order_is_placed_is_a_level_of_its_own() {
        let bonus = |id, start: i64, end: i64| Bonus {
            starts_at: Some(at(start)),
            ends_at: Some(at(end)),
            ..bonus(id, "1.5")
        };
        let bonuses = vec![bonus("over", 1, 10), bonus("now", 10, 20), bonus("to-come", 11, 20)];
        let placed =
            ObserveOrder { ordered_at: at(10), rule: EarnRule { bonuses, ..rule() }, ..order(30, 5493) };
        let state = state_after([Command::from(placed), RecordRefund { refund: refund(1, 100) }.into()]);
        let [target] = &state.assessment().unwrap().bonuses[..] else { panic!("{:?}", state.assessment()) };
        // 53.93 × 1 × 0.5 = 26.965; the purchase itself earns 53.
        assert_eq!((target.rule.as_str(), target.eligible, target.target), ("now", usd(5393), Points(26)));
        assert_eq!(standing(&state).2, 53);
    }

    #[test]
    fn bonuses_are_frozen_with_the_rule_and_worth_nothing_when_the_order_is() {
        let doubled = |time| ObserveOrder {
            rule: EarnRule { bonuses: vec![bonus("late", "2")], ..rule() },
            ..order(time, 100)
        };
        let state = state_after([order(1, 100), doubled(2)]);
        assert_eq!(state.assessment().unwrap().bonuses, []);
        let cancelled = ObserveOrder { stage: OrderStage::Cancelled, ..doubled(2) };
        let state = state_after([doubled(1), cancelled]);
        assert_eq!(state.assessment().unwrap().bonuses[0].target, Points(0));
    }

    #[test]
    fn another_state_of_the_same_time_is_applied() {
        assert_eq!(standing(&state_after([order(5, 5493), order(5, 3000)])).2, 30);
    }

    #[test]
    fn of_two_states_of_the_same_time_the_later_stage_wins() {
        let unpaid = ObserveOrder { stage: OrderStage::Unpaid, paid_at: None, ..order(5, 5493) };
        when([order(5, 5493)], unpaid.clone()).then_unchanged();
        assert_eq!(standing(&state_after([unpaid, order(5, 5493)])).2, 54);
    }

    #[test]
    fn a_newer_state_changes_the_level_both_ways() {
        assert_eq!(standing(&state_after([order(1, 5493), order(2, 9900)])).2, 99);
        assert_eq!(standing(&state_after([order(1, 5493), order(2, 1000)])).2, 10);
    }

    #[test]
    fn the_rule_is_frozen_once_the_order_qualified() {
        let doubled = |mut command: ObserveOrder| {
            command.rule.points_per_unit = "2".parse().unwrap();
            command
        };
        assert_eq!(standing(&state_after([order(1, 1000), doubled(order(2, 3000))])).2, 30);
        let unpaid = ObserveOrder { stage: OrderStage::Unpaid, ..order(1, 1000) };
        assert_eq!(standing(&state_after([unpaid, doubled(order(2, 3000))])).2, 60);
    }

    /// Catches: a product that is tagged after it was sold, and takes the points of the order at its next state; one that
    /// loses its tag and brings points.
    #[test]
    fn what_a_tag_said_of_a_product_is_frozen_with_the_rule() {
        let tagged = |seconds, tags: &[&str]| {
            let product_id = Some(ProductId::try_new("7").unwrap());
            let tags = tags.iter().map(|tag| ProductTag::try_new(*tag).unwrap()).collect();
            let lines = vec![line(1000), Line { product_id, tags, ..line(2000) }];
            let rule = EarnRule { excluded_tags: vec![ProductTag::try_new("sale").unwrap()], ..rule() };
            ObserveOrder { lines, rule, ..order(seconds, 3000) }
        };
        assert_eq!(standing(&state_after([tagged(1, &["new"]), tagged(2, &["new", "Sale"])])).2, 30);
        assert_eq!(standing(&state_after([tagged(1, &["sale"]), tagged(2, &[])])).2, 10);
    }

    #[test]
    fn a_guests_order_qualifies_when_a_newer_state_carries_its_customer() {
        let guest = ObserveOrder { customer: None, ..order(1, 5493) };
        let state = state_after([guest, order(2, 5493)]);
        assert_eq!((state.customer(), standing(&state).2), (Some(CUSTOMER), 54));
    }

    #[test]
    fn the_first_customer_stays_whoever_comes_later() {
        let moved = ObserveOrder { customer: Some(OTHER_CUSTOMER), ..order(2, 5493) };
        let state = state_after([order(1, 5493), moved]);
        assert_eq!((state.customer(), standing(&state).2), (Some(CUSTOMER), 54));
        assert_eq!(state.observed().unwrap().customer, Some(OTHER_CUSTOMER));
    }

    #[test]
    fn a_cancelled_order_is_worth_nothing() {
        let cancelled = ObserveOrder { stage: OrderStage::Cancelled, ..order(2, 5493) };
        let state = state_after([order(1, 5493), cancelled]);
        assert_eq!(standing(&state), (OrderStatus::Cancelled, None, 0));
        assert_eq!(state.assessment().unwrap().version, 2);
    }

    #[test]
    fn embedded_refunds_count_once_whatever_a_later_state_tells_of_them() {
        let embedding = |time, minor| ObserveOrder { refunds: vec![refund(1, minor)], ..order(time, 5493) };
        let state = state_after([embedding(1, 1000), embedding(2, 1500)]);
        assert_eq!((refunds(&state), standing(&state).2), (1, 44));
    }

    #[test]
    fn embedded_refunds_above_what_the_order_is_worth_count_up_to_it() {
        let embedding = ObserveOrder { refunds: vec![refund(1, 5000), refund(2, 494)], ..order(1, 5493) };
        let state = state_after([embedding]);
        assert_eq!((refunds(&state), standing(&state).2), (2, 0));
    }

    #[test]
    fn another_currency_than_before_is_rejected() {
        let yen = "JPY".parse().unwrap();
        let other = ObserveOrder { total: Money { minor: 5493, currency: yen }, ..order(2, 5493) };
        when([order(1, 5493)], other)
            .then_rejected(Rejection::CurrencyMismatch { expected: usd(0).currency, found: yen });
    }

    #[test]
    fn points_beyond_64_bits_are_rejected() {
        let mut huge = order(1, i64::MAX);
        huge.rule.points_per_unit = "1000000".parse().unwrap();
        given::<State>([]).when(huge).then_rejected(Rejection::PointsOverflow);
        assert_eq!(standing(&state_after([order(1, i64::MAX)])).2, i64::MAX / 100);
    }
}
