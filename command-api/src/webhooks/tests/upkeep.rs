//! Keys of old days are destroyed and nothing that is not done goes with them; rows without an event go after a day.
use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};
use event_schemas::{CustomerId, MerchantId, RequestId, Timestamp};
use group_commit::values;
use privacy::{Kind, Reference};
use serde_json::json;
use uuid::Uuid;

use super::{
    Post, Stack,
    payloads::{customer, order},
};
use crate::{upkeep::Upkeep, webhooks::purge::Purged};

const SHOP: &str = "demo-1.myshopify.com";
const HOUR_US: i64 = 3_600_000_000;

fn upkeep(stack: &Stack) -> Upkeep {
    Upkeep::new(&stack.bench.parts())
}

fn later(stack: &Stack, hours: i64) -> Timestamp {
    Timestamp::from_micros(stack.bench.clock.now().micros() + hours * HOUR_US)
}

fn week_before(now: Timestamp) -> NaiveDate {
    now.utc().date_naive().checked_sub_days(Days::new(7)).unwrap()
}

/// One delivery that is done, one that is dead, and one that waits behind many of the same shop.
async fn with_open(stack: &Stack) -> MerchantId {
    let merchant = stack.bench.install(SHOP).await;
    stack.unthrottle(merchant).await;
    stack.post(&Post::new(SHOP, "orders/create", "done", &order(SHOP, 1).of_customer(7).0)).await;
    let broken = order(SHOP, 2).of_customer(8).with("total_price", json!("2e1")).0;
    stack.post(&Post::new(SHOP, "orders/create", "dead", &broken)).await;
    stack.balance_becomes(merchant, "7", 20).await;
    stack.worked_off().await;
    stack.throttle(merchant, 1, 1).await;
    for n in 0..120 {
        let body = json!({ "id": 1_000 + n });
        stack.post(&Post::new(SHOP, "products/delete", &format!("p-{n}"), &body)).await;
    }
    stack.post(&Post::new(SHOP, "orders/create", "open", &order(SHOP, 3).of_customer(7).0)).await;
    merchant
}

/// Rows that are open now, and how many of them can be read.
async fn readable(stack: &Stack) -> (usize, usize) {
    let (open, mut readable) = (stack.webhooks.side.inbox.open_behind(0, u32::MAX).await.unwrap(), 0);
    for open in &open {
        readable += usize::from(stack.webhooks.side.inbox.load(open.row).await.is_ok());
    }
    (open.len(), readable)
}

/// Catches, tried: an emptying that ends at the first dead letter, which is always of today; one that never comes back to
/// what was done late, and a purge that does not look for it.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn what_is_not_done_outlives_the_key_of_its_day_and_what_is_done_does_not() {
    let stack = Stack::start().await;
    let merchant = with_open(&stack).await;
    let now = stack.bench.clock.advance_to(later(&stack, 9 * 24)).await.unwrap();
    let before = week_before(now);
    assert_eq!(stack.bench.keys.shops_with_days_before(before).await.unwrap(), [merchant]);
    upkeep(&stack).tick(now).await.unwrap();
    assert!(stack.bench.keys.shops_with_days_before(before).await.unwrap().is_empty());
    let (open, readable) = readable(&stack).await;
    assert_eq!(readable, open);
    let standing = stack.standing(merchant, "done").await;
    assert_eq!(standing["status"], "processed");
    stack.unthrottle(merchant).await;
    stack.balance_becomes(merchant, "7", 40).await;
    assert_eq!(stack.worked_off().await.dead_lettered, 1);
    // The dead letter is read as it was.
    let (_, list) = stack.call(merchant, "GET", "dead-letters", "").await;
    let drive = format!("dead-letters/{}/redrive", list["items"][0]["id"].as_str().unwrap());
    stack.call(merchant, "POST", &drive, "{}").await;
    stack.worked_off().await;
    assert_eq!(stack.standing(merchant, "dead").await["reason"], "total-price-not-an-amount");
    // Nothing holds up what was done behind it, or late: an erasure finds it until its week is over too.
    let people = BTreeSet::from([stack.customer(merchant, "7").await.unwrap()]);
    let purged = stack.bench.purge(merchant, RequestId(Uuid::now_v7()), &people).await;
    assert_eq!(purged, Purged { deliveries: 1, dead_letters: 0, open: 0 });
    assert!(stack.bodies().await > 1);
    let now = stack.bench.clock.advance_to(later(&stack, 9 * 24)).await.unwrap();
    upkeep(&stack).tick(now).await.unwrap();
    assert_eq!(stack.bodies().await, 1, "only the dead letter has its body");
}

/// What the rule is there for, and that the test above would see it broken: the keys go without sealing anything again.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn keys_that_go_before_anything_is_sealed_again_take_what_is_open_with_them() {
    let stack = Stack::start().await;
    let merchant = with_open(&stack).await;
    let now = later(&stack, 9 * 24);
    stack.bench.keys.destroy_days(merchant, week_before(now)).await.unwrap();
    let (open, readable) = readable(&stack).await;
    assert!(open > 0 && readable == 0, "{readable} of {open}");
}

