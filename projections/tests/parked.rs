//! A poison event holds up its own stream in its own projection, and nothing else.
use event_log::Class;
use event_schemas::{
    CustomerId, Event, MerchantId, Points, RecordId, RedemptionId, Timestamp,
    catalogue::{PointsAccountEvent, RedemptionEvent},
    payload::Payload as _,
    points_account::{PointsAccountOpened, PointsEarned},
    redemption::{RedemptionCompleted, RedemptionRequested},
};
use privacy::MerchantScope;
use projections::{
    Projections, points_balance, redemptions,
    testing::{History, Stream, fold_interleaved},
};
use uuid::Uuid;

use crate::{
    shelf::{Shelf, on_every_store},
    story::Story,
};

on_every_store! {
    a_poison_event_parks_its_stream_and_the_rest_goes_on,
    a_sequence_is_tried_again_at_the_start_and_on_demand,
    an_event_that_cannot_be_read_is_poison_only_where_it_matters,
    what_waits_goes_with_its_table_through_a_swap_and_a_rollback,
}

fn reasons(shelf: &Shelf) -> Vec<(String, u64, Option<String>)> {
    let query = "SELECT projection, CAST(version AS TEXT), reason FROM parked ORDER BY projection, version";
    let read = |row: Vec<Option<String>>| {
        let [projection, version, reason] = row.try_into().unwrap();
        (projection.unwrap(), version.unwrap().parse().unwrap(), reason)
    };
    shelf.ask("read", query).into_iter().map(read).collect()
}

/// A redemption that completes without ever having been requested.
async fn a_poison_event_parks_its_stream_and_the_rest_goes_on(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = story.joins().await;
    let poisoned = RedemptionId(Uuid::now_v7());
    story.redemption(customer, poisoned, vec![RedemptionCompleted {}.into()]).await;
    let requested = RedemptionRequested { customer, ..RedemptionRequested::sample() };
    story.redemption(customer, poisoned, vec![requested.into(), RedemptionCompleted {}.into()]).await;
    story.buys(customer, 50).await;
    let healthy = story.reserves(customer, 20).await;
    let store = shelf.open("read").await;
    let progress = fold_interleaved(&story.log, &store, |_| 0).await.unwrap();

    let scope = MerchantScope::for_tests(story.merchant);
    let listed = redemptions::list(&store, scope, &[customer], None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.redemption).collect::<Vec<_>>(), [healthy]);
    let balance = points_balance::find(&store, scope, customer).await.unwrap().unwrap();
    assert_eq!(balance.balances(), story.balances(customer));
    let parked: Vec<_> = progress.report().iter().map(|report| (report.name, report.parked)).collect();
    assert!(
        parked.contains(&("redemption_list", 3)) && parked.contains(&("points_balance", 0)),
        "{parked:?}"
    );
    let name = "redemption_list".to_owned();
    assert_eq!(
        reasons(shelf),
        [
            (name.clone(), 1, Some("the event comes before its request".to_owned())),
            (name.clone(), 2, None),
            (name, 3, None),
        ]
    );
}

/// Mended here by hand: what a program with a better fold would do at its start.
async fn a_sequence_is_tried_again_at_the_start_and_on_demand(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = story.joins().await;
    let redemption = RedemptionId(Uuid::now_v7());
    story.redemption(customer, redemption, vec![RedemptionCompleted {}.into()]).await;
    let requested = RedemptionRequested { customer, ..RedemptionRequested::sample() };
    story.redemption(customer, redemption, vec![requested.into(), RedemptionCompleted {}.into()]).await;
    let store = shelf.open("read").await;
    fold_interleaved(&story.log, &store, |_| 0).await.unwrap();

    let running = Projections::start(story.log.clone(), store.clone()).await.unwrap();
    assert_eq!(running.retry_parked().await.unwrap(), 3);
    shelf.tamper("read", "DELETE FROM parked WHERE version = 1");
    assert_eq!(running.retry_parked().await.unwrap(), 0);
    let scope = MerchantScope::for_tests(story.merchant);
    let listed = redemptions::list(&store, scope, &[customer], None, 10).await.unwrap();
    assert_eq!(listed[0].status, redemptions::RedemptionStatus::Completed);
    let reports = running.progress().report();
    assert!(reports.iter().all(|report| report.parked == 0), "{reports:?}");
}

