//! An order's account is settled to the order's level: the difference is awarded or taken back, repeats do nothing.
use event_schemas::{
    Code, Digest, EntryId, Money, OrderId, Personal, Points, Rate,
    loyalty_order::OrderStatus,
    merchant::WhenShort,
    points_account::{PointsClawedBack, PointsEarned, RuleUsed, Source},
};

use super::{Event, Settled, State, credit, debit, total};
use crate::Rejection;

/// Settles an order to an assessment. Assessments come in the order of their versions, each perhaps repeatedly.
#[derive(Clone, Debug, PartialEq)]
pub struct SettleOrder {
    /// The order.
    pub order: OrderId,
    /// Version of the assessment.
    pub version: u32,
    /// Points that the order is worth now.
    pub target: Points,
    /// Where the order stands.
    pub status: OrderStatus,
    /// What of the order earns, before refunds.
    pub eligible: Money,
    /// What of that was refunded.
    pub refunded: Money,
    /// The points rate used.
    pub rate: Rate,
    /// Version of the settings that the rate comes from.
    pub rule_version: u32,
    /// How far a clawback may reach.
    pub when_short: WhenShort,
    /// The entry, if points move.
    pub entry: EntryId,
    /// The outside's name of the order.
    pub reference: Option<Personal<String>>,
    /// Keyed digest of the command's content.
    pub content: Digest,
}

pub(super) fn decide(state: &State, command: &SettleOrder) -> Result<Vec<Event>, Rejection> {
    let never = Settled::default();
    let settled = state.settled(command.order).unwrap_or(&never);
    if command.version <= settled.version {
        return Ok(Vec::new());
    }
    let due = command.target.max(Points::ZERO).minus(settled.granted.minus(settled.clawed)?)?;
    if due.is_zero() {
        Ok(Vec::new())
    } else if due.is_positive() {
        award(state, command, settled, due)
    } else {
        claw_back(state, command, settled, due.negated()?)
    }
}

fn award(
    state: &State,
    command: &SettleOrder,
    settled: &Settled,
    points: Points,
) -> Result<Vec<Event>, Rejection> {
    let mut after = state.balances();
    after.lifetime_earned = after.lifetime_earned.plus(points)?;
    let repaid = credit(&mut after, points)?;
    let net = command.eligible.minor.saturating_sub(command.refunded.minor);
    let rule = RuleUsed {
        rule: Code::fixed("purchase"),
        version: command.rule_version,
        rate: command.rate,
        eligible: Money { minor: net, ..command.eligible },
    };
    let reason = if settled.version == 0 { "purchase" } else { "order-changed" };
    Ok(state.opening(PointsEarned {
        entry: command.entry,
        source: Source::Order { order: command.order, version: command.version },
        reason: Code::fixed(reason),
        points,
        repaid,
        rule: Some(rule),
        release: None,
        expires_at: None,
        at: None,
        reference: command.reference.clone(),
        content: command.content,
        after,
    }))
}

fn claw_back(
    state: &State,
    command: &SettleOrder,
    settled: &Settled,
    points: Points,
) -> Result<Vec<Event>, Rejection> {
    let reach = match command.when_short {
        WhenShort::Unlimited | WhenShort::WithinBalance => points,
        // No lot is ever pending yet, so nothing is in reach.
        WhenShort::OnlyPending => Points::ZERO,
    };
    let from_active = state.lots.take(reach, &settled.lots);
    let taken = total(&from_active)?;
    let short = points.minus(taken)?;
    let (to_debt, forgiven) = match command.when_short {
        WhenShort::Unlimited => (short, Points::ZERO),
        WhenShort::WithinBalance | WhenShort::OnlyPending => (Points::ZERO, short),
    };
    let mut after = state.balances();
    debit(&mut after, taken, to_debt)?;
    after.lifetime_clawed_back = after.lifetime_clawed_back.plus(points.minus(forgiven)?)?;
    Ok(state.opening(PointsClawedBack {
        entry: command.entry,
        order: command.order,
        version: command.version,
        rule: Code::fixed("purchase"),
        reason: Code::fixed(why_less(command)),
        points,
        from_pending: Vec::new(),
        from_active,
        to_debt,
        forgiven,
        reference: command.reference.clone(),
        after,
    }))
}