/// Catches: a destruction that trusts an earlier round, and one that is not gone on with.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_crash_between_sealing_again_and_destroying_loses_nothing() {
    let stack = Stack::start().await;
    let merchant = with_open(&stack).await;
    let now = stack.bench.clock.advance_to(later(&stack, 9 * 24)).await.unwrap();
    let before = week_before(now);
    upkeep(&stack).seal_again(before, now).await.unwrap();
    assert_eq!(stack.bench.keys.shops_with_days_before(before).await.unwrap(), [merchant]);
    let (open, readable_now) = readable(&stack).await;
    assert_eq!(readable_now, open);
    upkeep(&stack).tick(now).await.unwrap();
    assert!(stack.bench.keys.shops_with_days_before(before).await.unwrap().is_empty());
    let (open, readable) = readable(&stack).await;
    assert_eq!(readable, open);
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn what_is_open_for_a_day_and_for_three_is_counted() {
    let stack = Stack::start().await;
    with_open(&stack).await;
    let upkeep = upkeep(&stack);
    for (hours, expected) in [(1, [false, false]), (25, [true, false]), (73, [true, true])] {
        let told = upkeep.tell_open(later(&stack, hours)).await.unwrap();
        assert_eq!(told.map(|(waiting, dead)| waiting > 0 && dead == 1), expected, "after {hours} hours");
    }
}

/// Catches, tried: a request that was told of once, when it became a dead letter, and never again.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn requests_that_are_dead_letters_are_told_of_by_their_age() {
    let stack = Stack::start().await;
    stack.bench.install(SHOP).await;
    let unnamed = json!({ "customer": { "id": 7 }, "orders_to_redact": [] });
    stack.post(&Post::new(SHOP, "customers/redact", "r", &unnamed)).await;
    assert_eq!(stack.worked_off().await.dead_lettered, 1);
    let upkeep = upkeep(&stack);
    for (days, expected) in [(6, 0), (7, 1), (20, 1), (21, 2), (27, 3), (30, 4)] {
        let mut ages = [0; 5];
        ages[expected] = 1;
        let told = upkeep.tell_old_requests(later(&stack, days * 24)).await.unwrap();
        assert_eq!(told, [ages, [0; 5]], "after {days} days");
    }
}

/// Catches, tried: a request that waits for as long as it likes, because it is no dead letter.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn requests_that_wait_are_told_of_by_their_age_too() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    stack.post(&Post::new(SHOP, "customers/redact", "r", &json!({ "customer": { "id": 7 } }))).await;
    stack.worked_off().await;
    // As it would be if what it waits for never came.
    let open = "UPDATE inbox SET status = 'accepted' WHERE merchant = ?1";
    stack.bench.work.run(move |work| work.execute(open, values![&merchant.bytes()])).await.unwrap();
    let told = upkeep(&stack).tell_old_requests(later(&stack, 21 * 24)).await.unwrap();
    assert_eq!(told, [[0; 5], [0, 0, 1, 0, 0]]);
}

/// Catches, tried: a sweep that removes at first sight, and a row in use that goes because nothing ended its doubt.
#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_row_that_no_event_stands_behind_goes_unless_somebody_asks_for_it() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    stack.post(&Post::new(SHOP, "customers/create", "c", &customer(7, "ada@example.com", true))).await;
    stack.post(&Post::new(SHOP, "orders/create", "o", &order(SHOP, 1).of_customer(7).0)).await;
    stack.post(&Post::new(SHOP, "orders/create", "g", &order(SHOP, 2).of_guest("guest@example.com").0)).await;
    stack.worked_off().await;
    let keys = &stack.bench.keys;
    let nobody = CustomerId(Uuid::now_v7());
    let orphan = |kind, text: &str, subject| Reference::new(kind, text, nobody.0, subject);
    keys.resolve(merchant, orphan(Kind::Order, "77", None)).await.unwrap();
    keys.resolve(merchant, orphan(Kind::ShopifyCustomer, "78", Some(nobody))).await.unwrap();
    let upkeep = upkeep(&stack);
    let knows =
        |kind, text: &'static str| async move { keys.find(merchant, kind, text).await.unwrap().is_some() };

    upkeep.sweep(later(&stack, 1)).await.unwrap();
    upkeep.sweep(later(&stack, 48)).await.unwrap();
    assert!(knows(Kind::Order, "77").await && knows(Kind::ShopifyCustomer, "78").await);
    // Somebody is about to write an event behind this one.
    keys.resolve(merchant, orphan(Kind::ShopifyCustomer, "78", Some(nobody))).await.unwrap();
    upkeep.sweep(later(&stack, 50)).await.unwrap();
    assert!(!knows(Kind::Order, "77").await);
    assert!(knows(Kind::ShopifyCustomer, "78").await);
    upkeep.sweep(later(&stack, 52)).await.unwrap();
    assert!(!knows(Kind::ShopifyCustomer, "78").await);
    let mut left = BTreeSet::new();
    for (kind, text) in [
        (Kind::ShopifyCustomer, "7"),
        (Kind::VerifiedEmail, "ada@example.com"),
        (Kind::Order, "1"),
        (Kind::Order, "2"),
        (Kind::GuestEmail, "guest@example.com"),
    ] {
        if !knows(kind, text).await {
            left.insert(text);
        }
    }
    assert!(left.is_empty(), "{left:?} are gone");
    assert!(keys.find(privacy::EVERY_MERCHANT, Kind::ShopDomain, SHOP).await.unwrap().is_some());
}
