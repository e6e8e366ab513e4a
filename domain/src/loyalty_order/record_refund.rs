//! A refund is seen, perhaps before its order. It counts once, for ever.
use event_schemas::{
    Currency, Money, RefundId, Timestamp,
    loyalty_order::{OrderObserved, OrderRefunded, RefundLine},
    merchant::StoreCredit,
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, State};
use crate::Rejection;

/// Tells of a refund.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordRefund {
    /// The refund.
    pub refund: RefundFacts,
}

/// What is known of a refund.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefundFacts {
    /// The refund.
    pub refund: RefundId,
    /// When it was made.
    pub refunded_at: Timestamp,
    /// The currency of all its amounts.
    pub currency: Currency,
    /// Lines refunded.
    pub lines: Vec<RefundLine>,
    /// Shipping refunded; contains its tax if the order's prices do.
    pub shipping_minor: i64,
    /// Tax of the shipping refunded.
    pub shipping_tax_minor: i64,
    /// Whether all of it was paid out as store credit.
    pub store_credit: bool,
    /// What was paid out beyond lines and shipping, as a refund by amount is; below zero if less than they come to was.
    pub beyond_minor: i64,
    /// Tax of that, with the same sign.
    pub beyond_tax_minor: i64,
}

pub(super) fn decide(state: &State, command: &RecordRefund) -> Result<Vec<Event>, Rejection> {
    let facts = &command.refund;
    if let Some(known) = state.refunds.get(&facts.refund) {
        return if *known == recorded(facts) { Ok(Vec::new()) } else { Err(Rejection::SourceConflict) };
    }
    let mut draft = Draft::of(state);
    draft.push(checked(state, facts)?);
    draft.judged()
}

/// The refund's event, if it is in the order's currency; before the order is seen there is no telling.
pub(super) fn checked(state: &State, facts: &RefundFacts) -> Result<OrderRefunded, Rejection> {
    let refunded = recorded(facts);
    let Some(seen) = &state.observed else { return Ok(refunded) };
    let currency = seen.total.currency;
    if facts.currency != currency {
        return Err(Rejection::CurrencyMismatch { expected: currency, found: facts.currency });
    }
    Ok(refunded)
}

impl State {
    /// The refunds that take something back. Those in another currency than the order's came before the order and never
    /// count; what went to store credit counts unless the rule says that it keeps its points.
    pub(super) fn counted_refunds<'a>(
        &'a self,
        seen: &'a OrderObserved,
    ) -> impl Iterator<Item = &'a OrderRefunded> + Clone {
        let kept =
            |refund: &OrderRefunded| refund.store_credit && seen.rule.store_credit == StoreCredit::Keep;
        let currency = seen.total.currency;
        self.refunds.values().filter(move |refund| refund.shipping.currency == currency && !kept(refund))
    }
}

