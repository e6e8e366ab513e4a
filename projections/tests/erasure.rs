//! Of whoever was erased, nothing sealed is left in any table, and points, orders and the audit trail stay.
//!
//! What they are to catch: a table that is not emptied; one kept for a way back that is left
//! as it is; a shop's events that are folded behind its erasure as if it had not been; what waits, left as it is.
use std::collections::BTreeMap;

use event_schemas::{
    Points, RedemptionId,
    payload::Payload as _,
    privacy_request::{RedactionFailed, RedactionStep},
    redemption::{DiscountCodeIssued, RedemptionRequested},
};
use privacy::MerchantScope;
use projections::{
    ReadStore, customers,
    customers::Standing,
    gdpr_redaction_log,
    gdpr_requests::{self, Filter, RequestKind, RequestStatus},
    points_balance, points_statement,
    testing::{dump, fold_interleaved},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use crate::{
    shelf::{Shelf, on_every_store},
    story::{Story, busy_shop},
};

on_every_store! {
    of_an_erased_person_nothing_sealed_is_left_and_their_points_stay,
    of_an_erased_shop_nothing_sealed_is_left_in_whatever_order_its_partitions_are_folded,
    a_table_kept_for_a_way_back_holds_nothing_sealed_of_the_erased,
    what_waits_of_an_erased_person_holds_nothing_sealed_and_can_still_be_tried,
    what_was_asked_is_shown_with_its_steps_until_its_record_expires,
    how_far_every_projection_is_can_be_asked_of_the_store,
}

const HOLDS: [&str; 4] = ["customers", "orders", "points_statement", "redemption_list"];

fn nothing(counts: &BTreeMap<&'static str, u64>) -> bool {
    HOLDS.iter().all(|table| counts.contains_key(table)) && counts.values().all(|count| *count == 0)
}

async fn fold(story: &Story, store: &ReadStore) {
    fold_interleaved(&story.log, store, |_| 0).await.unwrap();
}

async fn of_an_erased_person_nothing_sealed_is_left_and_their_points_stay(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let (gone, stays) = (story.joins().await, story.joins().await);
    for customer in [gone, stays] {
        story.buys(customer, 100).await;
        let redemption = story.reserves(customer, 20).await;
        story.redeems(customer, redemption).await;
    }
    let store = shelf.open("read").await;
    fold(&story, &store).await;
    let scope = MerchantScope::for_tests(story.merchant);
    let before = points_statement::page(&store, scope, gone, None, 50).await.unwrap();
    let others = store.remaining(story.merchant, Some(&[stays])).await.unwrap();
    let held = store.remaining(story.merchant, Some(&[gone])).await.unwrap();
    assert!(HOLDS.iter().all(|table| held[table] > 0 && held[table] == others[table]), "{held:?}");

    let request = story.is_erased(&[gone]).await;
    fold(&story, &store).await;
    assert!(nothing(&store.remaining(story.merchant, Some(&[gone])).await.unwrap()));
    assert_eq!(store.remaining(story.merchant, Some(&[stays])).await.unwrap(), others);
    let emptied = store.emptied(story.merchant, Some(&[gone])).await.unwrap();
    assert!(HOLDS.iter().all(|table| emptied[table] == held[table]), "{emptied:?}");
    assert!(store.emptied(story.merchant, Some(&[])).await.unwrap().is_empty());

    let person = customers::find(&store, scope, gone).await.unwrap().unwrap();
    assert_eq!((person.standing, person.redacted_by), (Standing::Redacted, Some(request)));
    assert_eq!(person.email.map(|email| email.0), Some(Vec::new()));
    assert_eq!(customers::count(&store, scope).await.unwrap(), 1);
    let balance = points_balance::find(&store, scope, gone).await.unwrap().unwrap();
    assert_eq!(balance.balances(), story.balances(gone));
    let after = points_statement::page(&store, scope, gone, None, 50).await.unwrap();
    let told = |entries: &[points_statement::Entry]| {
        entries.iter().map(|entry| (entry.entry, entry.points, entry.why())).collect::<Vec<_>>()
    };
    assert_eq!(told(&after), told(&before));
}

/// The merchant's own stream is in the first partition, the people's in all of them.
async fn of_an_erased_shop_nothing_sealed_is_left_in_whatever_order_its_partitions_are_folded(shelf: &Shelf) {
    let mut story = busy_shop().await;
    let before = shelf.open("straight").await;
    fold(&story, &before).await;
    story.is_closed().await;
    fold(&story, &before).await;
    let expected = before.digests().await.unwrap();
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let other = shelf.open(&seed.to_string()).await;
        fold_interleaved(&story.log, &other, |below| random.random_range(0..below)).await.unwrap();
        assert_eq!(other.digests().await.unwrap(), expected, "seed {seed}");
        let counts = other.remaining(story.merchant, None).await.unwrap();
        assert!(nothing(&counts), "seed {seed}: {counts:?}");
        assert!(other.emptied(story.merchant, None).await.unwrap()["points_statement"] > 10);
    }
}

