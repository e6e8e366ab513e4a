//! The verdict on an order: a function of all that is known, so the order of arrival cannot matter.
use event_schemas::{
    Code, Money, Points, Rate, Timestamp,
    loyalty_order::{Assessment, BonusTarget, OrderObserved, OrderStage, OrderStatus},
    merchant::{Bonus, Pending, PendingPolicy},
    points_account::Release,
};

use super::{
    Shipping, State,
    eligible::{self, Part, Parts},
};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Why a deleted order earns nothing.
pub(super) const DELETED: &str = "deleted";
const DAY_MICROS: i64 = 86_400_000_000;

/// The standing, or none if nothing is known. Its version is left to the caller.
pub(super) fn assess(state: &State) -> Result<Option<Assessment>, Rejection> {
    let Some(seen) = &state.observed else { return Ok(before_it_was_seen(state)) };
    let most = if planted::is(Bug::RefundsGoBelowZero) { i64::MAX } else { seen.eligible.minor };
    let refunded = refunded_minor(state, seen, Parts::amount)?.min(most);
    let net = Money { minor: seen.eligible.minor - refunded, ..seen.eligible };
    let (status, reason) = standing(state, seen, net);
    let qualified = status == OrderStatus::Qualified;
    let target = if qualified { worth(seen, net)? } else { Points::ZERO };
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
        release: if qualified { release(state, seen) } else { None },
        bonuses: bonuses(state, seen, qualified)?,
    }))
}

/// The points of what is left after refunds: rounded once, so that many small refunds end as a large one.
fn worth(seen: &OrderObserved, net: Money) -> Result<Points, Rejection> {
    let rate = seen.rule.points_per_unit;
    if planted::is(Bug::RefundsRoundedApart) {
        let refunded = Money { minor: seen.eligible.minor - net.minor, ..net };
        return Ok(rate.points_for(seen.eligible)?.minus(rate.points_for(refunded)?)?);
    }
    Ok(rate.points_for(net)?)
}

fn standing(state: &State, seen: &OrderObserved, net: Money) -> (OrderStatus, Option<&'static str>) {
    match state.stage(seen) {
        _ if state.deleted.is_some() => (OrderStatus::Cancelled, Some(DELETED)),
        OrderStage::Cancelled => (OrderStatus::Cancelled, None),
        _ if seen.test => (OrderStatus::Disqualified, Some("test")),
        OrderStage::Voided => (OrderStatus::Disqualified, Some("voided")),
        OrderStage::Unpaid => (OrderStatus::Waiting, Some("unpaid")),
        OrderStage::Paid | OrderStage::Refunded => standing_once_paid(state, seen, net),
    }
}

fn standing_once_paid(
    state: &State,
    seen: &OrderObserved,
    net: Money,
) -> (OrderStatus, Option<&'static str>) {
    match state.customer {
        None => (OrderStatus::Waiting, Some("guest")),
        Some(_) if seen.eligible.minor == 0 => (OrderStatus::Disqualified, Some("nothing-eligible")),
        Some(_) if net.minor == 0 => (OrderStatus::Refunded, None),
        Some(_) => (OrderStatus::Qualified, None),
    }
}

/// What all refunds together give back of what earned: their lines and shipping, and what was paid out beyond those. What
/// one refund holds back another may pay, so only the sum of that counts, and never below zero.
fn refunded_minor<'a>(
    state: &'a State,
    seen: &'a OrderObserved,
    amount: impl Fn(Parts<'a, std::vec::IntoIter<Part<'a>>>) -> Result<i64, Rejection>,
) -> Result<i64, Rejection> {
    let parts = |lines: Vec<Part<'a>>, shipping| Parts {
        lines: lines.into_iter(),
        shipping,
        taxes_included: seen.taxes_included,
        rule: &seen.rule,
    };
    let beyond: Vec<_> = state.counted_refunds(seen).map(Part::beyond).collect();
    let mut sum = if planted::is(Bug::MoneyBeyondLinesApart) {
        let each = beyond.into_iter().map(|part| amount(parts(vec![part], Shipping::default())));
        each.sum::<Result<i64, _>>().map(i128::from)?
    } else {
        i128::from(amount(parts(beyond, Shipping::default()))?)
    };
    for refund in state.counted_refunds(seen) {
        let shipping = Shipping { minor: refund.shipping.minor, tax_minor: refund.shipping_tax.minor };
        sum += i128::from(amount(parts(refund.lines.iter().map(Part::from).collect(), shipping))?);
    }
    eligible::minor(sum)
}

/// Each bonus is a level of its own, so that it is taken back by itself and never rounds with the purchase.
fn bonuses(state: &State, seen: &OrderObserved, qualified: bool) -> Result<Vec<BonusTarget>, Rejection> {
    let earned = seen.bonuses.iter().filter_map(|earned| {
        let bonus = seen.rule.bonuses.iter().find(|bonus| bonus.id == earned.rule)?;
        Some((bonus, earned.eligible))
    });
    earned.map(|(bonus, sold)| bonus_target(state, seen, bonus, sold, qualified)).collect()
}

fn bonus_target(
    state: &State,
    seen: &OrderObserved,
    bonus: &Bonus,
    sold: Money,
    qualified: bool,
) -> Result<BonusTarget, Rejection> {
    let refunded = refunded_minor(state, seen, |parts| parts.amount_of_bonus(bonus))?.min(sold.minor);
    let eligible = Money { minor: sold.minor - refunded, ..sold };
    let rate = seen.rule.points_per_unit;
    let target = if qualified { rate.bonus_for(bonus.multiplier, eligible)? } else { Points::ZERO };
    Ok(BonusTarget { rule: bonus.id.clone(), multiplier: bonus.multiplier, eligible, target })
}

/// What the points wait for, by the rule that the order froze. A time that is over already means that they never wait.
fn release(state: &State, seen: &OrderObserved) -> Option<Release> {
    let Pending { policy, days } = seen.rule.pending;
    let after = |start: Timestamp, days: u32| {
        Release::At(Timestamp::from_micros(start.micros().saturating_add(i64::from(days) * DAY_MICROS)))
    };
    match policy {
        PendingPolicy::Immediate => None,
        PendingPolicy::DaysAfterPaid => Some(after(state.paid_at(seen), days)),
        PendingPolicy::OnFulfilled | PendingPolicy::DaysAfterFulfilled => {
            let days = if policy == PendingPolicy::OnFulfilled { 0 } else { days };
            let fulfilled = state.fulfilled_at(seen).map(|at| after(at, days));
            Some(fulfilled.unwrap_or(Release::AwaitingFulfilment))
        }
    }
}

fn before_it_was_seen(state: &State) -> Option<Assessment> {
    let refunded = state.refunds.values().map(|refund| refund.shipping.currency);
    let moved = state.transactions.values().map(|transaction| transaction.amount.currency);
    let currency = state.deleted.into_iter().chain(refunded).chain(moved).next()?;
    let (status, reason) = match state.deleted {
        Some(_) => (OrderStatus::Cancelled, DELETED),
        None => (OrderStatus::Waiting, "order-unknown"),
    };
    Some(Assessment {
        version: 0,
        status,
        reason: Some(Code::fixed(reason)),
        customer: state.customer,
        eligible: Money::zero(currency),
        refunded: Money::zero(currency),
        target: Points::ZERO,
        rate: Rate::ZERO,
        rule_version: 0,
        release: None,
        bonuses: Vec::new(),
    })
}
