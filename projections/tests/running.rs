//! The runner beside a log that is being written.
use std::time::Duration;

use event_log::{Class, Log, Position};
use event_schemas::{
    CustomerId, Event, MerchantId, Points,
    catalogue::PointsAccountEvent,
    customer::{CustomerDeleted, CustomerRegistered},
    payload::Payload as _,
    points_account::PointsAccountOpened,
};
use privacy::MerchantScope;
use projections::{
    Progress, Projections, ReadStore,
    customers::{self, Standing},
    points_balance,
    testing::{self, History, Stream},
};
use uuid::Uuid;

use crate::{
    shelf::{Shelf, on_every_store},
    story::{Story, busy_shop},
};

on_every_store! {
    what_is_appended_becomes_visible_and_can_be_waited_for,
    whoever_is_deleted_before_they_are_known_stays_deleted_when_they_register,
    another_merchants_scope_sees_nothing,
    a_store_of_another_log_is_refused,
    a_log_that_shrank_stops_the_projections_and_leaves_the_rows,
    an_event_of_a_newer_program_stops_the_projections_and_says_so,
    tables_that_begin_anew_take_the_position_back_where_they_are_only_shown,
    a_newer_versions_table_is_not_folded_into_and_not_dropped_and_not_read_by_an_older_program,
}

const SOON: Duration = Duration::from_secs(10);

async fn what_is_appended_becomes_visible_and_can_be_waited_for(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let store = shelf.open("read").await;
    let running = Projections::start(story.log.clone(), store.clone()).await.unwrap();
    let progress = running.progress();
    let customer = story.joins().await;
    for bought in 1..=20 {
        let (_, at) = story.buys(customer, 5).await;
        assert!(progress.wait_for(at.partition(), at.position(), SOON).await);
        let scope = MerchantScope::for_tests(story.merchant);
        let balance = points_balance::find(&store, scope, customer).await.unwrap().unwrap();
        assert_eq!(balance.available, Points(5 * bought));
        assert_eq!(progress.caught_up_to(at.partition()), at.position());
        assert_eq!(progress.token(at.partition()), at);
    }
    let ahead = Position::new(u64::from(u32::MAX));
    assert!(!progress.wait_for(0, ahead, Duration::from_millis(5)).await);
    for partition in 0..story.log.partitions() {
        assert!(progress.wait_for(partition, story.log.end(partition), SOON).await);
    }
    let reports = progress.report();
    assert!(reports.iter().all(|report| report.lag_events == 0 && report.error.is_none()), "{reports:?}");
}

/// Planted: a row only from the registration on; this parked the person's events for ever.
async fn whoever_is_deleted_before_they_are_known_stays_deleted_when_they_register(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = CustomerId(Uuid::now_v7());
    story.tells(customer, CustomerDeleted::sample()).await;
    story.tells(customer, CustomerRegistered::sample()).await;
    let store = shelf.open("read").await;
    let progress = testing::fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    assert!(progress.report().iter().all(|report| report.parked == 0));
    let found =
        customers::find(&store, MerchantScope::for_tests(story.merchant), customer).await.unwrap().unwrap();
    assert_eq!(found.standing, Standing::Deleted);
    assert!(found.email.is_some());
}

async fn another_merchants_scope_sees_nothing(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = story.joins().await;
    let store = shelf.open("read").await;
    testing::fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let own = MerchantScope::for_tests(story.merchant);
    let other = MerchantScope::for_tests(MerchantId(Uuid::now_v7()));
    assert!(points_balance::find(&store, own, customer).await.unwrap().is_some());
    assert!(points_balance::find(&store, other, customer).await.unwrap().is_none());
}

async fn a_store_of_another_log_is_refused(shelf: &Shelf) {
    let story = busy_shop().await;
    let store = shelf.open("read").await;
    testing::fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let other = Story::begin().await;
    let refused = Projections::start(other.log, store).await.map(drop).unwrap_err();
    assert!(matches!(refused, projections::Error::Log(event_log::Error::Diverged(_))), "{refused:?}");
}

/// A backup of the log was put back: what the read store has seen is no longer there.
async fn a_log_that_shrank_stops_the_projections_and_leaves_the_rows(shelf: &Shelf) {
    let folder = tempfile::tempdir().unwrap();
    let [path, backup] = ["log.db", "backup.db"].map(|name| folder.path().join(name));
    let (merchant, customer) = (MerchantId(Uuid::now_v7()), CustomerId(Uuid::now_v7()));
    let log = event_log::sqlite::init(&path, 1).unwrap();
    opens_account(&log, merchant, customer).await;
    close(log).await;
    std::fs::copy(&path, &backup).unwrap();

    let store = shelf.open("read").await;
    let log = event_log::sqlite::open(&path).unwrap();
    opens_account(&log, merchant, CustomerId(Uuid::now_v7())).await;
    testing::fold_interleaved(&log, &store, |_| 0).await.unwrap();
    let before = testing::dump(&store).await.unwrap();
    close(log).await;
    std::fs::copy(&backup, &path).unwrap();

    let log = event_log::sqlite::open(&path).unwrap();
    let running = Projections::start(log, store.clone()).await.unwrap();
    let progress = running.progress();
    until_stopped(&progress).await;
    assert!(progress.report().iter().all(|report| report.error.is_some()));
    assert_eq!(testing::dump(&store).await.unwrap(), before);
}

