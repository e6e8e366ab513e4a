//! A refund is seen, perhaps before its order. It counts once, for ever.
use event_schemas::{
    Currency, Money, RefundId, Timestamp,
    loyalty_order::{OrderObserved, OrderRefunded, RefundLine},
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, Shipping, State, eligible};
use crate::{
    Rejection,
    planted::{self, Bug},
};

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
    /// The refunds that count: in the order in which they were made, each if it and those before it come to no more than
    /// the order ever cost. The others wait for a state of the order that is dearer. Those in another currency than the
    /// order's came before the order and never count.
    pub(super) fn counted_refunds(&self, seen: &OrderObserved) -> Result<Vec<&OrderRefunded>, Rejection> {
        let mut refunds: Vec<_> = self.refunds_in_currency(seen).collect();
        refunds.sort_by_key(|refund| (refund.refunded_at, refund.refund));
        let mut left = i128::from(self.ceiling_minor);
        let mut counted = Vec::with_capacity(refunds.len());
        for refund in refunds {
            let gross = gross(refund, seen.taxes_included)?;
            if gross <= left {
                left -= if planted::is(Bug::CeilingForEachRefund) { 0 } else { gross };
                counted.push(refund);
            }
        }
        Ok(counted)
    }

    /// Whether a refund waits for a state of the order that is dearer.
    pub(super) fn has_waiting_refund(&self, seen: &OrderObserved) -> Result<bool, Rejection> {
        Ok(self.counted_refunds(seen)?.len() < self.refunds_in_currency(seen).count())
    }

    fn refunds_in_currency(&self, seen: &OrderObserved) -> impl Iterator<Item = &OrderRefunded> {
        let currency = seen.total.currency;
        self.refunds.values().filter(move |refund| refund.shipping.currency == currency)
    }
}

fn gross(refund: &OrderRefunded, taxes_included: bool) -> Result<i128, Rejection> {
    let shipping = Shipping { minor: refund.shipping.minor, tax_minor: refund.shipping_tax.minor };
    eligible::gross(refund.lines.iter().map(eligible::Part::from), shipping, taxes_included).map(i128::from)
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
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{loyalty_order::OrderStatus, merchant::StoreCredit, sample::usd};

    use super::*;
    use crate::loyalty_order::{
        Command,
        specs::{at, order, refund, standing, state_after, when},
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

    /// Catches: a refund that is refused because the order was cheaper then, and lost when the dearer state comes.
    #[test]
    fn a_refund_above_the_total_waits_for_a_dearer_state_of_the_order() {
        let waiting = || vec![Command::from(order(1, 5493)), record(1, 5000).into(), record(2, 494).into()];
        let state = state_after(waiting());
        assert_eq!(state.assessment().unwrap().refunded, usd(5000));
        assert_eq!(standing(&state), (OrderStatus::Qualified, Some("refund-waits".to_owned()), 4));
        when(waiting(), record(2, 494)).then_unchanged();
        let dearer = state_after(waiting().into_iter().chain([order(2, 6000).into()]));
        assert_eq!(dearer.assessment().unwrap().refunded, usd(5494));
        assert_eq!(standing(&dearer), (OrderStatus::Qualified, None, 5));
    }

    #[test]
    fn a_refund_that_fits_counts_although_an_earlier_one_waits() {
        let later = RefundFacts { refunded_at: at(10), ..refund(2, 493) };
        for messages in [[refund(1, 5494), later.clone()], [later, refund(1, 5494)]] {
            let refunds = messages.map(|refund| Command::from(RecordRefund { refund }));
            let state = state_after([Command::from(order(1, 5493))].into_iter().chain(refunds));
            assert_eq!(state.assessment().unwrap().refunded, usd(493));
        }
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
