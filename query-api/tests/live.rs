//! The live feed: nothing is left out, nobody else's is heard, and a consumer that cannot keep up is told so.
use std::time::Duration;

use axum::{
    Router,
    body::{Body, BodyDataStream},
    http::Request,
};
use event_schemas::{
    CustomerId,
    record::{Actor, Answer},
};
use futures::StreamExt as _;
use projections::testing::Stream;
use query_api::Live;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::shop::{Answer as HttpAnswer, Shop};

/// One event as it came over the wire.
#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Event {
    /// Each point change of the command.
    fn points(&self) -> Vec<i64> {
        let events = self.data["events"].as_array().unwrap();
        events.iter().filter_map(|event| event["points"].as_i64()).collect()
    }
}

struct Consumer {
    body: BodyDataStream,
    text: String,
}

impl Consumer {
    async fn open(shop: &Shop, query: &str, last_event_id: Option<&str>) -> Self {
        Self::open_at(shop.router.clone(), &shop.token, query, last_event_id).await
    }

    async fn open_at(router: Router, token: &str, query: &str, last_event_id: Option<&str>) -> Self {
        let mut request = Request::builder()
            .uri(format!("/v1/api/live{query}"))
            .header("authorization", format!("Bearer {token}"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut consumer = Self { body: answer.into_body().into_data_stream(), text: String::new() };
        assert_eq!(consumer.next().await.unwrap().name, "open");
        consumer
    }

    /// The next block of the stream, comments too; nothing at its end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let waited = tokio::time::timeout(Duration::from_secs(60), self.body.next());
            let chunk = waited.await.expect("the feed should go on or end")?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Event> {
        let block = self.block().await?;
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_start_matches(':').trim().to_owned()).unwrap_or_default()
        };
        let data = serde_json::from_str(&field("data")).unwrap();
        Some(Event { name: field("event"), id: field("id"), data })
    }

    async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.next().await.unwrap());
        }
        events
    }
}

async fn member(shop: &mut Shop) -> CustomerId {
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    // The read models show it, so that a feed begins behind it.
    shop.get(&format!("/v1/api/points/balance?customer_id={customer}")).await;
    customer
}

async fn earns(shop: &mut Shop, customer: CustomerId, points: std::ops::RangeInclusive<i64>) {
    for points in points {
        shop.earns(customer, points, points).await;
    }
}

#[tokio::test]
async fn the_feed_tells_what_happens_and_what_is_refused_without_anything_personal() {
    let mut shop = Shop::open().await;
    let mut consumer = Consumer::open(&shop, "", None).await;
    let customer = shop.registers("7001998877", "ada@example.com").await;
    shop.earns(customer, 54, 54).await;
    let rejected = Answer::Rejected(r#"{"code":"insufficient-points"}"#.to_owned());
    for answer in [Answer::Unchanged, rejected] {
        let stream = Stream::account(customer);
        shop.history.append_outcome(shop.merchant, stream, Actor::Merchant, answer).await;
    }
    let events = consumer.take(3).await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["customers", "points", "points"]);
    assert_eq!(events[1].points(), [54]);
    assert_eq!(events[1].data["customer_id"], customer.to_string());
    let refused = &events[2].data;
    assert_eq!(
        (&refused["outcome"], &refused["reason"]),
        (&"rejected".into(), &"insufficient-points".into())
    );
    let told = format!("{events:?}").to_lowercase();
    // None of them can be part of a random id.
    for personal in ["\"ada\"", "ada@", "lovelace", "example.com", "7001998877", "visit-17"] {
        assert!(!told.contains(personal), "{personal} in {told}");
    }
}

#[tokio::test]
async fn a_consumer_hears_only_the_topics_it_asked_for_and_only_its_own_shop() {
    let mut shop = Shop::open().await;
    let mut consumer = Consumer::open(&shop, "?topics=points,orders", None).await;
    let customer = member(&mut shop).await;
    let own = std::mem::replace(&mut shop.merchant, event_schemas::MerchantId(uuid::Uuid::now_v7()));
    shop.keys.ensure_merchant(shop.merchant).await.unwrap();
    earns(&mut shop, customer, 1..=3).await;
    shop.merchant = own;
    earns(&mut shop, customer, 9..=9).await;
    let told = consumer.take(2).await;
    assert_eq!(told[0].data["events"][0]["type"], "points-account-opened");
    assert_eq!(told[1].points(), [9]);
}

#[tokio::test]
async fn whoever_comes_back_hears_each_event_once_wherever_it_left() {
    let mut shop = Shop::open().await;
    let customer = member(&mut shop).await;
    let start = shop.get("/v1/api/core/overview").await.body["live_from"].as_str().unwrap().to_owned();
    earns(&mut shop, customer, 1..=30).await;
    for leaves_after in [0, 1, 7, 30] {
        let mut first = Consumer::open(&shop, "?topics=points", Some(&start)).await;
        let mut heard = first.take(leaves_after).await;
        let id = heard.last().map_or(start.clone(), |event| event.id.clone());
        drop(first);
        let mut second = Consumer::open(&shop, "?topics=points", Some(&id)).await;
        heard.extend(second.take(30 - leaves_after).await);
        let points: Vec<i64> = heard.iter().flat_map(Event::points).collect();
        assert_eq!(points, (1..=30).collect::<Vec<_>>(), "after {leaves_after}");
    }
}