/// Data of another shape under a type and version that are known.
async fn an_event_that_cannot_be_read_is_poison_only_where_it_matters(shelf: &Shelf) {
    let log = event_log::memory::init(1, Class::Conditional);
    let mut history = History::start(log.clone()).await;
    let (merchant, customer) = (MerchantId(Uuid::now_v7()), CustomerId(Uuid::now_v7()));
    let account = Stream::account(customer);
    let opened = PointsAccountEvent::from(PointsAccountOpened {});
    history.append(merchant, account, vec![opened.into()]).await;
    let earned = PointsEarned { points: Points(77), ..PointsEarned::sample() };
    let body = damaged_body(merchant, PointsAccountEvent::from(earned).into());
    history.append_bytes(merchant, account, body).await;
    let redemption = RedemptionId(Uuid::now_v7());
    let requested = RedemptionEvent::from(RedemptionRequested { customer, ..RedemptionRequested::sample() });
    history.append(merchant, Stream::redemption(redemption, customer), vec![requested.into()]).await;
    let store = shelf.open("read").await;
    fold_interleaved(&log, &store, |_| 0).await.unwrap();
    let parked: Vec<_> = reasons(shelf).into_iter().map(|(name, version, _)| (name, version)).collect();
    let expected = ["account_lots", "orders", "points_balance", "points_liability", "points_statement"]
        .map(|name| (name.to_owned(), 2));
    assert_eq!(parked, expected);
}

/// The event's record with one field renamed under its readers.
fn damaged_body(merchant: MerchantId, event: Event) -> Vec<u8> {
    use event_schemas::{
        CommandKey, CorrelationId, Digest, StreamType,
        record::{Actor, Answer, Body, Meta, Trace},
    };
    let time = Timestamp::EPOCH;
    let meta = Meta {
        record: RecordId(merchant.0),
        stream_type: StreamType::PointsAccount,
        first_version: 2,
        occurred_at: time,
        recorded_at: time,
        correlation: CorrelationId(Uuid::nil()),
        trace: Trace::default(),
        causation: None,
        actor: Actor::System,
        command: CommandKey(Uuid::nil()),
        content: Digest([0; 16]),
    };
    let body = Body { meta, answer: Answer::Events(vec![event]) }.encode().unwrap();
    let (field, other) = (b"\"repaid\"", b"\"repayd\"");
    let at = body.windows(field.len()).position(|bytes| bytes == field).unwrap();
    [&body[..at], other, &body[at + field.len()..]].concat()
}

async fn what_waits_goes_with_its_table_through_a_swap_and_a_rollback(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = story.joins().await;
    let poisoned = RedemptionId(Uuid::now_v7());
    story.redemption(customer, poisoned, vec![RedemptionCompleted {}.into()]).await;
    let store = shelf.open("read").await;
    fold_interleaved(&story.log, &store, |_| 0).await.unwrap();
    let names = || reasons(shelf).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    assert_eq!(names(), ["redemption_list"]);

    let shadow = store.shadow(|name| name == "redemption_list").await.unwrap();
    shadow.fold_to_end(&story.log, &mut |_| {}).await.unwrap();
    assert_eq!(shadow.parked().await.unwrap(), [("redemption_list", 1)]);
    assert_eq!(names(), ["redemption_list", "redemption_list/2"]);
    shadow.serve(&story.log, &mut |_| {}).await.unwrap();
    assert_eq!(names(), ["redemption_list", "redemption_list/1"]);

    let running = Projections::start(story.log.clone(), store.clone()).await.unwrap();
    assert_eq!(running.retry_parked().await.unwrap(), 1);
    store.roll_back(&story.log, |_| true, &mut |_| {}).await.unwrap();
    assert_eq!(running.retry_parked().await.unwrap(), 1);
    drop(running);
    assert_eq!(names(), ["redemption_list", "redemption_list/2"]);
    shelf.open("read").await;
    assert_eq!(names(), ["redemption_list"], "what is newer than what is served goes at the next start");
}
