//! The codes of ours that an order used: when it comes to nothing, each of their redemptions is to be undone, once.
use event_schemas::{
    Code,
    loyalty_order::{CodeUsed, OrderCodeReturned, OrderObserved, OrderRefunded, OrderStage},
};

use super::{Draft, State};
use crate::planted::{self, Bug};

/// What is known, and what one more state of the order tells; in the order of the redemptions.
pub(super) fn known(state: &State, told: &[CodeUsed]) -> Vec<CodeUsed> {
    let mut known = state.observed.as_ref().map(|seen| seen.codes_used.clone()).unwrap_or_default();
    known.extend(told.iter().cloned());
    known.sort_unstable_by_key(|used| used.redemption);
    known.dedup_by_key(|used| used.redemption);
    known
}

impl Draft {
    /// Gives back what the order used, if it came to nothing. Whatever becomes of it later, that is for good.
    pub(super) fn return_codes(&mut self) {
        let Some(seen) = &self.state.observed else { return };
        let Some(reason) = came_to_nothing(&self.state, seen) else { return };
        let is_open = |used: &&CodeUsed| !self.state.codes_returned.contains(&used.redemption);
        let open: Vec<_> = seen.codes_used.iter().filter(is_open).cloned().collect();
        for CodeUsed { redemption, customer } in open {
            self.push(OrderCodeReturned { redemption, customer, reason: Code::fixed(reason) });
        }
    }
}

/// Why nothing is left of the order, if nothing is.
fn came_to_nothing(state: &State, seen: &OrderObserved) -> Option<&'static str> {
    match state.stage(seen) {
        _ if state.deleted.is_some() => Some("order-deleted"),
        OrderStage::Cancelled => Some("order-cancelled"),
        OrderStage::Voided => Some("order-voided"),
        OrderStage::Refunded => Some("order-refunded"),
        OrderStage::Paid if is_paid_back(state, seen) => Some("order-refunded"),
        OrderStage::Paid | OrderStage::Unpaid => None,
    }
}

/// Whether the refunds that are known come to all that the order cost, whichever part of it earned.
fn is_paid_back(state: &State, seen: &OrderObserved) -> bool {
    let gross = |minor: i64, tax: i64| {
        let tax = if seen.taxes_included { 0 } else { tax };
        i128::from(minor) + i128::from(tax)
    };
    let paid_back = |refund: &OrderRefunded| {
        let lines: i128 = refund.lines.iter().map(|line| gross(line.subtotal_minor, line.tax_minor)).sum();
        let shipping = gross(refund.shipping.minor, refund.shipping_tax.minor);
        lines + shipping + gross(refund.beyond_minor, refund.beyond_tax_minor)
    };
    let of_order = |refund: &&OrderRefunded| refund.shipping.currency == seen.total.currency;
    let sum: i128 = state.refunds.values().filter(of_order).map(paid_back).sum();
    if planted::is(Bug::PartRefundReturnsCode) {
        return sum > 0;
    }
    seen.total.minor > 0 && sum >= i128::from(seen.total.minor)
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        RedemptionId,
        sample::{CUSTOMER, usd},
    };
    use uuid::Uuid;

    use super::*;
    use crate::loyalty_order::{
        Command, DeleteOrder, Event, ObserveOrder, RecordRefund,
        specs::{OTHER_CUSTOMER, order, refund, state_after, when},
    };

    fn used(number: u8) -> CodeUsed {
        CodeUsed { redemption: RedemptionId(Uuid::from_u128(number.into())), customer: OTHER_CUSTOMER }
    }

    fn with_code(seconds: i64, stage: OrderStage) -> ObserveOrder {
        ObserveOrder { stage, codes_used: vec![used(1)], ..order(seconds, 5493) }
    }

    /// The codes that the last command gives back, each with its reason.
    fn returned(history: &[Command], command: impl Into<Command>) -> Vec<(u128, String)> {
        let events = when(history.iter().cloned(), command).events();
        let returned = events.into_iter().filter_map(|event| match event {
            Event::OrderCodeReturned(returned) => {
                assert_eq!(returned.customer, OTHER_CUSTOMER);
                Some((returned.redemption.0.as_u128(), returned.reason.to_string()))
            }
            _ => None,
        });
        returned.collect()
    }

    fn once(reason: &str) -> Vec<(u128, String)> {
        vec![(1, reason.to_owned())]
    }

    #[test]
    fn an_order_that_comes_to_nothing_gives_its_code_back_once() {
        for (stage, reason) in [
            (OrderStage::Cancelled, "order-cancelled"),
            (OrderStage::Voided, "order-voided"),
            (OrderStage::Refunded, "order-refunded"),
        ] {
            let paid = Command::from(with_code(1, OrderStage::Paid));
            let over = with_code(2, stage);
            assert_eq!(returned(std::slice::from_ref(&paid), over.clone()), once(reason));
            assert_eq!(returned(&[], over.clone()), once(reason), "without having been paid before");
            assert_eq!(returned(&[paid, over.into()], with_code(3, stage)), []);
        }
    }

    #[test]
    fn a_refund_gives_the_code_back_once_nothing_of_the_order_is_left() {
        let paid = Command::from(with_code(1, OrderStage::Paid));
        let part = RecordRefund { refund: refund(1, 5492) };
        assert_eq!(returned(std::slice::from_ref(&paid), part.clone()), []);
        let rest = RecordRefund { refund: refund(2, 1) };
        assert_eq!(returned(&[paid, part.into()], rest), once("order-refunded"));
    }

    #[test]
    fn an_order_that_was_free_is_not_refunded_by_being_so() {
        let free = ObserveOrder { lines: Vec::new(), total: usd(0), ..with_code(1, OrderStage::Paid) };
        assert_eq!(returned(&[], free), []);
    }

    #[test]
    fn a_code_that_only_an_older_state_tells_of_comes_back_too() {
        let cancelled = ObserveOrder { stage: OrderStage::Cancelled, ..order(5, 5493) };
        let history = [Command::from(cancelled)];
        assert_eq!(returned(&history, with_code(4, OrderStage::Paid)), once("order-cancelled"));
        let state = state_after(history.into_iter().chain([with_code(4, OrderStage::Paid).into()]));
        assert_eq!(state.observed().unwrap().codes_used, [used(1)]);
        assert_eq!(
            (state.customer(), state.observed().unwrap().stage),
            (Some(CUSTOMER), OrderStage::Cancelled)
        );
    }

    #[test]
    fn a_deleted_order_gives_its_code_back_whichever_comes_first() {
        let delete = Command::from(DeleteOrder { currency: usd(0).currency });
        let paid = with_code(1, OrderStage::Paid);
        assert_eq!(returned(&[paid.clone().into()], delete.clone()), once("order-deleted"));
        assert_eq!(returned(&[delete], paid), once("order-deleted"));
    }

    #[test]
    fn what_is_known_of_codes_stays_known_and_teaches_once() {
        let other = ObserveOrder { codes_used: vec![used(2), used(2)], ..order(2, 5493) };
        let history = [Command::from(with_code(1, OrderStage::Paid)), other.clone().into()];
        let state = state_after(history.clone());
        assert_eq!(state.observed().unwrap().codes_used, [used(1), used(2)]);
        when(history.clone(), other).then_unchanged();
        when(history, with_code(1, OrderStage::Paid)).then_unchanged();
    }
}
