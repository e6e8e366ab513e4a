//! Specs of a request's course: its steps come in order, each once, and it ends.
use std::collections::BTreeMap;

use event_schemas::{
    CertificateId, Code, Timestamp,
    payload::Payload as _,
    privacy_request::{RedactionScope, RedactionStep, RequestSource, SubjectKeyDestroyed},
    sample::{CERTIFICATE, CUSTOMER, DIGEST, OTHER_CERTIFICATE, certificate},
};

use super::*;
use crate::testing::{When, fold, given, played};

const DAY: i64 = 86_400_000_000;

fn day(day: i64) -> Timestamp {
    Timestamp::from_micros(day * DAY)
}

fn redact(scope: RedactionScope, subjects: &[CustomerId]) -> OpenRedaction {
    OpenRedaction { scope, subjects: subjects.to_vec(), source: RequestSource::Shopify, requested_at: day(1) }
}

fn open() -> OpenRedaction {
    redact(RedactionScope::Customer, &[CUSTOMER])
}

fn finalize(id: CertificateId, at: i64) -> Finalize {
    Finalize { certificate_id: id, certificate: certificate(), at: day(at) }
}

/// All steps of a redaction, in order.
fn steps() -> Vec<Command> {
    vec![
        open().into(),
        RecordFence { fence: 7, at: day(1) }.into(),
        RecordDestruction { destroyed: SubjectKeyDestroyed::sample() }.into(),
        RecordPurge { purged: BTreeMap::from([(Code::fixed("inbox"), 2)]), at: day(1) }.into(),
        RecordVerification { scanned: Vec::new(), at: day(1) }.into(),
        Certify { certificate_id: CERTIFICATE, certificate: certificate(), at: day(2) }.into(),
        finalize(OTHER_CERTIFICATE, 9).into(),
    ]
}

fn export() -> Vec<Command> {
    vec![
        OpenDataRequest { subjects: vec![CUSTOMER], source: RequestSource::Merchant, requested_at: day(1) }
            .into(),
        PrepareExport { files: 2, bytes: 9, manifest_digest: DIGEST, prepared_at: day(2) }.into(),
        DeliverExport { delivered_at: day(3) }.into(),
    ]
}

fn after(commands: &[Command]) -> State {
    fold(played::<State>(commands.to_vec()))
}

fn when(commands: &[Command], command: impl Into<Command>) -> When<State> {
    given::<State>(played::<State>(commands.to_vec())).when(command)
}

/// Catches: a step that is recorded before the one it stands on, such as a certificate of what nobody searched.
#[test]
fn steps_come_in_their_order_and_each_once() {
    for course in [steps(), export()] {
        for (done, next) in course.iter().enumerate() {
            assert_eq!(when(&course[..done], next.clone()).events().len(), 1, "{}", next.name());
            when(&course[..=done], next.clone()).then_unchanged();
            when(&course, next.clone()).then_unchanged();
            for later in &course[done + 1..] {
                let refused = after(&course[..done]).decide(later);
                let missing = if done == 0 { Rejection::UnknownRequest } else { Rejection::StepTooEarly };
                assert_eq!(refused, Err(missing), "{} after {done} steps", later.name());
            }
        }
    }
}

#[test]
fn a_redaction_says_what_is_ahead() {
    let ahead = |done: usize| after(&steps()[..done]).redaction().unwrap().ahead();
    let expected = [
        Some(RedactionStep::Fence),
        Some(RedactionStep::Destroy),
        Some(RedactionStep::Purge),
        Some(RedactionStep::Verify),
        Some(RedactionStep::Certify),
        Some(RedactionStep::Finalize),
        None,
    ];
    assert_eq!([1, 2, 3, 4, 5, 6, 7].map(ahead), expected);
}

#[test]
fn a_request_has_to_be_done_within_thirty_days() {
    let state = after(&steps()[..1]);
    assert_eq!(state.redaction().unwrap().requested.due_at, day(31));
    assert_eq!(after(&export()[..1]).data_request().unwrap().received.due_at, day(31));
}

/// Catches: a webhook that is delivered again after the erasure, when nothing is held any more, and would be a conflict.
#[test]
fn a_request_that_is_opened_again_changes_nothing_whatever_is_held_by_then() {
    when(&steps(), redact(RedactionScope::Customer, &[])).then_unchanged();
    when(&steps(), redact(RedactionScope::Shop, &[])).then_rejected(Rejection::SourceConflict);
    when(&export(), open()).then_rejected(Rejection::SourceConflict);
    when(&steps(), export()[0].clone()).then_rejected(Rejection::SourceConflict);
}

#[test]
fn what_hinders_a_step_is_told_once_for_each_reason_until_it_is_done() {
    let failure =
        |reason| RecordFailure { step: RedactionStep::Purge, reason: Code::fixed(reason), at: day(1) };
    let behind = || failure("projection-behind");
    let mut course = steps()[..3].to_vec();
    assert_eq!(when(&course, behind()).events().len(), 1);
    course.extend([behind().into(), failure("store-away").into()]);
    when(&course, behind()).then_unchanged();
    course.push(steps()[3].clone());
    assert!(after(&course).redaction().unwrap().failures.is_empty());
    assert_eq!(when(&course, behind()).events().len(), 1);
    when(&steps(), behind()).then_rejected(Rejection::RequestEnded);
    when(&[], behind()).then_rejected(Rejection::UnknownRequest);
}

/// Catches: a record that is dropped a day early, and one of a request that is still open.
#[test]
fn the_record_ends_ninety_days_after_the_request() {
    let expire = |at| ExpireRecord { as_of: day(at) };
    for (course, end) in [(steps(), 9), (export(), 3), (export()[..2].to_vec(), 9)] {
        when(&course, expire(end + 89)).then_unchanged();
        assert_eq!(when(&course, expire(end + 90)).events().len(), 1);
        let over: Vec<_> = course.into_iter().chain([expire(end + 90).into()]).collect();
        when(&over, expire(end + 91)).then_unchanged();
        assert_eq!((after(&over).subjects(), after(&over).due()), (&[][..], vec![]));
    }
    when(&steps()[..6], expire(10_000)).then_unchanged();
    when(&[], expire(10_000)).then_rejected(Rejection::UnknownRequest);
}

/// Catches: an open request that nobody finds after a restart.
#[test]
fn a_request_is_due_as_long_as_something_is_ahead() {
    let due = |course: &[Command]| after(course).due().first().map(|due| due.at);
    assert_eq!((due(&[]), due(&steps()[..1]), due(&steps()[..5])), (None, Some(day(1)), Some(day(1))));
    assert_eq!((due(&steps()[..6]), due(&steps())), (Some(day(9)), Some(day(99))));
    assert_eq!((due(&export()[..1]), due(&export()[..2])), (Some(day(1)), Some(day(99))));
}
