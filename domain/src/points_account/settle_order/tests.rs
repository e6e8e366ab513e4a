//! How an order settles, told as specs.
use event_schemas::points_account::{Allocation, Balances};

use super::*;
use crate::points_account::{
    Command,
    specs::{
        at, balances, earn, entry, release_pending, reserve, settle, spend, state_after, when, when_after,
    },
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
}

/// Catches: a newer level that moves nothing and is forgotten, so that an older one undoes it.
#[test]
fn a_newer_level_that_moves_nothing_is_remembered() {
    let settled = only(when_after([settle(1, 1, 54)], settle(1, 3, 54)).events());
    assert_eq!(settled, OrderSettled { order: settle(1, 3, 54).order, version: 3 }.into());
    when_after([settle(1, 1, 54), settle(1, 3, 54)], settle(1, 2, 0)).then_unchanged();
    when_after([settle(1, 3, 0)], settle(1, 2, 54)).then_unchanged();
}

#[test]
fn a_higher_level_awards_the_difference_as_a_change() {
    let Event::PointsEarned(earned) = only(when_after([settle(1, 1, 54)], settle(1, 2, 60)).events()) else {
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
    assert_eq!(state.lots().map(|lot| lot.points).collect::<Vec<_>>(), [Points(2)]);
}

#[test]
fn reserved_points_are_left_alone() {
    let clawed =
        clawed(when_after([Command::from(settle(1, 1, 10)), reserve(1, 8).into()], settle(1, 2, 0)).events());
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

fn bonus(multiplier: &str, target: i64) -> BonusTarget {
    BonusTarget {
        rule: Code::fixed("double"),
        multiplier: Rate::parse(multiplier).unwrap(),
        eligible: event_schemas::sample::usd(target * 100),
        target: Points(target),
    }
}

fn with_bonus(version: u32, target: i64, extra: i64) -> SettleOrder {
    SettleOrder { bonuses: vec![bonus("2", extra)], ..settle(1, version, target) }
}

/// Catches: a bonus that is settled against the purchase's level; one without an entry of its own.
#[test]
fn a_bonus_is_an_entry_of_its_own_with_a_level_of_its_own() {
    let events = when(with_bonus(1, 10, 6)).events();
    let earned: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::PointsEarned(earned) => Some((earned.entry, earned.points, earned.rule.clone().unwrap())),
            _ => None,
        })
        .collect();
    let [(one, Points(10), purchase), (other, Points(6), double)] = &earned[..] else { panic!("{earned:?}") };
    assert_ne!(one, other);
    assert_eq!((purchase.rule.as_str(), double.rule.as_str()), ("purchase", "double"));
    assert_eq!((purchase.multiplier, double.multiplier), (None, Some(Rate::parse("2").unwrap())));

    let less = clawed(when_after([with_bonus(1, 10, 6)], with_bonus(2, 10, 2)).events());
    assert_eq!((less.rule.as_str(), less.points), ("double", Points(4)));
    assert_eq!(less.from_active, [Allocation { lot: *other, points: Points(4) }]);
    let gone = clawed(when_after([with_bonus(1, 10, 6)], settle(1, 2, 10)).events());
    assert_eq!((gone.rule.as_str(), gone.points), ("double", Points(6)));
}

fn waiting(version: u32, target: i64, release: Release) -> SettleOrder {
    SettleOrder { release: Some(release), ..settle(1, version, target) }
}

/// Catches: a clawback that makes debt while the order's own points are still pending.
#[test]
fn pending_points_are_voided_before_anything_else_is_touched() {
    let history = || [earn(1, 10).into(), waiting(1, 20, Release::AwaitingFulfilment).into()];
    let cancelled = SettleOrder { status: OrderStatus::Cancelled, ..settle(1, 2, 0) };
    let events = when_after::<Command>(history(), cancelled).events();
    let [Event::PointsVoided(voided)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((voided.points, voided.reason.as_str()), (Points(20), "cancelled"));
    let after = voided.after;
    assert_eq!((after.available, after.pending, after.lifetime_voided), (Points(10), Points(0), Points(20)));
}

/// Catches: a policy of pending points only that lets active points of the order go.
#[test]
fn a_partial_refund_voids_pending_points_whatever_the_policy_says() {
    let history = || [waiting(1, 20, Release::AwaitingFulfilment)];
    let part =
        SettleOrder { when_short: WhenShort::OnlyPending, ..waiting(2, 5, Release::AwaitingFulfilment) };
    let events = when_after(history(), part).events();
    let [Event::PointsVoided(voided)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((voided.points, voided.after.pending), (Points(15), Points(5)));
}

#[test]
fn a_fulfilment_gives_the_points_a_date_or_releases_them() {
    let history = || [waiting(1, 20, Release::AwaitingFulfilment)];
    let scheduled = only(when_after(history(), waiting(2, 20, Release::At(at(5)))).events());
    let Event::PointsReleaseScheduled(scheduled) = scheduled else { panic!("{scheduled:?}") };
    assert_eq!((scheduled.release_at, scheduled.lots), (Some(at(5)), vec![entry(1, 1)]));
    let events = when_after(history(), waiting(2, 20, Release::At(at(0)))).events();
    let [Event::PointsReleased(released), Event::OrderSettled(_)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (released.lot, released.points, released.after.available),
        (entry(1, 1), Points(20), Points(20))
    );
    let again = [waiting(1, 20, Release::AwaitingFulfilment), waiting(2, 20, Release::At(at(5)))];
    let repeated = only(when_after(again, waiting(3, 20, Release::At(at(5)))).events());
    assert!(matches!(repeated, Event::OrderSettled(_)));
}

/// Catches: points that are released on their old date although the order is not fulfilled any more.
#[test]
fn a_fulfilment_that_is_taken_back_makes_the_points_wait_again() {
    let history = || [waiting(1, 20, Release::At(at(5)))];
    let taken_back = waiting(2, 20, Release::AwaitingFulfilment);
    let scheduled = only(when_after(history(), taken_back.clone()).events());
    let Event::PointsReleaseScheduled(scheduled) = scheduled else { panic!("{scheduled:?}") };
    assert_eq!((scheduled.release_at, scheduled.lots), (None, vec![entry(1, 1)]));
    let waits = || history().into_iter().chain([taken_back.clone()]).map(Command::from);
    when_after(waits(), release_pending(9)).then_unchanged();
    let fulfilled = state_after(waits().chain([waiting(3, 20, Release::At(at(0))).into()])).balances();
    assert_eq!((fulfilled.pending, fulfilled.available), (Points(0), Points(20)));
}

/// Catches: a refund together with the fulfilment that releases what it voids.
#[test]
fn a_refund_that_comes_with_the_fulfilment_releases_only_the_rest() {
    let history = [waiting(1, 20, Release::AwaitingFulfilment)];
    let after = state_after(history.into_iter().chain([settle(1, 2, 15)])).balances();
    let seen = (after.available, after.pending, after.lifetime_voided);
    assert_eq!(seen, (Points(15), Points(0), Points(5)));
}