async fn opens_account(log: &Log, merchant: MerchantId, customer: CustomerId) {
    let mut history = History::start(log.clone()).await;
    let opened = Event::from(PointsAccountEvent::from(PointsAccountOpened {}));
    history.append(merchant, Stream::account(customer), vec![opened]).await;
}

/// The file is free once the log's thread has ended.
async fn close(log: Log) {
    drop(log);
    tokio::time::sleep(Duration::from_millis(200)).await;
}

async fn until_stopped(progress: &Progress) {
    let stopped = async {
        while progress.stopped().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, stopped).await.unwrap();
}

/// Number 9999 is no event of this program.
async fn an_event_of_a_newer_program_stops_the_projections_and_says_so(shelf: &Shelf) {
    let log = event_log::memory::init(2, Class::Conditional);
    let mut history = History::start(log.clone()).await;
    let (merchant, customer) = (MerchantId(Uuid::now_v7()), CustomerId(Uuid::now_v7()));
    let store = shelf.open("read").await;
    let running = Projections::start(log, store).await.unwrap();
    history.append_bytes(merchant, Stream::account(customer), unknown_event()).await;
    let progress = running.progress();
    until_stopped(&progress).await;
    let reason = progress.stopped().unwrap();
    assert!(reason.contains("no event has the number 9999"), "{reason}");
    assert!(progress.report().iter().all(|report| report.error.as_deref() == Some(reason.as_str())));
}

fn unknown_event() -> Vec<u8> {
    use event_schemas::{
        CommandKey, CorrelationId, Digest, RecordId, StreamType, Timestamp,
        record::{Actor, Answer, Body, Meta, Trace},
    };
    let meta = Meta {
        record: RecordId(Uuid::nil()),
        stream_type: StreamType::PointsAccount,
        first_version: 1,
        occurred_at: Timestamp::EPOCH,
        recorded_at: Timestamp::EPOCH,
        correlation: CorrelationId(Uuid::nil()),
        trace: Trace::default(),
        causation: None,
        actor: Actor::System,
        command: CommandKey(Uuid::nil()),
        content: Digest([0; 16]),
    };
    let opened = Event::from(PointsAccountEvent::from(PointsAccountOpened {}));
    let number = opened.number().to_be_bytes();
    let mut body = Body { meta, answer: Answer::Events(vec![opened]) }.encode().unwrap();
    let at = body.windows(4).rposition(|bytes| bytes[..2] == number && bytes[2..] == [0, 1]).unwrap();
    body[at..at + 2].copy_from_slice(&9999_u16.to_be_bytes());
    body
}

/// Catches: a program that takes any served generation for its own, and one that replaces every version but its own.
async fn a_newer_versions_table_is_not_folded_into_and_not_dropped_and_not_read_by_an_older_program(
    shelf: &Shelf,
) {
    let mut story = busy_shop().await;
    let store = shelf.open("read").await;
    let folding = Projections::start(story.log.clone(), store.clone()).await.unwrap();
    let watching =
        testing::watch_only(story.log.clone(), store.clone(), Duration::from_secs(60)).await.unwrap();
    for partition in 0..story.log.partitions() {
        for running in [&folding, &watching] {
            let end = story.log.end(partition);
            assert!(running.progress().wait_for(partition, end, SOON).await, "partition {partition}");
        }
    }
    let customer = story.customers().next().unwrap();
    let scope = MerchantScope::for_tests(story.merchant);
    assert!(points_balance::find(&store, scope, customer).await.unwrap().is_some());

    testing::upgrade(&store, "points_balance").await.unwrap();
    assert!(points_balance::find(&store, scope, customer).await.unwrap_err().is_outdated());
    assert!(customers::find(&store, scope, customer).await.unwrap().is_some());
    story.buys(customer, 5).await;
    for running in [folding, watching] {
        let progress = running.progress();
        until_stopped(&progress).await;
        let reason = progress.stopped().unwrap();
        assert!(progress.is_outdated() && reason.contains("update this node"), "{reason}");
    }
    assert!(store.shadow(|name| name == "points_balance").await.map(drop).unwrap_err().is_outdated());
    drop(store);
    let refused = ReadStore::open_at(&shelf.address("read")).await.map(drop).unwrap_err();
    assert!(refused.is_outdated(), "{refused}");
    let of_newer = "SELECT CAST(count(*) AS TEXT) FROM";
    for newer in ["points_balance_2", "checkpoint WHERE projection = 'points_balance'"] {
        assert_eq!(shelf.ask("read", &format!("{of_newer} {newer}")), [[Some("0".to_owned())]], "{newer}");
    }
}

/// Catches: a position that is only ever noted where there is one, with which an empty table counted as caught up.
async fn tables_that_begin_anew_take_the_position_back_where_they_are_only_shown(shelf: &Shelf) {
    let story = busy_shop().await;
    let store = shelf.open("read").await;
    testing::fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let shown = testing::watch_only(story.log.clone(), store.clone(), Duration::from_secs(60)).await.unwrap();
    let progress = shown.progress();
    let (partitions, end) = (0..story.log.partitions(), story.log.end(0));
    assert!(progress.wait_for(0, end, SOON).await);
    store.begin_anew(vec!["points_balance"]).await.unwrap();
    let begun = async {
        while partitions.clone().any(|partition| progress.caught_up_to(partition) > Position::START) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, begun).await.expect("the position of an empty table");
    assert!(!progress.wait_for(0, end, Duration::ZERO).await);
}
