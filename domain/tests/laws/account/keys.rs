//! Laws 4 to 7: what ends once, what is taken back at most, and what is honoured once.
use std::collections::{BTreeMap, BTreeSet};

use domain::points_account::State;
use event_schemas::{catalogue::PointsAccountEvent as Event, points_account::Source};
use proptest::prelude::*;

use super::{over_histories, world::World};

fn sum(allocations: &[event_schemas::points_account::Allocation]) -> i64 {
    allocations.iter().map(|one| one.points.0).sum()
}

/// Catches: a commit that is accepted after a release.
#[test]
pub(crate) fn law_4_a_reservation_is_covered_when_made_and_ends_once() {
    over_histories(|world| {
        let mut ends = BTreeMap::new();
        for moment in &world.moments {
            match &moment.event {
                Event::PointsReserved(one) => {
                    prop_assert!(one.points <= moment.before.balances.available);
                    prop_assert_eq!(sum(&one.allocations), one.points.0);
                    prop_assert_eq!(ends.insert(one.redemption, 0), None);
                }
                Event::PointsRedeemed(one) => *ends.entry(one.redemption).or_insert(9) += 1,
                Event::PointsReservationReleased(one) => *ends.entry(one.redemption).or_insert(9) += 1,
                _ => {}
            }
        }
        prop_assert!(ends.values().all(|ends| *ends <= 1), "{ends:?}");
        Ok(())
    });
}

/// Catches: a settlement that forgets what was voided before; a merge that forgets what was taken back.
#[test]
pub(crate) fn law_5_no_more_is_taken_back_of_an_award_than_it_was() {
    over_histories(|world| {
        let mut net = BTreeMap::<_, i64>::new();
        for moment in &world.moments {
            let (key, points) = match &moment.event {
                Event::PointsEarned(one) => match (&one.source, &one.rule) {
                    (Source::Order { order, .. }, Some(used)) => ((*order, used.rule.clone()), one.points.0),
                    _ => continue,
                },
                Event::PointsVoided(one) => {
                    prop_assert_eq!(sum(&one.allocations), one.points.0);
                    ((one.order, one.rule.clone()), -one.points.0)
                }
                Event::PointsClawedBack(one) => {
                    let split = sum(&one.from_active) + one.to_debt.0 + one.forgiven.0;
                    prop_assert_eq!(split, one.points.0);
                    ((one.order, one.rule.clone()), -one.points.0)
                }
                _ => continue,
            };
            let net = net.entry(key).or_default();
            *net += points;
            prop_assert!(*net >= 0, "{:?}", moment.event);
        }
        Ok(())
    });
}

/// Catches: an older version that is applied; a newer one that moved nothing and was forgotten.
#[test]
pub(crate) fn an_order_is_settled_to_its_newest_levels_whatever_came_first() {
    over_histories(|world| {
        // Orders of somebody who was erased stay as they are.
        if world.accounts.iter().any(State::redacted) {
            return Ok(());
        }
        for (order, (_, newest)) in &world.levels {
            let mut net = [0_i64; 2];
            for settled in world.accounts.iter().filter_map(|account| account.settled(*order)) {
                for level in settled.levels() {
                    let which = usize::from(level.rule.code().as_str() != "purchase");
                    net[which] += level.granted.0 - level.clawed.0;
                }
            }
            prop_assert_eq!(net, *newest, "{}", order);
        }
        Ok(())
    });
}

/// Catches: a reinstatement that can be had twice.
#[test]
pub(crate) fn law_6_no_more_comes_back_of_a_redemption_than_it_cost() {
    over_histories(|world| {
        let mut cost = BTreeMap::<_, i64>::new();
        for moment in &world.moments {
            match &moment.event {
                Event::PointsRedeemed(one) => {
                    cost.insert(one.redemption, one.points.0);
                }
                Event::PointsReinstated(one) => {
                    let left = cost.entry(one.redemption).or_default();
                    *left -= one.points.0;
                    prop_assert!(*left >= 0);
                    prop_assert_eq!(sum(&one.allocations) + one.repaid.0, one.points.0);
                }
                _ => {}
            }
        }
        Ok(())
    });
}

/// Catches: an award that does not remember its source; keys that a merge leaves behind.
#[test]
pub(crate) fn law_7_a_business_key_awards_once_for_ever() {
    over_histories(|world| {
        let mut awarded = BTreeSet::new();
        for moment in &world.moments {
            let key = match &moment.event {
                Event::PointsEarned(one) => match &one.source {
                    Source::Order { order, version } => {
                        format!("{order} {version} {:?}", one.rule.as_ref().map(|used| &used.rule))
                    }
                    Source::Action { action, id, .. } => format!("{action} {id}"),
                    other => format!("{other:?}"),
                },
                Event::PointsAdjusted(one) => format!("adjusted {}", one.entry),
                Event::PointsTransferredIn(one) => format!("in {}", one.transfer),
                Event::PointsAccountAbsorbed(one) => format!("absorbed {}", one.from),
                Event::EstatePartAbsorbed(one) => format!("absorbed {} {}", one.from, one.part),
                _ => continue,
            };
            prop_assert!(awarded.insert(key), "{:?}", moment.event);
        }
        Ok(())
    });
}

/// Catches: an older assessment that is applied again.
#[test]
pub(crate) fn law_7_what_was_done_can_be_sent_again_without_effect() {
    over_histories(|world| {
        for (on, command) in world.sent.iter().filter(|(_, command)| keyed(command)) {
            let account = follow(world, *on);
            let repeated = domain::Decider::decide(account, command).unwrap_or_default();
            let known = world.accounts[*on].decide_known(command);
            prop_assert!(repeated.is_empty() || !known, "{:?} of {:?}", repeated, command);
        }
        Ok(())
    });
}

/// Commands whose business key an account keeps.
fn keyed(command: &domain::points_account::Command) -> bool {
    use domain::points_account::Command;
    matches!(command, Command::EarnPoints(_) | Command::RecordAction(_) | Command::SettleOrder(_))
}

fn follow(world: &World, on: usize) -> &State {
    let account = &world.accounts[on];
    match account.merged_into() {
        Some(into) => follow(world, usize::try_from(into.0.as_u128()).unwrap()),
        None => account,
    }
}

/// Whether the key was honoured where the command was first sent.
trait DecideKnown {
    fn decide_known(&self, command: &domain::points_account::Command) -> bool;
}

impl DecideKnown for State {
    fn decide_known(&self, command: &domain::points_account::Command) -> bool {
        use domain::points_account::Command;
        match command {
            Command::EarnPoints(one) => self.entry_for_source(&one.source).is_some(),
            Command::RecordAction(one) => self.entry_for_action(&one.action, &one.source).is_some(),
            Command::SettleOrder(one) => {
                self.settled(one.order).is_some_and(|settled| settled.version >= one.version)
            }
            _ => false,
        }
    }
}
