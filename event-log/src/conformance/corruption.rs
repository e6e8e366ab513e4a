//! What holds when somebody changes what is stored.

use super::*;
use crate::{
    Class, Position, Reason, Record, Stopped,
    frame::FORMAT,
    mutation::{Mutation, plant},
};

/// Three terms, 12 records, then the checkpoint of a reader at their end.
async fn written(log: &Log) -> (Vec<AdmittedRecord>, crate::Checkpoint) {
    for term in 0..3 {
        append_and_wait(&mut claim(log).await, term * 3..term * 3 + 3).await;
    }
    let mut reader = log.reader(PARTITION, None).unwrap();
    let records = read_on(&mut reader).await.unwrap();
    (records, reader.checkpoint())
}

fn edited(record: &AdmittedRecord) -> Bytes {
    Record::encode(record.frame, b"edited").bytes
}

/// A reader from the beginning, and one from a checkpoint at the end.
async fn read_both_ways(log: &Log, end: crate::Checkpoint) -> [Option<Diverged>; 2] {
    let straight = diverged(read_all(log).await);
    let mut resumed = log.reader(PARTITION, Some(end)).unwrap();
    [straight, diverged(resumed.next(10).await.map(drop))]
}

/// On an open store only a checkpoint can show what happened to the last record.
pub(crate) async fn an_edited_record_is_found(fixture: impl Fixture) {
    let log = fixture.log();
    let (records, end) = written(&log).await;
    for index in (0..records.len()).rev().step_by(fixture.edited_every()) {
        let original = Record::encode(records[index].frame, &records[index].body).bytes;
        fixture.tamper(Tamper::Edit(index, edited(&records[index])));
        let [straight, resumed] = read_both_ways(&log, end).await;
        let last = index == records.len() - 1;
        assert_eq!(straight.is_some(), !last || log.class() == Class::Conditional, "record {index}");
        assert!(straight.is_none_or(|diverged| diverged.position >= records[index].position));
        assert_eq!(resumed.is_some(), last, "record {index}");
        fixture.tamper(Tamper::Edit(index, original));
        assert_eq!(read_both_ways(&log, end).await, [None, None]);
    }
}

/// On an open store a reader from the beginning counts the orphans behind the hole; one with a checkpoint finds it.
pub(crate) async fn a_deleted_record_is_found(fixture: impl Fixture) {
    let log = fixture.log();
    let (records, end) = written(&log).await;
    let index = 1;
    fixture.tamper(Tamper::Delete(index));
    match log.class() {
        Class::Conditional => {
            let found = diverged(read_all(&log).await).unwrap();
            assert_eq!((found.partition, found.position), (PARTITION, records[index + 1].position));
        }
        Class::Open => {
            // The claim behind the orphans is free, but what follows it extends a head that is not there.
            assert!(diverged(read_all(&log).await).is_some());
        }
    }
    let remaining = records.len() - 1;
    fixture.tamper(Tamper::Delete(remaining - 1));
    let [_, resumed] = read_both_ways(&log, end).await;
    assert_eq!(resumed.unwrap().position, records[remaining].position);
}

/// What it says may be a claim, so that whoever goes on behind it is in another history than the newer program. Catches: it
/// is skipped on an open store; it is taken for a loss.
pub(crate) async fn a_record_of_a_newer_format_stops_readers_and_claims(fixture: impl Fixture) {
    let log = fixture.log();
    let (records, _) = written(&log).await;
    let last = records.len() - 1;
    let mut running = log.reader(PARTITION, None).unwrap();
    while running.position() < records[last - 1].position {
        running.next(1).await.unwrap();
    }
    let before = running.checkpoint();
    let mut bytes = Record::encode(records[last].frame, &records[last].body).bytes.to_vec();
    bytes[0] = FORMAT + 1;
    fixture.tamper(Tamper::Edit(last, bytes.into()));

    let position = records[last].position;
    let newer = Some(Diverged { partition: PARTITION, position, reason: Reason::Newer });
    assert_eq!(diverged(read_all(&log).await), newer);
    assert_eq!(diverged(running.next(1).await), newer);
    assert_eq!(diverged(log.claim(PARTITION, |_| Ok(())).await.map(drop)), newer);
    assert_eq!(diverged(log.record_at(PARTITION, position).await), newer);
    assert_eq!(diverged(log.contradicts(&before).await), newer);
    let mut pass = log.sweep(&[]).unwrap();
    let found = loop {
        match pass.next(3).await {
            Ok(batch) => assert!(!batch.records.is_empty(), "it went on to the end"),
            Err(error) => break diverged::<()>(Err(error)),
        }
    };
    assert_eq!(found, newer);
    assert!(Reason::Newer.to_string().contains("update this program"));
}

pub(crate) async fn swapped_records_are_found(fixture: impl Fixture) {
    let log = fixture.log();
    let (records, end) = written(&log).await;
    for (one, other) in [(1, 2), (2, 5), (4, 8), (0, 4), (10, 11)] {
        fixture.tamper(Tamper::Swap(one, other));
        let [straight, resumed] = read_both_ways(&log, end).await;
        let last = other == records.len() - 1;
        // At its very end an open store may look like one where the first of the two came late.
        assert!(straight.is_some() || (last && log.class() == Class::Open), "records {one} and {other}");
        assert_eq!(resumed.is_some(), last);
        fixture.tamper(Tamper::Swap(one, other));
    }
    assert_eq!(read_both_ways(&log, end).await, [None, None]);
}

/// Catches [`Mutation::SkipRecheck`].
pub(crate) async fn a_shrunk_log_stops_running_and_resumed_readers(fixture: impl Fixture) {
    let log = fixture.log();
    let (records, end) = written(&log).await;
    let mut running = log.reader(PARTITION, None).unwrap();
    read_on(&mut running).await.unwrap();
    fixture.tamper(Tamper::Delete(records.len() - 1));
    let found = diverged(running.next(1).await).unwrap();
    assert_eq!(found.position, records[records.len() - 1].position);
    assert_eq!(diverged(running.next(1).await), Some(found), "for ever");
    assert!(running.changed().await.is_err());
    assert_eq!(read_both_ways(&log, end).await[1], Some(found));
}

#[tokio::test]
async fn a_reader_that_does_not_look_again_is_found_out() {
    let _planted = plant(&[Mutation::SkipRecheck]);
    let store = crate::memory::Memory::init(1, Class::Open);
    let (records, _) = written(&store.log()).await;
    let mut running = store.log().reader(PARTITION, None).unwrap();
    read_on(&mut running).await.unwrap();
    Fixture::tamper(&store, Tamper::Delete(records.len() - 1));
    assert!(running.next(1).await.is_ok(), "the planted bug was not there");
}

pub(crate) async fn a_shrunk_log_stops_its_owner_before_it_answers(fixture: impl Fixture) {
    let log = fixture.log();
    let mut writer = claim(&log).await;
    append_and_wait(&mut writer, 0..3).await;
    fixture.tamper(Tamper::Delete(3));
    let stopped = writer.append(commit(4)).unwrap().await.unwrap_err();
    assert!(matches!(stopped, Stopped::Diverged(Diverged { partition: PARTITION, .. })), "{stopped}");
    assert!(writer.admitted() > Position::START);
    let covering = writer.covering();
    assert!(diverged(log.claim_from(PARTITION, covering, |_| Ok(())).await.map(drop)).is_some());
}