/// The statement's answer to "why?": a partial refund is told as one too.
fn why_less(command: &SettleOrder) -> &'static str {
    match command.status {
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::Refunded => "refunded",
        OrderStatus::Qualified if command.refunded.minor > 0 => "refunded",
        OrderStatus::Qualified | OrderStatus::Disqualified | OrderStatus::Waiting => "order-changed",
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::points_account::{Allocation, Balances};

    use super::*;
    use crate::points_account::{
        Command,
        specs::{balances, earn, entry, reserve, settle, spend, state_after, when, when_after},
    };

    fn only(events: Vec<Event>) -> Event {
        let [event] = <[Event; 1]>::try_from(events).unwrap();
        event
    }

    fn clawed(events: Vec<Event>) -> PointsClawedBack {
        match only(events) {
            Event::PointsClawedBack(clawed) => clawed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_first_settlement_opens_the_account_and_awards_the_level() {
        let events = when(settle(1, 1, 54)).events();
        let [Event::PointsAccountOpened(_), Event::PointsEarned(earned)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((earned.points, earned.reason.as_str()), (Points(54), "purchase"));
        assert_eq!(
            earned.after,
            balances(|all| {
                all.available = Points(54);
                all.lifetime_earned = Points(54);
            })
        );
    }

    #[test]
    fn a_level_of_nothing_moves_nothing_and_opens_no_account() {
        when(settle(1, 1, 0)).then_unchanged();
    }

    #[test]
    fn repeats_and_older_versions_move_nothing() {
        when_after([settle(1, 1, 54)], settle(1, 1, 54)).then_unchanged();
        when_after([settle(1, 2, 54)], settle(1, 1, 10)).then_unchanged();
        when_after([settle(1, 1, 54)], settle(1, 2, 54)).then_unchanged();
    }

    #[test]
    fn a_higher_level_awards_the_difference_as_a_change() {
        let Event::PointsEarned(earned) = only(when_after([settle(1, 1, 54)], settle(1, 2, 60)).events())
        else {
            panic!("nothing was awarded")
        };
        assert_eq!((earned.points, earned.reason.as_str()), (Points(6), "order-changed"));
    }

    #[test]
    fn a_lower_level_takes_back_the_difference_from_the_orders_own_lot_first() {
        let history = [settle(1, 1, 10), settle(2, 1, 20)];
        let clawed = clawed(when_after(history, settle(2, 2, 5)).events());
        assert_eq!(clawed.from_active, [Allocation { lot: entry(2, 1), points: Points(15) }]);
        assert_eq!((clawed.points, clawed.to_debt), (Points(15), Points(0)));
    }

    #[test]
    fn what_the_own_lot_lacks_is_taken_from_others_and_then_owed() {
        let history = [settle(1, 1, 10).into(), spend(1, 10), settle(2, 1, 3).into()];
        let clawed = clawed(when_after::<Command>(history, settle(1, 2, 0)).events());
        assert_eq!(clawed.from_active, [Allocation { lot: entry(2, 1), points: Points(3) }]);
        assert_eq!(clawed.to_debt, Points(7));
        assert_eq!((clawed.after.available, clawed.after.debt), (Points(0), Points(7)));
    }

    #[test]
    fn an_award_repays_debt_first_and_its_lot_holds_the_rest() {
        let state = state_after([
            Command::from(settle(1, 1, 10)),
            spend(1, 10),
            settle(1, 2, 0).into(),
            earn(1, 12).into(),
        ]);
        let Balances { available, debt, .. } = state.balances();
        assert_eq!((available, debt), (Points(2), Points(0)));
        let lot = state.lots().find(|(_, lot)| lot.remaining.is_positive()).unwrap().1;
        assert_eq!(lot.granted, Points(2));
    }

    #[test]
    fn reserved_points_are_left_alone() {
        let clawed = clawed(
            when_after([Command::from(settle(1, 1, 10)), reserve(1, 8).into()], settle(1, 2, 0)).events(),
        );
        assert_eq!((clawed.to_debt, clawed.after.reserved), (Points(8), Points(8)));
    }

    #[test]
    fn within_the_balance_the_rest_is_forgiven_for_good() {
        let command = SettleOrder { when_short: WhenShort::WithinBalance, ..settle(1, 2, 0) };
        let history = [Command::from(settle(1, 1, 10)), reserve(1, 8).into()];
        let clawed = clawed(when_after(history, command).events());
        assert_eq!((clawed.to_debt, clawed.forgiven), (Points(0), Points(8)));
        assert_eq!(clawed.after.lifetime_clawed_back, Points(2));
    }

    #[test]
    fn only_pending_points_leaves_active_ones_alone() {
        let command = SettleOrder { when_short: WhenShort::OnlyPending, ..settle(1, 2, 0) };
        let clawed = clawed(when_after([settle(1, 1, 10)], command).events());
        assert_eq!((clawed.from_active.len(), clawed.forgiven), (0, Points(10)));
        assert_eq!(clawed.after.available, Points(10));
    }

    #[test]
    fn the_reason_of_a_clawback_follows_the_order() {
        let usd = |minor| event_schemas::sample::usd(minor);
        for (status, refunded, reason) in [
            (OrderStatus::Cancelled, 100, "cancelled"),
            (OrderStatus::Refunded, 100, "refunded"),
            (OrderStatus::Qualified, 100, "refunded"),
            (OrderStatus::Qualified, 0, "order-changed"),
            (OrderStatus::Disqualified, 0, "order-changed"),
        ] {
            let command = SettleOrder { status, refunded: usd(refunded), ..settle(1, 2, 0) };
            assert_eq!(clawed(when_after([settle(1, 1, 10)], command).events()).reason.as_str(), reason);
        }
    }

    #[test]
    fn points_beyond_64_bits_are_rejected() {
        when_after([settle(1, 1, i64::MAX)], settle(2, 1, 1)).then_rejected(Rejection::PointsOverflow);
    }
}
