//! The verdict on an order: a function of all that is known, so the order of arrival cannot matter.
use event_schemas::{
    Code, Money, Points, Rate,
    loyalty_order::{Assessment, OrderObserved, OrderStage, OrderStatus},
};

use super::{Shipping, State, eligible};
use crate::Rejection;

/// The standing, or none if nothing is known. Its version is left to the caller.
pub(super) fn assess(state: &State) -> Result<Option<Assessment>, Rejection> {
    let Some(seen) = &state.observed else { return Ok(refunded_before_it_was_seen(state)) };
    let refunded = refunded_minor(state, seen)?.min(seen.eligible.minor);
    let net = Money { minor: seen.eligible.minor - refunded, ..seen.eligible };
    let (status, reason) = standing(state, seen, net);
    let target = match status {
        OrderStatus::Qualified => seen.rule.points_per_unit.points_for(net)?,
        _ => Points::ZERO,
    };
    Ok(Some(Assessment {
        version: 0,
        status,
        reason: reason.map(Code::fixed),
        customer: state.customer,
        eligible: seen.eligible,
        refunded: Money { minor: refunded, ..seen.eligible },
        target,
        rate: seen.rule.points_per_unit,
        rule_version: seen.rule.version,
    }))
}

fn standing(state: &State, seen: &OrderObserved, net: Money) -> (OrderStatus, Option<&'static str>) {
    match seen.stage {
        OrderStage::Cancelled => (OrderStatus::Cancelled, None),
        _ if seen.test => (OrderStatus::Disqualified, Some("test")),
        OrderStage::Voided => (OrderStatus::Disqualified, Some("voided")),
        OrderStage::Unpaid => (OrderStatus::Waiting, Some("unpaid")),
        OrderStage::Paid if state.customer.is_none() => (OrderStatus::Waiting, Some("guest")),
        OrderStage::Paid if seen.eligible.minor == 0 => (OrderStatus::Disqualified, Some("nothing-eligible")),
        OrderStage::Paid if net.minor == 0 => (OrderStatus::Refunded, None),
        OrderStage::Paid => (OrderStatus::Qualified, None),
    }
}

/// Refunds in another currency than the order's came before the order and count for nothing.
fn refunded_minor(state: &State, seen: &OrderObserved) -> Result<i64, Rejection> {
    let mut sum = 0;
    for refund in state.refunds.values().filter(|one| one.shipping.currency == seen.eligible.currency) {
        let shipping = Shipping { minor: refund.shipping.minor, tax_minor: refund.shipping_tax.minor };
        let parts = refund.lines.iter().map(eligible::Part::from);
        sum += i128::from(eligible::amount(parts, shipping, seen.taxes_included, &seen.rule)?);
    }
    eligible::minor(sum)
}

fn refunded_before_it_was_seen(state: &State) -> Option<Assessment> {
    let zero = Money::zero(state.refunds.values().next()?.shipping.currency);
    Some(Assessment {
        version: 0,
        status: OrderStatus::Waiting,
        reason: Some(Code::fixed("order-unknown")),
        customer: state.customer,
        eligible: zero,
        refunded: zero,
        target: Points::ZERO,
        rate: Rate::ZERO,
        rule_version: 0,
    })
}
