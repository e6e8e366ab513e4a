//! What holds when processes pause and die, and records or reports are lost.

use super::*;
use crate::{
    Class, Diverged, Position, Reason, Stopped,
    backend::Stored,
    faulty::{Fate, Faulty, Plan},
    frame::FORMAT,
    memory::Memory,
    mutation::{Mutation, plant},
};

/// A process whose claim passes and whose next records have these fates.
async fn writer_with_fates(
    fixture: &impl Fixture,
    fates: impl IntoIterator<Item = Fate>,
) -> (Faulty, Writer) {
    let process = Faulty::new(&fixture.log(), Plan::default());
    process.script([Fate::Pass]);
    let writer = claim(&process.log().with_timing(fixture.quick())).await;
    process.script(fates);
    (process, writer)
}

/// Catches [`Mutation::SkipFence`] on conditional stores.
pub(crate) async fn a_paused_writer_is_fenced_when_it_wakes(fixture: impl Fixture) {
    let log = fixture.log();
    let process = Faulty::new(&log, Plan::default());
    let mut paused = claim(&process.log()).await;
    append(&mut paused, 0).await;
    process.pause();
    let pending = append_all(&mut paused, 100..103);
    let mut newer = claim(&log).await;
    append_and_wait(&mut newer, 1..3).await;
    process.resume();
    for answer in pending {
        let stopped = answer.await.unwrap_err();
        assert!(matches!(stopped, Stopped::Fenced { number: 2, .. }), "{stopped}");
    }
    assert!(paused.append(commit(103)).is_err());
    append(&mut newer, 3).await;
    assert_eq!(numbers(&log).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_store_without_a_fence_is_found_out() {
    let _planted = plant(&[Mutation::SkipFence]);
    let log = crate::memory::init(1, Class::Conditional);
    let process = Faulty::new(&log, Plan::default());
    let mut paused = claim(&process.log()).await;
    process.pause();
    let pending = append_all(&mut paused, 100..101);
    append(&mut claim(&log).await, 1).await;
    process.resume();
    let mut lost = 0;
    for answer in pending {
        lost += u32::from(answer.await.is_ok());
    }
    assert!(lost > 0 && diverged(read_all(&log).await).is_some());
}

/// Its record arrived before the claim and is reported after it. What follows the claim is the business of the owner who
/// claimed: here a record that no reader of this program passes. With an owner that reads on this was seen to fail.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_report_reads_no_further_than_the_claim_that_fences_it() {
    let memory = Memory::init(1, Class::Open);
    let (process, log) = (Faulty::new(&memory.log(), Plan::default()), memory.log());
    let mut older = claim(&process.log()).await;
    process.script([Fate::DelayReport(Duration::from_secs(1))]);
    let pending = older.append(commit(0)).unwrap();
    while numbers(&log).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let mut newer = claim(&log).await;
    // In a test whose time stands still this ends when everybody has read what there is.
    tokio::time::sleep(Duration::from_millis(1)).await;
    memory.tamper(PARTITION, |records| {
        let position = Position::new(records.last().unwrap().position.get() + 1);
        records.push(Stored { position, bytes: Bytes::from_static(&[FORMAT + 1]) });
    });
    drop(newer.append(commit(1)).unwrap().await);
    pending.await.unwrap();
    let stopped = match older.append(commit(2)) {
        Ok(pending) => pending.await.unwrap_err(),
        Err(_) => older.stopped().unwrap(),
    };
    assert!(matches!(stopped, Stopped::Fenced { number: 2, .. }), "{stopped}");
}

/// Its report is late, and not needed: behind a newer claim it never counts. With an owner that waits for it this was seen
/// to fail.
#[tokio::test(start_paused = true)]
async fn who_has_read_the_claim_that_fences_it_waits_for_no_report() {
    let log = crate::memory::init(1, Class::Open);
    let process = Faulty::new(&log, Plan::default());
    let mut older = claim(&process.log()).await;
    process.pause();
    process.script([Fate::DelayReport(Duration::from_secs(1))]);
    let pending = older.append(commit(0)).unwrap();
    let _newer = claim(&log).await;
    process.resume();
    let begun = tokio::time::Instant::now();
    let stopped = pending.await.unwrap_err();
    assert!(matches!(stopped, Stopped::Fenced { number: 2, .. }), "{stopped}");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

/// It was read back while its report was on its way. With an owner that does not look once more this was seen to fail.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_gone_when_its_report_comes_is_not_answered() {
    let memory = Memory::init(1, Class::Open);
    let process = Faulty::new(&memory.log(), Plan::default());
    let mut writer = claim(&process.log()).await;
    process.script([Fate::DelayReport(Duration::from_secs(1))]);
    let pending = writer.append(commit(0)).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    memory.tamper(PARTITION, |records| drop(records.pop().unwrap()));
    let stopped = pending.await.unwrap_err();
    let gone = |diverged: &Diverged| diverged.reason == Reason::LastReadGone;
    assert!(matches!(&stopped, Stopped::Diverged(diverged) if gone(diverged)), "{stopped}");
}

pub(crate) async fn of_two_claimers_one_owns_the_partition(fixture: impl Fixture) {
    let log = fixture.log();
    let (mut one, mut other) = tokio::join!(claim(&log), claim(&log));
    assert_ne!(one.term().number, other.term().number);
    let (older, newer) =
        if one.term().number < other.term().number { (&mut one, &mut other) } else { (&mut other, &mut one) };
    append(newer, 1).await;
    let fenced = match older.append(commit(2)) {
        Ok(pending) => pending.await.unwrap_err(),
        Err(_) => older.stopped().unwrap(),
    };
    assert!(matches!(fenced, Stopped::Fenced { .. }), "{fenced}");
    assert_eq!(numbers(&log).await, [1]);
}

pub(crate) async fn a_record_behind_a_lost_one_is_never_admitted(fixture: impl Fixture) {
    let (process, mut writer) = writer_with_fates(&fixture, [Fate::Pass, Fate::Lose]).await;
    let mut answers = append_all(&mut writer, 0..4).into_iter();
    answers.next().unwrap().await.unwrap();
    for answer in answers {
        let stopped = answer.await.unwrap_err();
        assert!(matches!(stopped, Stopped::Doubt { .. }), "{stopped}");
    }
    let mut again = claim(&process.log()).await;
    append(&mut again, 1).await;
    assert_eq!(numbers(&fixture.log()).await, [0, 1]);
    let (_, skipped) = read_all(&fixture.log()).await.unwrap();
    let orphans = if fixture.log().class() == Class::Open { 2 } else { 0 };
    assert_eq!(skipped, Skipped { orphans, ..Skipped::default() });
}

pub(crate) async fn a_lost_report_is_a_doubt_and_the_next_claim_finds_the_record(fixture: impl Fixture) {
    let (_, mut writer) = writer_with_fates(&fixture, [Fate::LoseReport]).await;
    let stopped = writer.append(commit(1)).unwrap().await.unwrap_err();
    assert!(matches!(stopped, Stopped::Doubt { .. }), "{stopped}");
    let mut handed = Vec::new();
    let log = fixture.log();
    let claimed = log.claim_from(PARTITION, writer.covering(), |record| {
        handed.push(record.clone());
        Ok(())
    });
    claimed.await.unwrap();
    assert_eq!(numbers_of(&handed), [1]);
}

pub(crate) async fn a_lost_record_is_a_doubt_and_the_next_claim_does_not_find_it(fixture: impl Fixture) {
    let (_, mut writer) = writer_with_fates(&fixture, [Fate::Lose]).await;
    let stopped = writer.append(commit(1)).unwrap().await.unwrap_err();
    assert!(matches!(stopped, Stopped::Doubt { .. }), "{stopped}");
    claim(&fixture.log()).await;
    assert_eq!(numbers(&fixture.log()).await, [0_u32; 0]);
}

pub(crate) async fn a_report_out_of_time_is_a_doubt(fixture: impl Fixture) {
    let (_, mut writer) = writer_with_fates(&fixture, [Fate::DelayReport(Duration::from_secs(60))]).await;
    let stopped = writer.append(commit(1)).unwrap().await.unwrap_err();
    assert!(matches!(stopped, Stopped::Doubt { .. }), "{stopped}");
    assert!(matches!(writer.stopped(), Some(Stopped::Doubt { .. })));
}

/// Every process dies one step later than the one before it, until one gets through.
pub(crate) async fn a_crash_between_any_two_steps_loses_no_answer(fixture: impl Fixture) {
    let mut fixture = fixture;
    let mut acknowledged = Vec::new();
    for steps in 0.. {
        let plan = Plan { crash_after_steps: Some(steps), ..Plan::default() };
        let process = Faulty::new(&fixture.log(), plan);
        let number = u32::try_from(steps).unwrap() * 10;
        if let Ok(mut writer) = process.log().with_timing(fixture.quick()).claim(PARTITION, |_| Ok(())).await
        {
            for (pending, number) in append_all(&mut writer, number..number + 3).into_iter().zip(number..) {
                acknowledged.extend(pending.await.map(|_| number));
            }
        }
        let got_through = !process.has_crashed();
        drop(process);
        fixture = fixture.reopen().await;
        let stored = numbers(&fixture.log()).await;
        assert!(stored.is_sorted_by(|one, next| one < next), "{stored:?}");
        assert!(acknowledged.iter().all(|number| stored.contains(number)), "{acknowledged:?} in {stored:?}");
        if got_through {
            return assert!(acknowledged.len() >= 3 && steps > 6);
        }
    }
}