/// Customers of many partitions earn while the consumer leaves and comes back, again and again.
#[tokio::test]
async fn while_all_partitions_move_each_event_is_heard_once_over_many_connections() {
    const EVENTS: i64 = 400;
    let mut shop = Shop::open().await;
    let mut customers = Vec::new();
    for number in 0..9 {
        customers.push(shop.registers(&format!("70{number}"), &format!("{number}@example.com")).await);
    }
    let mut id = shop.get("/v1/api/core/overview").await.body["live_from"].as_str().unwrap().to_owned();
    let (router, token) = (shop.router.clone(), shop.token.clone());
    let listening = async {
        let (mut heard, mut connections) = (Vec::new(), 0);
        while heard.len() < EVENTS as usize {
            let mut consumer = Consumer::open_at(router.clone(), &token, "?topics=points", Some(&id)).await;
            connections += 1;
            let stays_for = (connections * 7 % 23 + 1).min(EVENTS as usize - heard.len());
            for event in consumer.take(stays_for).await {
                heard.extend(event.points());
                id = event.id;
            }
        }
        (heard, connections)
    };
    let writing = async {
        for (points, customer) in (1..=EVENTS).zip(customers.iter().cycle()) {
            shop.earns(*customer, points, points).await;
        }
    };
    let ((mut heard, connections), ()) = tokio::join!(listening, writing);
    assert!(connections > 20, "{connections} connections");
    heard.sort_unstable();
    assert_eq!(heard, (1..=EVENTS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_consumer_that_comes_back_late_gets_all_it_missed_but_one_that_falls_behind_must_resync() {
    let mut shop = Shop::open().await;
    let customer = member(&mut shop).await;
    let mut slow = Consumer::open(&shop, "", None).await;
    let start = shop.get("/v1/api/core/overview").await.body["live_from"].as_str().unwrap().to_owned();
    earns(&mut shop, customer, 1..=1).await;
    assert_eq!(slow.next().await.unwrap().points(), [1]);
    earns(&mut shop, customer, 2..=700).await;
    let mut late = Consumer::open(&shop, "", Some(&start)).await;
    let heard: Vec<i64> = late.take(700).await.iter().flat_map(Event::points).collect();
    assert_eq!(heard, (1..=700).collect::<Vec<_>>());
    let told = slow.next().await.unwrap();
    assert_eq!((told.name.as_str(), &told.data["reason"]), ("resync", &"too-slow".into()));
    assert_eq!(told.id, "");
    assert!(slow.next().await.is_none());
}

#[tokio::test]
async fn a_quiet_feed_has_a_heartbeat_and_ends_when_the_server_does() {
    let shop = Shop::open().await;
    shop.get("/v1/api/core/overview").await;
    let mut consumer = Consumer::open(&shop, "", None).await;
    tokio::time::pause();
    assert_eq!(consumer.block().await.unwrap(), ": heartbeat");
    assert_eq!(consumer.block().await.unwrap(), ": heartbeat");
    shop.live.close();
    assert!(consumer.block().await.is_none());
}

async fn refused(shop: &Shop, query: &str, last_event_id: &str) -> HttpAnswer {
    shop.get_with(&format!("/v1/api/live{query}"), &[("last-event-id", last_event_id)]).await
}

#[tokio::test]
async fn a_feed_that_cannot_be_what_was_asked_for_is_a_problem() {
    let shop = Shop::open().await;
    let here = shop.get("/v1/api/core/overview").await.body["live_from"].as_str().unwrap().to_owned();
    assert_eq!(refused(&shop, "?topics=points,secrets", &here).await.code(), (400, "invalid-parameter"));
    assert_eq!(refused(&shop, "?token=x", &here).await.code(), (400, "invalid-parameter"));
    for malformed in ["1", "", "00000000", "00000000.x.0.0.0"] {
        assert_eq!(refused(&shop, "", malformed).await.code(), (400, "invalid-parameter"), "{malformed}");
    }
    let beyond = format!("{}.9999.0.0.0", &here[..8]);
    for foreign in ["00000000.0.0.0.0", &beyond, &format!("{here}.0")] {
        assert_eq!(refused(&shop, "", foreign).await.code(), (409, "other-history"), "{foreign}");
    }
    assert_eq!(shop.get_as("nobody", "/v1/api/live").await.code(), (401, "unauthenticated"));
}

#[tokio::test]
async fn one_consumer_too_many_is_told_to_come_later_and_a_seat_is_free_again_when_one_leaves() {
    let shop = Shop::build(Vec::new(), Live::for_at_most(2)).await;
    let first = Consumer::open(&shop, "", None).await;
    let _second = Consumer::open(&shop, "", None).await;
    let answer = shop.get("/v1/api/live").await;
    assert_eq!(answer.code(), (503, "too-many-consumers"));
    assert_eq!(answer.headers["retry-after"], "1");
    drop(first);
    Consumer::open(&shop, "", None).await;
}