fn recorded(facts: &RefundFacts) -> OrderRefunded {
    let money = |minor| Money { minor, currency: facts.currency };
    OrderRefunded {
        refund: facts.refund,
        refunded_at: facts.refunded_at,
        lines: facts.lines.clone(),
        shipping: money(facts.shipping_minor),
        shipping_tax: money(facts.shipping_tax_minor),
        store_credit: facts.store_credit,
        beyond_minor: facts.beyond_minor,
        beyond_tax_minor: facts.beyond_tax_minor,
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{loyalty_order::OrderStatus, sample::usd};

    use super::*;
    use crate::loyalty_order::{
        Command, Shipping,
        specs::{bonus, order, refund, standing, state_after, when},
    };

    fn record(number: u8, minor: i64) -> RecordRefund {
        RecordRefund { refund: refund(number, minor) }
    }

    #[test]
    fn a_refund_lowers_the_level_by_the_cumulative_difference() {
        // 54.93 earns 54; after 0.93 it is 54 still; after 1.00 more it is 53: rounding never drifts.
        assert_eq!(standing(&state_after([Command::from(order(1, 5493)), record(1, 93).into()])).2, 54);
        let state = state_after([Command::from(order(1, 5493)), record(1, 93).into(), record(2, 100).into()]);
        assert_eq!(standing(&state), (OrderStatus::Qualified, None, 53));
    }

    #[test]
    fn a_wholly_refunded_order_is_refunded_and_worth_nothing() {
        let state = state_after([Command::from(order(1, 5493)), record(1, 5493).into()]);
        assert_eq!(standing(&state), (OrderStatus::Refunded, None, 0));
        assert_eq!(state.assessment().unwrap().refunded, usd(5493));
    }

    #[test]
    fn a_refund_before_its_order_waits_and_counts_when_the_order_comes() {
        let early = state_after([record(1, 1000)]);
        assert_eq!(standing(&early), (OrderStatus::Waiting, Some("order-unknown".to_owned()), 0));
        let state = state_after([Command::from(record(1, 1000)), order(1, 5493).into()]);
        assert_eq!(standing(&state), (OrderStatus::Qualified, None, 44));
    }

    #[test]
    fn a_shipping_refund_takes_back_nothing_if_shipping_earned_nothing() {
        let shipping = RefundFacts { lines: Vec::new(), shipping_minor: 500, ..refund(1, 0) };
        let state = state_after([Command::from(order(1, 5493)), RecordRefund { refund: shipping }.into()]);
        assert_eq!(standing(&state).2, 54);
    }

    #[test]
    fn a_shipping_refund_takes_back_what_shipping_earned() {
        let mut shipped = order(1, 5493);
        shipped.rule.include_shipping = true;
        shipped.shipping = Shipping { minor: 1000, tax_minor: 100 };
        shipped.total.minor += 1100;
        let back = RefundFacts { lines: Vec::new(), shipping_minor: 500, ..refund(1, 0) };
        let state = state_after([Command::from(shipped), RecordRefund { refund: back }.into()]);
        assert_eq!(standing(&state).2, 59);
    }

    #[test]
    fn a_refund_as_store_credit_takes_back_points_or_keeps_them_by_the_rule() {
        let credit = RecordRefund { refund: RefundFacts { store_credit: true, ..refund(1, 1000) } };
        for (store_credit, points) in [(StoreCredit::ClawBack, 44), (StoreCredit::Keep, 54)] {
            let mut sold = order(1, 5493);
            sold.rule.store_credit = store_credit;
            assert_eq!(standing(&state_after([Command::from(sold), credit.clone().into()])).2, points);
        }
    }

    #[test]
    fn the_same_refund_again_changes_nothing_and_with_other_content_is_a_conflict() {
        let history = || [Command::from(order(1, 5493)), record(1, 1000).into()];
        when(history(), record(1, 1000)).then_unchanged();
        when(history(), record(1, 1001)).then_rejected(Rejection::SourceConflict);
    }

    /// So much money back, and nothing of it for a line.
    fn by_amount(number: u8, beyond_minor: i64) -> RecordRefund {
        RecordRefund { refund: RefundFacts { lines: Vec::new(), beyond_minor, ..refund(number, 0) } }
    }

    /// Catches: money that is paid back without lines, and takes no points back.
    #[test]
    fn a_refund_by_amount_takes_back_like_a_line_and_no_more_than_the_order_earned() {
        let after = |refunds: &[RecordRefund]| {
            let refunds = refunds.iter().cloned().map(Command::from);
            standing(&state_after([Command::from(order(1, 5493))].into_iter().chain(refunds)))
        };
        assert_eq!(after(&[by_amount(1, 1000)]), (OrderStatus::Qualified, None, 44));
        assert_eq!(after(&[by_amount(1, 1000), record(2, 4493)]), (OrderStatus::Refunded, None, 0));
        // 5.00 of it was for shipping, which earned nothing.
        assert_eq!(after(&[by_amount(1, 5993)]), (OrderStatus::Refunded, None, 0));
    }

    /// Catches: goods that came back first and were paid later, and take their points twice.
    #[test]
    fn money_that_was_held_back_from_lines_and_is_paid_later_takes_nothing_twice() {
        let returned = RecordRefund { refund: RefundFacts { beyond_minor: -2000, ..refund(1, 2000) } };
        for messages in [[returned.clone(), by_amount(2, 2000)], [by_amount(2, 2000), returned.clone()]] {
            let messages = messages.map(Command::from);
            let state = state_after([Command::from(order(1, 5493))].into_iter().chain(messages));
            assert_eq!(standing(&state).2, 34);
        }
        // What a shop never pays out does not bring points of returned goods back.
        assert_eq!(standing(&state_after([Command::from(order(1, 5493)), returned.into()])).2, 34);
    }

    #[test]
    fn a_refund_by_amount_takes_back_of_a_bonus_for_the_whole_order_and_of_none_for_products() {
        let mut sold = order(1, 5000);
        let product = "7".parse().unwrap();
        let of_product = event_schemas::merchant::Bonus { product_ids: vec![product], ..bonus("new", "2") };
        sold.lines[0].product_id = of_product.product_ids.first().cloned();
        sold.rule.bonuses = vec![bonus("all", "2"), of_product];
        let state = state_after([Command::from(sold), by_amount(1, 1000).into()]);
        let targets: Vec<_> = state.assessment().unwrap().bonuses.iter().map(|one| one.target.0).collect();
        assert_eq!((standing(&state).2, targets), (40, vec![40, 50]));
    }

    /// Catches: a refund that is forgotten because the order was cheaper then; one cent of tax that keeps a refund of all
    /// from counting.
    #[test]
    fn refunds_above_what_an_order_is_worth_take_all_of_it_and_more_of_a_dearer_state() {
        let history = || vec![Command::from(order(1, 5493)), record(1, 5000).into(), record(2, 494).into()];
        let state = state_after(history());
        assert_eq!(state.assessment().unwrap().refunded, usd(5493));
        assert_eq!(standing(&state), (OrderStatus::Refunded, None, 0));
        when(history(), record(2, 494)).then_unchanged();
        let dearer = state_after(history().into_iter().chain([order(2, 6000).into()]));
        assert_eq!(dearer.assessment().unwrap().refunded, usd(5494));
        assert_eq!(standing(&dearer), (OrderStatus::Qualified, None, 5));
    }

    #[test]
    fn a_refund_in_another_currency_is_rejected_or_counts_for_nothing_if_it_came_first() {
        let yen = "JPY".parse().unwrap();
        let foreign = RecordRefund { refund: RefundFacts { currency: yen, ..refund(1, 1000) } };
        when([order(1, 5493)], foreign.clone())
            .then_rejected(Rejection::CurrencyMismatch { expected: usd(0).currency, found: yen });
        assert_eq!(standing(&state_after([Command::from(foreign), order(1, 5493).into()])).2, 54);
    }
}