async fn a_table_kept_for_a_way_back_holds_nothing_sealed_of_the_erased(shelf: &Shelf) {
    let mut story = busy_shop().await;
    let store = shelf.open("read").await;
    fold(&story, &store).await;
    let shadow = store.shadow(|_| true).await.unwrap();
    shadow.serve(&story.log, &mut |_| {}).await.unwrap();
    let gone = story.joins().await;
    story.buys(gone, 10).await;
    let older: Vec<_> = story.customers().filter(|customer| *customer != gone).collect();
    let held = store.remaining(story.merchant, Some(&older)).await.unwrap();
    story.is_erased(&older).await;
    fold(&story, &store).await;
    let left = store.remaining(story.merchant, Some(&older)).await.unwrap();
    assert!(held.values().sum::<u64>() > 0 && nothing(&left), "{held:?} {left:?}");

    let fresh = shelf.open("fresh").await;
    fold(&story, &fresh).await;
    store.roll_back(&story.log, |_| true, &mut |_| {}).await.unwrap();
    assert_eq!(store.digests().await.unwrap(), fresh.digests().await.unwrap());
    story.is_closed().await;
    fold(&story, &store).await;
    assert!(nothing(&store.remaining(story.merchant, None).await.unwrap()));
    store.roll_back(&story.log, |_| true, &mut |_| {}).await.unwrap();
    fold(&story, &fresh).await;
    assert_eq!(store.digests().await.unwrap(), fresh.digests().await.unwrap());
}

/// A code that comes before its redemption was requested: poison, until somebody mends it by hand.
async fn what_waits_of_an_erased_person_holds_nothing_sealed_and_can_still_be_tried(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = story.joins().await;
    let poisoned = RedemptionId(Uuid::now_v7());
    story.redemption(customer, poisoned, vec![DiscountCodeIssued::sample().into()]).await;
    let store = shelf.open("read").await;
    fold(&story, &store).await;
    assert_eq!(store.remaining(story.merchant, Some(&[customer])).await.unwrap()["parked"], 1);
    story.is_erased(&[customer]).await;
    fold(&story, &store).await;
    assert!(nothing(&store.remaining(story.merchant, Some(&[customer])).await.unwrap()));
    let waiting = shelf.ask("read", "SELECT CAST(count(*) AS TEXT) FROM parked");
    assert_eq!(waiting, [[Some("1".to_owned())]]);

    let requested = RedemptionRequested { customer, points: Points(5), ..RedemptionRequested::sample() };
    let other = RedemptionId(Uuid::now_v7());
    story.redemption(customer, other, vec![requested.into()]).await;
    fold(&story, &store).await;
    let copy = |id: RedemptionId| id.bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    shelf.give_row("read", "redemption_list_1", "redemption", &copy(other), &copy(poisoned));
    let running = projections::Projections::start(story.log.clone(), store.clone()).await.unwrap();
    assert_eq!(running.retry_parked().await.unwrap(), 0);
    assert!(nothing(&store.remaining(story.merchant, Some(&[customer])).await.unwrap()));
    assert_eq!(store.emptied(story.merchant, Some(&[customer])).await.unwrap()["redemption_list"], 1);
}

async fn what_was_asked_is_shown_with_its_steps_until_its_record_expires(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let customer = story.joins().await;
    let (export, erased) = (story.asks_for_an_export(customer).await, story.is_erased(&[customer]).await);
    let store = shelf.open("read").await;
    fold(&story, &store).await;
    let scope = MerchantScope::for_tests(story.merchant);
    let all = gdpr_requests::page(&store, scope, Filter::default(), None, 10).await.unwrap();
    assert_eq!(all.len(), 2);
    let row = gdpr_requests::find(&store, scope, erased).await.unwrap().unwrap();
    assert_eq!((row.kind, row.status), (RequestKind::Redaction, RequestStatus::Finalized));
    assert!(row.failure.is_none() && row.certificate.is_some());
    assert_eq!(row.subjects.0, [customer]);
    let delivered = Filter { status: Some(RequestStatus::Delivered), kind: Some(RequestKind::DataRequest) };
    let found = gdpr_requests::page(&store, scope, delivered, None, 10).await.unwrap();
    assert_eq!(found.iter().map(|row| row.request).collect::<Vec<_>>(), [export]);
    let steps = gdpr_redaction_log::steps(&store, scope, erased).await.unwrap();
    assert_eq!(steps.len(), 8);
    let failed = RedactionFailed::sample();
    assert_eq!(
        (steps[3].hindered, steps[3].reason.as_ref()),
        (Some(RedactionStep::Purge), Some(&failed.reason))
    );
    assert!(gdpr_requests::open(&store, 10).await.unwrap().is_empty());

    story.expires_record(erased, customer.0).await;
    fold(&story, &store).await;
    assert!(gdpr_requests::find(&store, scope, erased).await.unwrap().is_none());
    assert!(gdpr_redaction_log::steps(&store, scope, erased).await.unwrap().is_empty());
    assert_eq!(gdpr_requests::page(&store, scope, Filter::default(), None, 10).await.unwrap().len(), 1);
    let text: String = dump(&store).await.unwrap().concat();
    assert!(!text.contains("signature"), "a certificate is left");
}

async fn how_far_every_projection_is_can_be_asked_of_the_store(shelf: &Shelf) {
    let mut story = Story::begin().await;
    let store = shelf.open("read").await;
    let partitions = story.log.partitions();
    let nowhere = store.reached(partitions).await.unwrap();
    assert!(nowhere.iter().all(|position| position.get() == 0), "{nowhere:?}");
    let customer = story.joins().await;
    fold(&story, &store).await;
    let ends: Vec<_> = (0..partitions).map(|partition| story.log.end(partition)).collect();
    assert_eq!(store.reached(partitions).await.unwrap(), ends);
    let (_, at) = story.buys(customer, 5).await;
    assert!(store.reached(partitions).await.unwrap()[usize::from(at.partition())] < at.position());
    shelf.tamper("read", "DELETE FROM checkpoint WHERE projection = 'orders'");
    assert_eq!(store.reached(partitions).await.unwrap(), nowhere);
}
