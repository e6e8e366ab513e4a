//! What holds when nothing goes wrong.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use tokio::task::unconstrained;

use super::*;
use crate::{
    AppendError, BODY_LEN_MAX, Entry, Frame, Hash, Position, Reason, Record, State, StoreHead, admit,
    hash::roll,
};

pub(crate) async fn records_come_back_in_order_as_they_were_written(fixture: impl Fixture) {
    let log = fixture.log();
    let mut writer = claim(&log).await;
    let kinds = [NewKind::Commit, NewKind::Outcome, NewKind::Barrier];
    let mut appended = vec![writer.claimed()];
    for kind in kinds {
        appended.push(writer.append(NewRecord { kind, ..commit(7) }).unwrap().await.unwrap());
    }
    let (records, skipped) = read_all(&log).await.unwrap();
    let read: Vec<Appended> = records
        .iter()
        .map(|record| Appended {
            position: record.position,
            height: record.height,
            head: record.head,
            hash: record.hash,
        })
        .collect();
    assert_eq!((read, skipped), (appended, Skipped::default()));
    let kinds: Vec<Kind> = records.iter().map(|record| record.frame.kind).collect();
    assert_eq!(kinds, [Kind::Claim, Kind::Commit, Kind::Outcome, Kind::Barrier]);
    for (record, merchant) in records.iter().zip([[0; 16], [1; 16], [1; 16], [0; 16]]) {
        assert_eq!(record.frame.merchant, merchant);
    }
    assert_eq!(records[1].body, commit(7).body);
    assert_eq!(log.end(PARTITION), records[3].position);
}

pub(crate) async fn every_record_extends_the_chain_from_genesis(fixture: impl Fixture) {
    let log = fixture.log();
    for _ in 0..3 {
        append_and_wait(&mut claim(&log).await, 0..4).await;
    }
    let (records, _) = read_all(&log).await.unwrap();
    assert_eq!(records.len(), 15);
    let State { mut head, .. } = log.start(PARTITION).unwrap();
    let mut position = Position::START;
    for (record, height) in records.iter().zip(1..) {
        assert_eq!((record.frame.prev, record.height), (head, height));
        assert!(record.position > position);
        head = roll(head, record.hash);
        position = record.position;
        assert_eq!(record.head, head);
    }
}

pub(crate) async fn pipelined_answers_come_in_order(fixture: impl Fixture) {
    let log = fixture.log();
    let mut writer = claim(&log).await;
    let mut pending = append_all(&mut writer, 0..300);
    let last = pending.pop().unwrap().await.unwrap();
    let mut before = writer.claimed().position;
    for answer in pending {
        let Poll::Ready(appended) = pin!(unconstrained(answer)).poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("a later record was answered before this one");
        };
        let position = appended.unwrap().position;
        assert!(position > before);
        before = position;
    }
    assert!(last.position > before);
    assert_eq!(numbers(&log).await, Vec::from_iter(0..300));
}

pub(crate) async fn partitions_are_histories_of_their_own(fixture: impl Fixture) {
    let log = fixture.log();
    let mut pending = Vec::new();
    let mut writers = Vec::new();
    for partition in 0..log.partitions() {
        writers.push(log.claim(partition, |_| Ok(())).await.unwrap());
    }
    for number in 0..20_u8 {
        for writer in &mut writers {
            let mut route = [number; 16];
            while log.partition_of([1; 16], route) != writer.partition() {
                route[0] = route[0].wrapping_add(1);
                route[1] = route[1].wrapping_add(u8::from(route[0] == 0));
            }
            let record = NewRecord { merchant: [1; 16], route, ..commit(u32::from(number)) };
            pending.push(writer.append(record).unwrap());
        }
    }
    for answer in pending {
        answer.await.unwrap();
    }
    for partition in 0..log.partitions() {
        let mut reader = log.reader(partition, None).unwrap();
        let records = read_on(&mut reader).await.unwrap();
        assert_eq!(numbers_of(&records), Vec::from_iter(0..20));
        assert!(records.iter().all(|record| record.partition == partition));
    }
}

