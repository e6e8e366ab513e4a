//! Laws 8 to 11: what ends, what moves between accounts, and what an account does after its end.
use std::collections::BTreeSet;

use event_schemas::{
    Points,
    catalogue::PointsAccountEvent as Event,
    points_account::{Balances, ExpiryReason, Source},
};
use proptest::prelude::*;

use super::{at_every_moment, commands::day, over_histories, world::World};

/// Catches: an expiry a day early.
#[test]
pub(crate) fn law_8_nothing_with_a_later_date_ends() {
    at_every_moment(|_, moment| {
        let Event::PointsExpired(ended) = &moment.event else { return Ok(()) };
        let (before, after) = (&moment.before, &moment.after.balances);
        prop_assert_eq!((before.balances.pending, before.balances.reserved), (after.pending, after.reserved));
        for allocation in &ended.allocations {
            let lot = before.lots.iter().find(|lot| lot.entry == allocation.lot);
            let Some(lot) = lot else { return Err(TestCaseError::fail("no such lot")) };
            prop_assert_eq!((lot.points, lot.release), (allocation.points, None));
            let over = match ended.reason {
                ExpiryReason::Lot => lot.expires_at.is_some_and(|date| date <= ended.as_of),
                // A month has 28 days at least.
                ExpiryReason::Inactivity => before
                    .active_at
                    .is_some_and(|last| last.micros() + 28 * 86_400_000_000 <= ended.as_of.micros()),
            };
            prop_assert!(over, "{:?} of {:?}", lot, ended);
        }
        Ok(())
    });
}

/// Catches: a reservation that takes points whose date is over.
#[test]
pub(crate) fn law_8_no_point_is_spent_after_its_date() {
    let spends = |event: &Event| match event {
        Event::PointsReserved(one) => one.at,
        _ => None,
    };
    at_every_moment(|_, moment| {
        let Some(at) = spends(&moment.event) else { return Ok(()) };
        let over = moment
            .before
            .lots
            .iter()
            .find(|lot| lot.release.is_none() && lot.expires_at.is_some_and(|date| date <= at));
        prop_assert!(over.is_none(), "{:?} before {:?}", over, moment.event);
        Ok(())
    });
}

/// Catches: lots that are spent as they were earned although a later one ends sooner.
#[test]
pub(crate) fn points_that_end_sooner_are_spent_first() {
    at_every_moment(|_, moment| {
        let spent: Vec<_> = match &moment.event {
            Event::PointsReserved(one) => one.allocations.iter().map(|one| (one.lot, one.points)).collect(),
            Event::PointsAdjusted(one) => one.allocations.iter().map(|one| (one.lot, one.points)).collect(),
            Event::PointsTransferredOut(one) => one.lots.iter().map(|one| (one.lot, one.points)).collect(),
            _ => return Ok(()),
        };
        let mut lots: Vec<_> = moment.before.lots.iter().filter(|lot| lot.release.is_none()).collect();
        // They come in the order in which they were earned, and stay in it where dates are equal.
        lots.sort_by_key(|lot| (lot.expires_at.is_none(), lot.expires_at));
        let mut missing: i64 = spent.iter().map(|(_, points)| points.0).sum();
        let mut expected = Vec::new();
        for lot in lots {
            let taken = Points(lot.points.0.min(missing));
            missing -= taken.0;
            expected.extend((taken.0 > 0).then_some((lot.entry, taken)));
        }
        prop_assert_eq!(spent, expected, "{:?}", moment.event);
        Ok(())
    });
}

fn sum(all: &Balances) -> i64 {
    all.available.0 + all.pending.0 + all.reserved.0 - all.debt.0
}

/// Catches: a transfer that arrives twice.
#[test]
pub(crate) fn law_9_a_transfer_conserves_points() {
    over_histories(|world| {
        let mut ends = BTreeSet::new();
        for moment in &world.moments {
            let transfer = match &moment.event {
                Event::PointsTransferredIn(one) => one.transfer,
                Event::PointsTransferReturned(one) => one.transfer,
                _ => continue,
            };
            prop_assert!(ends.insert(transfer), "{:?}", moment.event);
        }
        let all = || world.accounts.iter().map(|account| account.balances());
        let moved: i64 = all().map(|all| all.lifetime_transferred.0 + all.in_transit.0).sum();
        prop_assert_eq!(moved, arrived_but_not_told(world));
        Ok(())
    });
}

/// Points that are on the other side while the first one still holds them to be on their way.
fn arrived_but_not_told(world: &World) -> i64 {
    let there = world.transfers.values().filter(|sent| sent.arrived == Some(true) && !sent.ended);
    there.map(|sent| sent.points()).sum()
}

