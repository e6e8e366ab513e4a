//! One pass over all partitions.

use super::*;
use crate::{
    Checkpoint, Class, Position, Record, Span, Sweeper,
    mutation::{Mutation, plant},
};

/// Two terms in each of the partitions, their records between one another; the first has the most.
async fn written(log: &Log) {
    for term in 0..2 {
        let mut writers = Vec::new();
        for partition in 0..4 {
            writers.push(log.claim(partition, |_| Ok(())).await.unwrap());
        }
        for number in term * 10..term * 10 + 10 {
            append(&mut writers[0], number).await;
            for writer in writers.iter_mut().skip(1 + number as usize % 3) {
                let route = route_to(log, writer.partition());
                let record = NewRecord { merchant: [1; 16], route, ..commit(number) };
                writer.append(record).unwrap().await.unwrap();
            }
        }
    }
}

fn route_to(log: &Log, partition: u16) -> [u8; 16] {
    let mut routes = (1..=u8::MAX).map(|byte| [byte; 16]);
    routes.find(|route| log.partition_of([1; 16], *route) == partition).unwrap()
}

async fn sweep_on(sweeper: &mut Sweeper, step: usize) -> Result<Vec<AdmittedRecord>, Error> {
    let mut records = Vec::new();
    loop {
        let batch = sweeper.next(step).await?;
        assert!(batch.records.len() <= step);
        if batch.records.is_empty() {
            return Ok(records);
        }
        records.extend(batch.records);
    }
}

fn of(records: &[AdmittedRecord], partition: u16) -> Vec<AdmittedRecord> {
    records.iter().filter(|record| record.partition == partition).cloned().collect()
}

/// Catches [`Mutation::SweepByOneState`].
pub(crate) async fn one_pass_gives_each_partition_what_its_reader_gives(fixture: impl Fixture) {
    let log = fixture.log();
    written(&log).await;
    for step in [1, 7, 1_000] {
        let mut sweeper = log.sweep(&[]).unwrap();
        let records = sweep_on(&mut sweeper, step).await.unwrap();
        for partition in 0..4 {
            let mut reader = log.reader(partition, None).unwrap();
            assert_eq!(of(&records, partition), read_on(&mut reader).await.unwrap());
            assert_eq!(sweeper.checkpoints().nth(partition.into()), Some(&reader.checkpoint()));
        }
        // What comes behind the ends is read as well.
        append(&mut claim(&log).await, 90).await;
        assert_eq!(numbers_of(&sweep_on(&mut sweeper, step).await.unwrap()), [90]);
    }
}

/// Each partition begins and ends somewhere else; of the second nothing is read. Catches [`Mutation::SweepBeyondSpan`].
pub(crate) async fn a_pass_begins_and_ends_at_any_places(fixture: impl Fixture) {
    let log = fixture.log();
    written(&log).await;
    let (mut spans, mut wanted) = (Vec::new(), Vec::new());
    for (partition, (from, until)) in (0..4).zip([(3, Some(9)), (2, Some(2)), (0, None), (4, Some(5))]) {
        let mut reader = log.reader(partition, None).unwrap();
        let mut at: Vec<Checkpoint> = vec![reader.checkpoint()];
        let mut records = Vec::new();
        while let Some(record) = reader.next(1).await.unwrap().records.pop() {
            records.push(record);
            at.push(reader.checkpoint());
        }
        let end = until.unwrap_or(records.len());
        wanted.push((records[from..end].to_vec(), at[end]));
        let until = until.map(|until| at[until].position);
        spans.push(Span { from: (from > 0).then_some(at[from]), until });
    }
    for step in [1, 3, 1_000] {
        let mut sweeper = log.sweep(&spans).unwrap();
        let records = sweep_on(&mut sweeper, step).await.unwrap();
        for (partition, (wanted, end)) in (0..4).zip(&wanted) {
            assert_eq!(&of(&records, partition), wanted, "partition {partition}");
            assert_eq!(sweeper.checkpoints().nth(partition.into()), Some(end));
        }
    }
}