pub(crate) async fn a_claim_hands_over_every_record_once(fixture: impl Fixture) {
    let log = fixture.log();
    let mut writer = claim(&log).await;
    append_and_wait(&mut writer, [5, 9, 2]).await;
    let mut handed = Vec::new();
    let claimed = log.claim(PARTITION, |record| {
        handed.push(record.clone());
        Ok(())
    });
    let writer = claimed.await.unwrap();
    assert_eq!(handed, read_all(&log).await.unwrap().0);
    assert_eq!(writer.key_count(), 9);
    assert_eq!(handed.last().map(|record| record.hash), Some(writer.claimed().hash));
    assert_eq!(writer.admitted(), writer.claimed().position);
    assert_eq!(writer.covering().checkpoint.position, writer.claimed().position);
}

/// With a mark that is answered out of turn the checkpoint is an earlier one; so it was seen to fail.
pub(crate) async fn a_checkpoint_of_what_was_sent_comes_when_all_of_it_is_admitted(fixture: impl Fixture) {
    let log = fixture.log();
    let mut writer = claim(&log).await;
    let before = writer.covering_of_sent();
    let sent = append_all(&mut writer, 0..4);
    let between = writer.covering_of_sent();
    let rest = append_all(&mut writer, 4..6);
    let mut appended = Vec::new();
    for pending in sent.into_iter().chain(rest) {
        appended.push(pending.await.unwrap());
    }
    assert_eq!(before.await.unwrap().checkpoint.position, writer.claimed().position);
    let between = between.await.unwrap();
    assert_eq!(
        (between.checkpoint.position, between.checkpoint.hash),
        (appended[3].position, appended[3].hash)
    );

    // The same that whoever reads up to there puts together.
    let mut reader = log.reader(PARTITION, None).unwrap();
    let mut followed = log.covering_start(PARTITION).unwrap();
    while followed.checkpoint.position < between.checkpoint.position {
        let records = reader.next(1).await.unwrap().records;
        followed.follow(&records, reader.checkpoint()).unwrap();
    }
    assert_eq!(followed, between);
}

/// With the position left out of what is asked for this was seen to fail.
pub(crate) async fn a_record_is_read_again_at_its_position_and_nowhere_else(fixture: impl Fixture) {
    let log = fixture.log();
    append_and_wait(&mut claim(&log).await, 0..4).await;
    let (records, _) = read_all(&log).await.unwrap();
    for record in records.iter().filter(|record| record.frame.kind != Kind::Claim) {
        assert_eq!(log.record_at(PARTITION, record.position).await.unwrap(), *record);
    }
    let behind = Position::new(log.end(PARTITION).get() + 1);
    let absent = diverged(log.record_at(PARTITION, behind).await).unwrap();
    assert_eq!((absent.position, absent.reason), (behind, Reason::LastReadGone));
    let elsewhere = log.record_at(1, records[1].position).await;
    assert!(elsewhere.is_err());
}

pub(crate) async fn a_claim_from_a_covering_checkpoint_hands_over_the_rest(fixture: impl Fixture) {
    let log = fixture.log();
    let mut writer = claim(&log).await;
    append_and_wait(&mut writer, 0..5).await;
    let covering = writer.covering();
    append_and_wait(&mut writer, 5..8).await;
    let mut handed = Vec::new();
    let claimed = log.claim_from(PARTITION, covering, |record| {
        handed.push(record.clone());
        Ok(())
    });
    let mut writer = claimed.await.unwrap();
    assert_eq!(numbers_of(&handed), [5, 6, 7]);
    assert_eq!(writer.key_count(), 7);
    // The merchants' chains go on where they were, or the next claim would find them broken.
    append_and_wait(&mut writer, 8..12).await;
    assert_eq!(claim(&log).await.covering().merchants, writer.covering().merchants);
}

pub(crate) async fn a_failing_owner_stops_its_claim(fixture: impl Fixture) {
    let log = fixture.log();
    append_and_wait(&mut claim(&log).await, 0..3).await;
    let refused = log.claim(PARTITION, |record| match record.frame.kind {
        Kind::Claim => Ok(()),
        _ => Err("unreadable".into()),
    });
    let position = read_all(&log).await.unwrap().0[1].position;
    assert!(matches!(refused.await, Err(Error::Owner { position: at, .. }) if at == position));
    assert_eq!(read_all(&log).await.unwrap().0.len(), 4, "nothing was claimed");
}