/// Catches: reserved points or debt that a merge leaves behind.
#[test]
pub(crate) fn law_10_a_merge_conserves_points_and_debt() {
    over_histories(|world| {
        for pair in world.moments.windows(2) {
            let [left, taken] = pair else { continue };
            let repaid = match (&left.event, &taken.event) {
                (Event::EstatePartMoved(_), Event::EstatePartAbsorbed(absorbed)) => absorbed.repaid.0,
                (Event::PointsAccountMerged(_), Event::PointsAccountAbsorbed(absorbed)) => {
                    prop_assert!(left.after.lots.is_empty());
                    absorbed.repaid.0
                }
                _ => continue,
            };
            let before = [&left.before.balances, &taken.before.balances];
            let after = [&left.after.balances, &taken.after.balances];
            let both = |all: [&Balances; 2], of: fn(&Balances) -> i64| of(all[0]) + of(all[1]);
            prop_assert_eq!(both(before, sum), both(after, sum));
            for bucket in [
                (|all| all.pending.0) as fn(&Balances) -> i64,
                |all| all.reserved.0,
                |all| all.in_transit.0,
                |all| all.lifetime_transferred.0,
            ] {
                prop_assert_eq!(both(before, bucket), both(after, bucket));
            }
            prop_assert_eq!(both(before, |all| all.debt.0) - repaid, both(after, |all| all.debt.0));
        }
        Ok(())
    });
}

/// Catches: a command that a merged account takes to itself.
#[test]
pub(crate) fn law_11_nothing_happens_after_the_end() {
    at_every_moment(|_, moment| {
        if matches!(moment.event, Event::PointsAccountRedacted(_)) {
            // It tells of the person and moves nothing.
            return Ok(());
        }
        let leaves = matches!(moment.event, Event::EstatePartMoved(_) | Event::PointsAccountMerged(_));
        let goes_on = if moment.before.leaving { leaves } else { !moment.before.merged };
        prop_assert!(goes_on, "{:?}", moment.event);
        Ok(())
    });
}

/// Catches: an erased account that earns, is spent from or is changed by staff.
#[test]
pub(crate) fn law_11_nothing_is_asked_of_an_erased_account() {
    at_every_moment(|_, moment| {
        if !moment.before.redacted {
            return Ok(());
        }
        let comes_to_its_end = matches!(
            &moment.event,
            Event::PointsVoided(one) if one.reason.as_str() == domain::points_account::CUSTOMER_ERASED
        ) || matches!(
            moment.event,
            Event::PointsReleased(_)
                | Event::PointsExpired(_)
                | Event::PointsRedeemed(_)
                | Event::PointsReservationReleased(_)
                | Event::PointsReinstated(_)
                | Event::PointsTransferCompleted(_)
                | Event::PointsTransferReturned(_)
                | Event::EstatePartMoved(_)
                | Event::PointsAccountMerged(_)
                | Event::EstatePartAbsorbed(_)
                | Event::PointsAccountAbsorbed(_)
                | Event::PointsAccountOpened(_)
        );
        prop_assert!(comes_to_its_end, "{:?}", moment.event);
        let earned = |shown: &Balances| (shown.lifetime_earned, shown.lifetime_adjusted);
        prop_assert_eq!(earned(&moment.before.balances), earned(&moment.after.balances));
        Ok(())
    });
}

/// Catches: a reservation or an award of a program while the account is frozen.
#[test]
pub(crate) fn a_frozen_account_does_nothing_that_is_asked_of_it() {
    at_every_moment(|_, moment| {
        let asked = match &moment.event {
            Event::PointsEarned(one) => !matches!(one.source, Source::Order { .. }),
            Event::PointsReserved(_) | Event::PointsTransferredOut(_) | Event::PointsTransferredIn(_) => true,
            _ => false,
        };
        prop_assert!(!(asked && moment.before.frozen), "{:?}", moment.event);
        Ok(())
    });
}

/// Catches: a release that nobody is told of.
#[test]
pub(crate) fn what_is_due_is_what_a_job_would_do() {
    use domain::{Decider as _, DueKind, points_account as account};
    over_histories(|world| {
        for state in world.accounts.iter().filter(|state| state.merged_into().is_none()) {
            let due = state.due();
            for as_of in (0..60).step_by(7).map(|days| day(world.now + days)) {
                let is_due = |kind| due.iter().any(|due| due.kind == kind && due.at <= as_of);
                let expiry = account::ExpiryRule::none();
                let release = account::ReleasePendingPoints { as_of, expiry: expiry.clone() };
                let entry = event_schemas::sample::ENTRY;
                let expire = account::ExpirePoints { entry, as_of, expiry };
                let acts = |command| state.decide(&command).is_ok_and(|events| !events.is_empty());
                prop_assert_eq!(acts(release.into()), is_due(DueKind::Release));
                prop_assert_eq!(acts(expire.into()), is_due(DueKind::Expiry));
            }
        }
        Ok(())
    });
}
