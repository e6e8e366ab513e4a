//! Each planted bug must be found, where the contract says that it can be.

use crate::{
    assert_sound, is_full,
    properties::Violation,
    rules::Rule,
    run,
    world::{Bug, Config},
    worlds::{INTACT, OPEN_INTACT},
};

/// The bug must lead to this violation.
#[track_caller]
fn assert_found(config: Config, violation: Violation) {
    let explored = run(&config, &[violation]);
    assert!(explored.violation.is_some(), "{config:?} does not lead to {violation:?}: {explored:?}");
}

fn world(name: &'static str) -> Config {
    Config { name, claims: &[1, 1], opening: 1, changes: &[-1, -1], ..INTACT }
}

fn with(bug: Bug) -> Config {
    Config { bug: Some(bug), ..world("bug") }
}

#[test]
fn acknowledging_what_was_only_sent_loses_acknowledgements() {
    assert_found(with(Bug::AcknowledgeOnSend), Violation::LostAcknowledgement);
}

#[test]
fn acknowledging_before_the_read_back_loses_acknowledgements() {
    assert_found(with(Bug::AcknowledgeOnReport), Violation::LostAcknowledgement);
}

/// Asked again of the next owner, the command lands behind one that was asked after it was acknowledged.
#[test]
fn acknowledging_what_was_only_sent_breaks_the_order_of_answers() {
    let both_accepted = Config { opening: 2, appends: 3, ..with(Bug::AcknowledgeOnSend) };
    assert_found(both_accepted, Violation::OutOfOrder);
}

#[test]
fn answering_a_duplicate_from_speculation_loses_acknowledgements() {
    assert_found(with(Bug::AnswerDuplicateFromSpeculation), Violation::LostAcknowledgement);
}

#[test]
fn guessing_after_a_doubt_contradicts_a_record_that_comes_late() {
    assert_found(with(Bug::GuessAfterDoubt), Violation::TwoAnswers);
}

#[test]
fn a_reused_writer_id_with_read_back_by_place_loses_acknowledgements() {
    assert_found(with(Bug::ReuseWriterIdMatchByPlace), Violation::LostAcknowledgement);
}

#[test]
fn a_reused_writer_id_halts_readers_for_nothing() {
    assert_found(Config { appends: 3, ..with(Bug::ReuseWriterId) }, Violation::FalseHalt);
}

#[test]
fn rejecting_at_once_is_stale() {
    let earn_and_spend = Config { opening: 0, changes: &[1, -1], ..with(Bug::RejectAtOnce) };
    assert_found(earn_and_spend, Violation::StaleRejection);
}

#[test]
fn sending_again_after_a_doubt_instead_of_deciding_again_gives_two_answers() {
    let again = Config { claims: &[2, 1], appends: 3, ..with(Bug::ResendAfterDoubt) };
    assert_found(again, Violation::TwoOutcomes);
    if is_full() {
        assert_found(again, Violation::WrongDecision);
        assert_found(Config { appends: 4, ..again }, Violation::TwoAnswers);
    }
}

#[test]
fn forgetting_the_term_on_resume_splits_readers_and_halts_them() {
    let resumed = Config { crashes: 1, claims: &[1, 0], ..with(Bug::ForgetTermOnResume) };
    assert_found(resumed, Violation::ReadersDisagree);
    assert_found(resumed, Violation::FalseHalt);
}

#[test]
fn not_looking_at_the_last_record_read_misses_that_the_log_shrank() {
    let shrinks = Config { shrinks: 1, ..with(Bug::SkipRecheck) };
    assert_found(shrinks, Violation::ShrinkMissed);
}

#[test]
fn looking_only_at_the_last_record_admitted_misses_that_the_log_shrank() {
    let shrinks = Config { shrinks: 1, claims: &[2, 1], ..with(Bug::RecheckLastAdmitted) };
    assert_found(shrinks, Violation::ShrinkMissed);
}

/// The one hole that the contract names: it takes both faults, and nobody can see it in the bytes.
#[test]
fn an_old_record_that_lands_on_its_old_place_over_a_changed_history_is_not_found() {
    let both = Config {
        shrinks: 1,
        duplicates: 1,
        claims: &[2, 1],
        appends: 1,
        changes: &[-1],
        ..world("the known hole")
    };
    assert_found(both, Violation::ShrinkMissed);
}

#[test]
fn admitting_on_height_only_overspends() {
    let height_only = Config { rule: Rule::HeightOnly, appends: 4, ..world("rule") };
    assert_found(height_only, Violation::OtherHistory);
    assert_found(height_only, Violation::WrongDecision);
}

#[test]
fn ordering_claims_of_one_number_by_their_writers_halts_readers_for_nothing() {
    assert_found(Config { rule: Rule::TiesByWriter, ..world("rule") }, Violation::FalseHalt);
}

/// A wrong rule that would pass every black-box test; `admit` has its own vectors for what it leaves out.
#[track_caller]
fn assert_not_found_on_an_intact_log(rule: Rule) {
    let duplicates = Config { duplicates: 1, appends: 1, ..world("open, one record, duplicates") };
    assert_sound(&Config { rule, ..duplicates });
    let worlds = if is_full() { &OPEN_INTACT[..] } else { &OPEN_INTACT[3..] };
    for config in worlds {
        assert_sound(&Config { rule, ..*config });
    }
}

#[test]
fn the_hash_without_the_term_would_do_on_an_intact_log() {
    assert_not_found_on_an_intact_log(Rule::HashWithoutTerm);
}

#[test]
fn the_term_without_the_hash_would_do_on_an_intact_log() {
    assert_not_found_on_an_intact_log(Rule::TermWithoutHash);
}

#[test]
fn a_bare_number_would_do_on_an_intact_log() {
    assert_not_found_on_an_intact_log(Rule::NumberOnly);
}

#[test]
fn the_hash_without_the_term_misses_that_the_log_shrank() {
    let shrinks = Config { rule: Rule::HashWithoutTerm, shrinks: 1, ..world("rule, shrinks") };
    assert_found(shrinks, Violation::ShrinkMissed);
}

/// It takes a claim that lands again over another history.
#[test]
fn the_term_without_the_hash_admits_records_of_a_history_that_is_gone() {
    let shrinks = Config {
        rule: Rule::TermWithoutHash,
        shrinks: 1,
        duplicates: 1,
        claims: &[2, 1],
        appends: 1,
        changes: &[-1],
        ..world("rule, shrinks")
    };
    assert_found(shrinks, Violation::OtherHistory);
}

#[test]
fn a_bare_number_admits_records_of_a_history_that_is_gone() {
    let shrinks = Config { rule: Rule::NumberOnly, shrinks: 1, ..world("rule, shrinks") };
    assert_found(shrinks, Violation::OtherHistory);
}