pub(crate) async fn records_for_another_partition_or_too_large_are_not_sent(fixture: impl Fixture) {
    let log = fixture.log();
    let mut writer = log.claim(1, |_| Ok(())).await.unwrap();
    let misrouted = writer.append(commit(1)).err();
    assert!(matches!(misrouted, Some(AppendError::Misrouted { partition: 1, belongs_to: 0 })));
    let mut writer = claim(&log).await;
    let body = Bytes::from(vec![0; BODY_LEN_MAX + 1]);
    let too_large = writer.append(NewRecord { body, ..commit(1) }).err();
    assert!(matches!(too_large, Some(AppendError::TooLarge { .. })));
    append(&mut writer, 2).await;
    assert_eq!(numbers(&log).await, [2]);
}

pub(crate) async fn readers_refuse_a_record_of_another_partition(fixture: impl Fixture) {
    let log = fixture.log();
    let writer = claim(&log).await;
    let mut state = writer.covering().checkpoint.state;
    let mut route = [1; 16];
    while log.partition_of([1; 16], route) == PARTITION {
        route[0] += 1;
    }
    let before = StoreHead::from(&state);
    let frame = Frame {
        kind: Kind::Commit,
        term: state.term(),
        seq: 1,
        height: state.height + 1,
        prev: state.head,
        merchant: [1; 16],
        merchant_seq: 1,
        merchant_prev: Hash::ZERO,
        route,
        stream: [1; 16],
        key_count: 0,
    };
    let record = Record::encode(frame, b"");
    admit(&mut state, &record);
    let mut producer = log.shared_backend().producer(PARTITION).await.unwrap().unwrap();
    producer.send(Entry { record, before, after: StoreHead::from(&state) }).await.unwrap();
    let reason = diverged(read_all(&log).await).unwrap().reason;
    assert_eq!(reason, Reason::Misrouted);
}

pub(crate) async fn readers_follow_while_a_writer_appends(fixture: impl Fixture) {
    let log = fixture.log();
    let mut reader = log.reader(PARTITION, None).unwrap();
    let following = tokio::spawn(async move {
        let mut records = Vec::new();
        while numbers_of(&records).len() < 200 {
            reader.changed().await.unwrap();
            records.extend(reader.next(7).await.unwrap().records);
        }
        (numbers_of(&records), reader.position())
    });
    let mut writer = claim(&log).await;
    for number in (0..200).step_by(10) {
        append_and_wait(&mut writer, number..number + 10).await;
    }
    let (followed, position) = following.await.unwrap();
    assert_eq!(followed, Vec::from_iter(0..200));
    assert_eq!(position, log.end(PARTITION));
}

pub(crate) async fn reading_resumes_from_any_checkpoint(fixture: impl Fixture) {
    let log = fixture.log();
    append_and_wait(&mut claim(&log).await, 0..4).await;
    append_and_wait(&mut claim(&log).await, 4..8).await;
    let (all, _) = read_all(&log).await.unwrap();
    let mut reader = log.reader(PARTITION, None).unwrap();
    for read in 0..=all.len() {
        let mut resumed = log.reader(PARTITION, Some(reader.checkpoint())).unwrap();
        assert_eq!(read_on(&mut resumed).await.unwrap(), all[read..]);
        reader.next(1).await.unwrap();
    }
}

pub(crate) async fn a_reopened_log_goes_on_where_it_was(fixture: impl Fixture) {
    let (log, mut checkpoint) = (fixture.log(), None);
    let id = log.id();
    for number in 0..3 {
        append(&mut claim(&log).await, number).await;
        let mut reader = log.reader(PARTITION, checkpoint).unwrap();
        read_on(&mut reader).await.unwrap();
        checkpoint = Some(reader.checkpoint());
    }
    let records = read_all(&log).await.unwrap();
    let end = log.end(PARTITION);
    drop(log);
    let fixture = fixture.reopen().await;
    let log = fixture.log();
    assert_eq!((log.id(), log.end(PARTITION)), (id, end));
    assert_eq!(read_all(&log).await.unwrap(), records);
    let mut reader = log.reader(PARTITION, checkpoint).unwrap();
    append(&mut claim(&log).await, 3).await;
    assert_eq!(numbers_of(&read_on(&mut reader).await.unwrap()), [3]);
}
