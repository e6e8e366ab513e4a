//! What becomes of deliveries: once each, with a reason where they have no effect, and again when somebody asks.
use axum::http::StatusCode;
use futures::future::join_all;
use serde_json::json;

use super::{
    Post, Stack,
    payloads::{customer, order, refund, shop},
};
use crate::webhooks::Counts;

const SHOP: &str = "demo-1.myshopify.com";

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn twenty_copies_at_once_are_one_delivery() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    let body = order(SHOP, 1).of_customer(7).0;
    let posts: Vec<_> = (0..20).map(|n| Post::new(SHOP, "orders/create", &format!("w-{n}"), &body)).collect();
    join_all(posts.iter().map(|post| stack.post(post))).await;
    stack.worked_off().await;
    let standings = join_all((0..20).map(|n| async move { n }).map(|n| async {
        let n = n.await;
        stack.standing(merchant, &format!("w-{n}")).await["status"].as_str().unwrap().to_owned()
    }));
    let mut standings = standings.await;
    standings.sort();
    assert_eq!(standings[..19], vec!["duplicate"; 19]);
    assert_eq!(standings[19], "processed");
    stack.balance_becomes(merchant, "7", 20).await;
    // The original stays the original when it comes again.
    join_all(posts.iter().map(|post| stack.post(post))).await;
    let again = join_all(posts.iter().map(|post| stack.standing(merchant, &post.webhook_id))).await;
    assert_eq!(again.iter().filter(|standing| standing["status"] == "processed").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn an_equal_webhook_id_never_suppresses_another_body() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    stack.post(&Post::new(SHOP, "orders/create", "w-1", &order(SHOP, 1).of_customer(7).0)).await;
    stack.post(&Post::new(SHOP, "orders/create", "w-1", &order(SHOP, 2).of_customer(7).0)).await;
    stack.balance_becomes(merchant, "7", 40).await;
    assert_eq!(stack.worked_off().await.dead_lettered, 0);
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn an_unknown_topic_is_processed_and_ignored() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    stack.post(&Post::new(SHOP, "checkouts/create", "w-1", &json!({ "id": 1 }))).await;
    let standing = stack.standing(merchant, "w-1").await;
    assert_eq!(standing, json!({ "status": "processed", "reason": "topic-ignored" }));
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_done_delivery_says_where_its_record_stands() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    stack.post(&Post::new(SHOP, "orders/create", "w-1", &order(SHOP, 1).of_customer(7).0)).await;
    stack.worked_off().await;
    let standing = stack.standing(merchant, "w-1").await;
    let position: event_log::PositionToken = standing["position"].as_str().unwrap().parse().unwrap();
    assert!(position.is_of(stack.bench.commander.log_id()));
    let other = stack.bench.install("demo-2.myshopify.com").await;
    assert_eq!(stack.call(other, "GET", "deliveries/w-1", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn what_can_never_succeed_is_parked_at_once_and_moves_nothing() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    let good = order(SHOP, 1).of_customer(7);
    stack.post(&Post::new(SHOP, "orders/create", "good", &good.0)).await;
    stack.balance_becomes(merchant, "7", 20).await;
    for (n, (topic, body, reason)) in [
        ("orders/create", json!([]), "body-not-an-object"),
        ("orders/create", json!("text"), "body-not-an-object"),
        ("orders/updated", good.clone().with("id", json!(1.5)).0, "id-not-an-id"),
        ("orders/updated", good.clone().with("currency", json!("EUR")).0, "currency-other-currency"),
        ("refunds/create", refund(5, 1, "-1.00"), "refund-line-items-subtotal-negative"),
        ("customers/update", json!({ "id": 7 }), "updated-at-missing"),
    ]
    .into_iter()
    .enumerate()
    {
        let webhook_id = format!("bad-{n}");
        stack.post(&Post::new(SHOP, topic, &webhook_id, &body)).await;
        stack.worked_off().await;
        let standing = stack.standing(merchant, &webhook_id).await;
        assert_eq!(standing, json!({ "status": "dead_lettered", "reason": reason }), "{body}");
    }
    assert_eq!(stack.balance(merchant, "7").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_dead_letter_is_listed_and_driven_again_as_it_is_or_edited() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    let broken = order(SHOP, 1).of_customer(7).with("total_price", json!("2e1")).0;
    let dear = order(SHOP, 2).of_customer(7).costing("90000000000000.00");
    stack.rate(merchant, "1000000").await;
    stack.post(&Post::new(SHOP, "orders/create", "broken", &broken)).await;
    stack.post(&Post::new(SHOP, "orders/create", "dear", &dear.0)).await;
    assert_eq!(stack.worked_off().await, Counts { pending: 0, dead_lettered: 2 });

    let (status, first) = stack.call(merchant, "GET", "dead-letters?limit=1", "").await;
    assert_eq!((status, &first["items"][0]["reason"]), (StatusCode::OK, &json!("total-price-not-an-amount")));
    let rest = format!("dead-letters?cursor={}", first["next"].as_str().unwrap());
    let (_, rest) = stack.call(merchant, "GET", &rest, "").await;
    assert_eq!((&rest["items"][0]["reason"], &rest["next"]), (&json!("points-overflow"), &json!(null)));

    // Another shop sees and drives nothing of it.
    let other = stack.bench.install("demo-2.myshopify.com").await;
    let drive = |list: &serde_json::Value| {
        format!("dead-letters/{}/redrive", list["items"][0]["id"].as_str().unwrap())
    };
    assert_eq!(stack.call(other, "GET", "dead-letters", "").await.1["items"], json!([]));
    assert_eq!(stack.call(other, "POST", &drive(&first), "{}").await.0, StatusCode::NOT_FOUND);

    // The rate was put right meanwhile: a re-drive is decided anew.
    stack.rate(merchant, "1").await;
    assert_eq!(stack.call(merchant, "POST", &drive(&rest), "{}").await.0, StatusCode::OK);
    stack.balance_becomes(merchant, "7", 90_000_000_000_000).await;

    let edited = json!({ "payload": order(SHOP, 1).of_customer(7).0 }).to_string();
    assert_eq!(stack.call(merchant, "POST", &drive(&first), &edited).await.0, StatusCode::OK);
    stack.balance_becomes(merchant, "7", 90_000_000_000_020).await;
    assert_eq!(stack.worked_off().await, Counts { pending: 0, dead_lettered: 0 });
    assert_eq!(stack.standing(merchant, "broken").await["status"], "processed");
    let (status, body) = stack.call(merchant, "POST", &drive(&first), "{}").await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("not-dead-lettered")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_changes_its_currency_takes_orders_in_the_new_one_only() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    stack.post(&Post::new(SHOP, "shop/update", "w-1", &shop(SHOP, 7001, "EUR", "Europe/Berlin"))).await;
    stack.worked_off().await;
    let euros = order(SHOP, 1).of_customer(7).with("currency", json!("EUR")).0;
    stack.post(&Post::new(SHOP, "orders/create", "w-2", &euros)).await;
    stack.post(&Post::new(SHOP, "orders/create", "w-3", &order(SHOP, 2).of_customer(7).0)).await;
    stack.balance_becomes(merchant, "7", 20).await;
    stack.worked_off().await;
    assert_eq!(stack.standing(merchant, "w-3").await["reason"], "currency-other-currency");
    assert_eq!(stack.bench.shops.by_id(merchant).unwrap().timezone.as_str(), "Europe/Berlin");
    stack.post(&Post::new(SHOP, "app/uninstalled", "w-4", &shop(SHOP, 7001, "EUR", "Europe/Berlin"))).await;
    stack.worked_off().await;
    assert!(!stack.bench.shops.by_id(merchant).unwrap().installed);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_stands_in_clear_in_the_stores() {
    let stack = Stack::start().await;
    stack.bench.install(SHOP).await;
    let id = 7_100_000_000_000_000_003;
    let mut person = customer(id, "Marker.Mail@example.com", true);
    person["first_name"] = json!("MarkerFirst");
    person["phone"] = json!("+49 30 901820");
    stack.post(&Post::new(SHOP, "customers/create", "w-1", &person)).await;
    let of_guest = order(SHOP, 6_200_000_000_000_000_001).of_guest("Marker.Guest@example.com");
    stack.post(&Post::new(SHOP, "orders/create", "w-2", &of_guest.0)).await;
    stack.post(&Post::new(SHOP, "orders/create", "w-3", &of_guest.with("id", json!("x")).0)).await;
    stack.worked_off().await;
    for file in std::fs::read_dir(stack.bench.folder.path()).unwrap() {
        let (path, bytes) = (file.as_ref().unwrap().path(), std::fs::read(file.unwrap().path()).unwrap());
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for marker in
            ["marker.mail", "marker.guest", "markerfirst", "901820", &id.to_string(), "6200000000000000001"]
        {
            assert!(!text.contains(marker), "{marker} stands in {}", path.display());
        }
    }
}
