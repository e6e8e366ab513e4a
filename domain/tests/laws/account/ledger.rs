//! Law 17: double entry. What each event moves sums to zero, and what all of them moved is what the account states.
use std::collections::BTreeMap;

use event_schemas::points_account::Posting;
use proptest::prelude::*;

use super::{at_every_moment, over_histories};

/// Catches: a clawback whose debt is not counted as clawed back.
#[test]
pub(crate) fn law_17_the_postings_of_every_event_sum_to_zero_and_to_its_balances() {
    over_histories(|world| {
        for on in 0..3 {
            let mut running = BTreeMap::<_, i64>::new();
            for event in world.events(on) {
                let postings = event.postings().unwrap();
                prop_assert_eq!(postings.iter().map(|one| one.points.0).sum::<i64>(), 0, "{:?}", event);
                for Posting { ledger, points } in postings {
                    *running.entry(ledger).or_default() += points.0;
                }
                let Some(after) = event.after() else { continue };
                let stated = after.ledger().unwrap();
                for Posting { ledger, points } in stated {
                    let moved = told(&running, ledger);
                    prop_assert_eq!(moved, points.0, "{} after {:?}", ledger.as_str(), event);
                }
            }
        }
        Ok(())
    });
}

/// What all events moved; what was let go is told with what was clawed back.
fn told(
    running: &BTreeMap<event_schemas::points_account::Ledger, i64>,
    ledger: event_schemas::points_account::Ledger,
) -> i64 {
    use event_schemas::points_account::Ledger;
    let of = |ledger| running.get(&ledger).copied().unwrap_or(0);
    match ledger {
        Ledger::ClawedBack => of(Ledger::ClawedBack) + of(Ledger::Forgiven),
        Ledger::Forgiven => 0,
        other => of(other),
    }
}

/// Catches: the same, and an event that states other balances than the account has.
#[test]
pub(crate) fn law_17_all_points_issued_are_accounted_for() {
    at_every_moment(|_, moment| {
        let all = moment.after.balances;
        let issued = all.lifetime_earned.0 + all.lifetime_adjusted.0 + all.lifetime_transferred.0;
        let gone = all.lifetime_redeemed.0
            + all.lifetime_expired.0
            + all.lifetime_clawed_back.0
            + all.lifetime_voided.0;
        let outstanding = all.available.0 + all.pending.0 + all.reserved.0 - all.debt.0;
        prop_assert_eq!(issued - gone, outstanding, "{:?}", moment.event);
        prop_assert!(moment.event.after().is_none_or(|stated| *stated == all));
        Ok(())
    });
}