/// Catches [`Mutation::SkipStoreHead`].
pub(crate) async fn a_pass_finds_what_a_reader_finds(fixture: impl Fixture) {
    let log = fixture.log();
    written(&log).await;
    let records = read_all(&log).await.unwrap().0;
    for (index, record) in records.iter().enumerate().rev().step_by(fixture.edited_every()) {
        let original = Record::encode(record.frame, &record.body).bytes;
        let edited = Record::encode(record.frame, b"edited").bytes;
        fixture.tamper(Tamper::Edit(index, edited));
        let found = diverged(sweep_on(&mut log.sweep(&[]).unwrap(), 5).await);
        assert_eq!(found, diverged(read_all(&log).await), "record {index}");
        fixture.tamper(Tamper::Edit(index, original));
    }
    fixture.tamper(Tamper::Delete(records.len() - 1));
    let found = diverged(sweep_on(&mut log.sweep(&[]).unwrap(), 5).await);
    assert_eq!(found, diverged(read_all(&log).await));
    assert_eq!(found.is_some(), log.class() == Class::Conditional);
}

/// Catches [`Mutation::SkipRecheck`].
pub(crate) async fn a_shrunk_log_stops_a_running_pass(fixture: impl Fixture) {
    let log = fixture.log();
    written(&log).await;
    let mut running = log.sweep(&[]).unwrap();
    let records = of(&sweep_on(&mut running, 1_000).await.unwrap(), PARTITION);
    let resumed: Vec<Span> = running.checkpoints().map(|from| Span::behind(*from)).collect();
    fixture.tamper(Tamper::Delete(records.len() - 1));
    let found = diverged(running.next(1).await).unwrap();
    assert_eq!((found.partition, found.position), (PARTITION, records[records.len() - 1].position));
    assert_eq!(diverged(running.next(1).await), Some(found), "for ever");
    assert_eq!(diverged(log.sweep(&resumed).unwrap().next(1).await), Some(found));
}

#[tokio::test]
async fn a_pass_that_does_not_look_again_is_found_out() {
    let _planted = plant(&[Mutation::SkipRecheck]);
    let store = crate::memory::Memory::init(4, Class::Open);
    written(&store.log()).await;
    let mut running = store.log().sweep(&[]).unwrap();
    let records = of(&sweep_on(&mut running, 1_000).await.unwrap(), PARTITION);
    assert!(records.last().is_some_and(|last| last.position > Position::START));
    Fixture::tamper(&store, Tamper::Delete(records.len() - 1));
    assert!(running.next(1).await.is_ok(), "the planted bug was not there");
}

#[tokio::test]
async fn a_pass_with_one_state_for_all_is_found_out() {
    let store = crate::memory::Memory::init(4, Class::Conditional);
    written(&store.log()).await;
    let _planted = plant(&[Mutation::SweepByOneState]);
    let swept = sweep_on(&mut store.log().sweep(&[]).unwrap(), 7).await;
    assert!(swept.is_err(), "the planted bug was not there");
}

#[tokio::test]
async fn a_pass_that_reads_behind_its_span_is_found_out() {
    let store = crate::memory::Memory::init(4, Class::Conditional);
    written(&store.log()).await;
    let until = read_all(&store.log()).await.unwrap().0[2].position;
    let span = Span { from: None, until: Some(until) };
    let _planted = plant(&[Mutation::SweepBeyondSpan]);
    let swept = sweep_on(&mut store.log().sweep(&[span]).unwrap(), 7).await.unwrap();
    assert!(of(&swept, PARTITION).len() > 3, "the planted bug was not there");
}

#[tokio::test]
async fn a_pass_that_does_not_ask_for_the_head_is_found_out() {
    let store = crate::memory::Memory::init(4, Class::Conditional);
    written(&store.log()).await;
    let last = read_all(&store.log()).await.unwrap().0.len() - 1;
    Fixture::tamper(&store, Tamper::Delete(last));
    let _planted = plant(&[Mutation::SkipStoreHead]);
    assert!(sweep_on(&mut store.log().sweep(&[]).unwrap(), 7).await.is_ok(), "the planted bug was not there");
}
