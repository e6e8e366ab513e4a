//! Deliveries as Shopify sends them: repeated, shuffled, late, at once; and dead letters that are looked at and re-driven.
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    harness::{Door, Server, Shop, shared},
    shopify::{bytes, order, person},
};

#[tokio::test]
async fn twenty_copies_at_once_are_one_delivery() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let webhook = shop.webhook("orders/paid", order().by(&ada).line(50_00, 1).paid().body(&shop));
    let copies: Vec<_> = (0..20)
        .map(|_| {
            let (shop, webhook) = (shop.clone(), webhook.clone());
            tokio::spawn(async move { shop.accept(&webhook).await })
        })
        .collect();
    for copy in copies {
        copy.await.unwrap();
    }
    shop.door.until_idle().await;
    assert_eq!(shop.outcome(&webhook.id).await.status, "processed");
    let id = shop.customer_id(ada.id).await;
    assert_eq!(shop.balance(&id).await.lifetime_earned, 50);
    assert_eq!(shop.statement(&id).await.len(), 1);
}

#[tokio::test]
async fn the_same_event_under_two_webhook_ids_is_a_duplicate() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let first = shop.webhook("orders/paid", order().by(&ada).line(50_00, 1).paid().body(&shop));
    let second = first.clone().under_another_id();
    shop.accept(&first).await;
    shop.accept(&second).await;
    shop.door.until_idle().await;
    let processed = shop.outcome(&first.id).await;
    assert_eq!((processed.status.as_str(), processed.reason), ("processed", None));
    assert!(processed.position.is_some());
    assert_eq!(shop.outcome(&second.id).await.status, "duplicate");
    assert_eq!(shop.balance_of(ada.id).await.available, 50);
}

#[tokio::test]
async fn one_webhook_id_never_suppresses_another_body() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let webhook = |price| {
        let body = order().by(&ada).line(price, 1).paid().body(&shop);
        shop.webhook("orders/paid", body).with("x-shopify-webhook-id", "the-same")
    };
    shop.accept(&webhook(20_00)).await;
    shop.accept(&webhook(30_00)).await;
    shop.door.until_idle().await;
    assert_eq!(shop.balance_of(ada.id).await.available, 50);
}

#[tokio::test]
async fn an_unknown_topic_is_taken_and_ignored() {
    let shop = Shop::open(shared()).await;
    for topic in ["checkouts/update", "orders/invented"] {
        let outcome = shop.delivered(topic, "{\"id\":1}").await;
        assert_eq!(
            (outcome.status.as_str(), outcome.reason.as_deref()),
            ("processed", Some("topic-ignored"))
        );
    }
}

#[tokio::test]
async fn a_delivery_nobody_sent_is_not_found() {
    let shop = Shop::open(shared()).await;
    assert_eq!(shop.get("/v1/api/webhooks/deliveries/never-sent").await.status, 404);
}

#[tokio::test]
async fn the_secret_before_a_rotation_still_opens_the_door() {
    let environment =
        [("LOYALNEST_WEBHOOK_SECRET", "current"), ("LOYALNEST_WEBHOOK_SECRET_PREVIOUS", "previous")];
    let server = Server::start_on(&crate::harness::Folder::new(), &environment);
    assert_eq!(server.ready.webhook_secret, "current");
    let mut shop = Shop::open(&server).await;
    for (secret, status) in [("current", 200), ("previous", 200), ("older", 401)] {
        secret.clone_into(&mut shop.door.webhook_secret);
        let body = order().by(&person()).line(50_00, 1).paid().body(&shop);
        assert_eq!(shop.webhook("orders/paid", body).send(&shop.door).await.status, status, "{secret}");
    }
}

#[tokio::test]
async fn dead_letters_are_listed_without_their_bodies_and_driven_again() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let good = order().by(&ada).line(50_00, 1).paid().json(&shop);
    let mut bad = good.clone();
    bad["line_items"][0]["quantity"] = json!("two");
    let outcome = shop.delivered("orders/paid", bytes(&bad)).await;
    assert_eq!(outcome.status, "dead_lettered");

    let listed = shop.get("/v1/api/webhooks/dead-letters").await.expect(200);
    let [letter] = listed["items"].as_array().unwrap().as_slice() else {
        panic!("one dead letter in {listed}")
    };
    assert_eq!(letter["topic"], "orders/paid");
    assert_eq!(letter["reason"].as_str(), outcome.reason.as_deref());
    assert!(!listed.to_string().contains(&ada.email), "{listed}");
    let redrive = format!("/v1/api/webhooks/dead-letters/{}/redrive", letter["id"].as_str().unwrap());

    let again = shop.post(&redrive, &json!({})).await;
    assert!((200..300).contains(&again.status), "{}", again.text);
    shop.door.until_idle().await;
    assert_eq!(
        shop.get("/v1/api/webhooks/dead-letters").await.expect(200)["items"].as_array().unwrap().len(),
        1
    );

    let stranger = Shop::open(shared()).await;
    assert_eq!(stranger.post(&redrive, &json!({})).await.status, 404);

    let edited = shop.post(&redrive, &json!({"payload": good})).await;
    assert!((200..300).contains(&edited.status), "{}", edited.text);
    shop.door.until_idle().await;
    assert_eq!(shop.balance_of(ada.id).await.available, 50);
    assert_eq!(shop.get("/v1/api/webhooks/dead-letters").await.expect(200)["items"], json!([]));
}

/// Deliveries of the throttled merchant that stay open.
const OPEN: usize = 10_000;

/// The median time from sending an order to seeing its points.
async fn latency(shop: &Shop) -> Duration {
    let mut times = Vec::new();
    for _ in 0..7 {
        let ada = person();
        let body = order().by(&ada).line(9_00, 1).paid().body(shop);
        let sent = Instant::now();
        shop.deliver("orders/paid", body).await;
        let asked = ada.id.to_string();
        loop {
            let answer = shop.ask("/v1/api/users/get", &[("shopify_customer_id", &asked)]).await;
            if answer.status == 200 {
                let id = answer.json()["customer_id"].as_str().unwrap().to_owned();
                if shop.balance(&id).await.available == 9 {
                    break;
                }
            }
            assert!(sent.elapsed() < Duration::from_secs(120), "no points within two minutes");
        }
        times.push(sent.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_merchant_with_ten_thousand_open_deliveries_delays_nobody_else() {
    let server = Server::start();
    let (throttled, other) = (Shop::open(&server).await, Shop::open(&server).await);
    throttled.set(&json!({"processing": {"per_second": 1, "burst": 1}})).await;
    let alone = latency(&other).await;
    let senders: Vec<_> = (0..32)
        .map(|_| {
            let shop = Shop { door: Door::of(&server), ..throttled.clone() };
            tokio::spawn(async move {
                for _ in 0..OPEN / 32 + 1 {
                    shop.deliver("customers/create", person().body()).await;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let pending = server_pending(&throttled).await;
    assert!(pending > 9_000, "only {pending} are open");
    let beside = latency(&other).await;
    assert!(
        beside < alone + Duration::from_secs(1),
        "{alone:?} alone, {beside:?} beside {pending} open deliveries"
    );

    // A new rate is in effect at once.
    throttled.set(&json!({"processing": {"per_second": 1_000_000, "burst": 1_000_000}})).await;
    let started = Instant::now();
    while server_pending(&throttled).await > pending - 200 {
        assert!(started.elapsed() < Duration::from_secs(120), "the new rate is not in effect");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn server_pending(shop: &Shop) -> u64 {
    shop.door.queues().await["inbox"]["pending"].as_u64().unwrap()
}
