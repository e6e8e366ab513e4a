//! Each planted bug is caught by the law that says so.
use std::panic::catch_unwind;

use domain::planted::{Bug, with};

use crate::{
    account::{book, keys, ledger, moves, whole},
    order, redemption,
};

/// The laws that must fail, each.
const fn laws(bug: Bug) -> &'static [fn()] {
    match bug {
        Bug::ClawbackLeavesPoints | Bug::ReleaseLeavesPending => {
            &[book::law_1_what_can_be_spent_is_what_remains_in_the_lots]
        }
        Bug::EmptyLotIsLost => &[book::law_2_every_point_of_a_lot_is_somewhere],
        Bug::MergeLeavesDebt | Bug::CreditIgnoresDebt => &[book::law_3_nobody_has_points_to_spend_and_debt],
        Bug::CommitAfterRelease => &[keys::law_4_a_reservation_is_covered_when_made_and_ends_once],
        Bug::MergeForgetsClawbacks | Bug::VoidForgotten => {
            &[keys::law_5_no_more_is_taken_back_of_an_award_than_it_was]
        }
        Bug::OlderVersionApplies => &[
            keys::law_7_what_was_done_can_be_sent_again_without_effect,
            keys::an_order_is_settled_to_its_newest_levels_whatever_came_first,
        ],
        Bug::NewerVersionForgotten => &[keys::an_order_is_settled_to_its_newest_levels_whatever_came_first],
        Bug::ReinstatedTwice => &[keys::law_6_no_more_comes_back_of_a_redemption_than_it_cost],
        Bug::KeyForgotten | Bug::MergeForgetsKeys => &[keys::law_7_a_business_key_awards_once_for_ever],
        Bug::ExpiryADayEarly => &[moves::law_8_nothing_with_a_later_date_ends],
        Bug::DateNotAsked => &[moves::law_8_no_point_is_spent_after_its_date],
        Bug::LotsSpentAsEarned => &[moves::points_that_end_sooner_are_spent_first],
        Bug::TransferArrivesTwice => &[moves::law_9_a_transfer_conserves_points],
        Bug::MergeDropsDebt | Bug::MergeForgetsReservations => {
            &[moves::law_10_a_merge_conserves_points_and_debt]
        }
        Bug::MergedAccountGoesOn => &[moves::law_11_nothing_happens_after_the_end],
        Bug::ErasedAccountGoesOn => &[moves::law_11_nothing_is_asked_of_an_erased_account],
        Bug::ErasedPointsStay => &[moves::what_is_due_is_what_a_job_would_do],
        Bug::FrozenAccountGoesOn => &[moves::a_frozen_account_does_nothing_that_is_asked_of_it],
        Bug::ReleaseNotDue => &[moves::what_is_due_is_what_a_job_would_do],
        Bug::SnapshotForgetsWarnings => {
            &[whole::law_14_a_snapshot_and_the_rest_give_the_same_state_as_all_events]
        }
        Bug::DebtNotClawedBack => &[
            ledger::law_17_all_points_issued_are_accounted_for,
            ledger::law_17_the_postings_of_every_event_sum_to_zero_and_to_its_balances,
            order::laws::ANY_ORDER,
        ],
        Bug::OlderStateApplies | Bug::RefundOfOlderStateDropped | Bug::EarlierStageWins => {
            &[order::laws::ANY_ORDER]
        }
        Bug::VerdictRepeated => &[order::laws::REPEATS],
        Bug::RefundsRoundedApart => &[order::laws::ANY_SPLIT],
        Bug::RefundsGoBelowZero => &[order::laws::LAW_12],
        Bug::MoneyBeyondLinesApart => &[order::laws::ANY_ORDER],
        Bug::CodeReturnedTwice | Bug::PartRefundReturnsCode => &[redemption::laws::RETURNED],
        Bug::FailureReleasesNothing => &[redemption::laws::ENDS],
        Bug::SecondCode => &[redemption::laws::LAW_15],
    }
}

#[test]
fn every_planted_bug_is_caught_by_its_law() {
    let is_missed = |bug: Bug| laws(bug).iter().any(|law| with(bug, || catch_unwind(law)).is_ok());
    let missed: Vec<_> = Bug::ALL.iter().filter(|bug| is_missed(**bug)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
