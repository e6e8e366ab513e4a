//! What time does by itself: releases, endings and warnings, by the shop's own calendar, once, also after a stop.
use chrono::DateTime;
use serde_json::{Value, json};

use crate::{
    harness::{Server, Shop},
    shopify::{at, order, person},
};

/// Moves the server's clock and waits until all that fell due is done.
async fn clock(shop: &Shop, now: &str) {
    shop.door.operator_post("/admin/clock", &json!({"now": now})).await.expect(200);
    shop.door.until_idle().await;
}

/// A shop in Berlin whose server's clock stands at this time.
async fn shop_at(server: &Server, now: &str, settings: &Value) -> Shop {
    let shop = Shop::open(server).await;
    shop.set(settings).await;
    clock(&shop, now).await;
    shop
}

/// The minute that Shopify's bodies have to tell for this time.
fn minute(time: &str) -> i64 {
    let start: DateTime<chrono::FixedOffset> = at(0).parse().unwrap();
    let time: DateTime<chrono::FixedOffset> = time.parse().unwrap();
    (time - start).num_minutes()
}

/// The types of the statement's entries, newest first, with their points.
async fn entries(shop: &Shop, customer: &str) -> Vec<(String, i64)> {
    shop.statement(customer).await.into_iter().map(|entry| (entry.r#type, entry.points)).collect()
}

/// The dates of a customer's lots, newest first.
async fn dates(shop: &Shop, customer: &str) -> Vec<String> {
    let lots = shop.ask("/v1/api/points/lots", &[("customer_id", customer)]).await.expect(200);
    let date = |lot: &Value| lot["expires_at"].as_str().unwrap_or_default().to_owned();
    lots["items"].as_array().unwrap().iter().map(date).collect()
}

/// Days and points of the warnings that a customer got, oldest first.
async fn warnings(shop: &Shop, customer: &str) -> usize {
    let logs = shop.ask("/admin/logs", &[("customer_id", customer), ("limit", "200")]).await.expect(200);
    let of = |item: &Value| item["events"].as_array().unwrap().clone();
    let events = logs["items"].as_array().unwrap().iter().flat_map(of);
    events.filter(|event| event["type"] == "points-expiry-warned").count()
}

#[tokio::test]
async fn pending_points_are_released_when_their_days_are_over_and_not_before() {
    let server = Server::start();
    let waits = json!({"earn": {"pending": {"policy": "days_after_paid", "days": 14}}});
    let shop = shop_at(&server, "2030-03-01T12:00:00Z", &waits).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).paid().placed(minute("2030-03-01T12:00:00Z"));
    shop.delivered("orders/paid", order.body(&shop)).await;
    let customer = shop.customer_id(ada.id).await;
    clock(&shop, "2030-03-15T11:30:00Z").await;
    let balance = shop.balance(&customer).await;
    assert_eq!((balance.available, balance.pending), (0, 20));
    clock(&shop, "2030-03-15T12:00:00Z").await;
    let balance = shop.balance(&customer).await;
    assert_eq!((balance.available, balance.pending), (20, 0));
    assert_eq!(entries(&shop, &customer).await, [("release".to_owned(), 20), ("earn".to_owned(), 0)]);
}

/// The month between has the change to summer time: midnight in Berlin is 22:00 UTC by then.
#[tokio::test]
async fn points_end_at_the_shops_midnight_cannot_be_spent_from_then_on_and_are_gone_at_its_one_o_clock() {
    let server = Server::start();
    let ends = json!({"expiry": {"mode": "per_lot", "months": 1}});
    let shop = shop_at(&server, "2030-03-01T12:00:00Z", &ends).await;
    let (ada, bea) = (shop.enrol_with(100).await, shop.enrol_with(100).await);
    assert_eq!(dates(&shop, &ada).await, ["2030-04-01T22:00:00Z"]);
    clock(&shop, "2030-03-20T12:00:00Z").await;
    shop.earn(&bea, 50, "later").await.expect(200);

    clock(&shop, "2030-04-01T21:30:00Z").await;
    assert_eq!(shop.redeem(&ada, 10).await.expect(200)["available"], 90);
    clock(&shop, "2030-04-01T22:10:00Z").await;
    shop.redeem(&ada, 10).await.problem(409, "insufficient-points");
    assert_eq!(shop.balance(&ada).await.available, 90, "a refusal leaves nothing");
    assert_eq!(shop.redeem(&bea, 50).await.expect(200)["available"], 0, "what is over ends first");
    assert_eq!(shop.balance(&bea).await.lifetime_expired, 100);

    clock(&shop, "2030-04-01T23:00:00Z").await;
    let balance = shop.balance(&ada).await;
    assert_eq!((balance.available, balance.lifetime_expired), (0, 90));
    assert_eq!(entries(&shop, &ada).await[0], ("expire".to_owned(), -90));
    assert_eq!(shop.balance(&bea).await.lifetime_expired, 100);
}

#[tokio::test]
async fn whoever_does_nothing_for_months_loses_all_and_anything_earned_or_redeemed_keeps_it() {
    let server = Server::start();
    let ends = json!({"expiry": {"mode": "inactivity", "months": 2}});
    let shop = shop_at(&server, "2030-01-10T12:00:00Z", &ends).await;
    let (idle, earns, redeems) =
        (shop.enrol_with(100).await, shop.enrol_with(100).await, shop.enrol_with(100).await);
    clock(&shop, "2030-02-10T12:00:00Z").await;
    shop.earn(&earns, 1, "visit").await.expect(200);
    shop.redeem(&redeems, 1).await.expect(200);
    shop.adjust(&idle, 1).await.expect(200);
    clock(&shop, "2030-03-11T12:00:00Z").await;
    for (customer, available) in [(&idle, 0), (&earns, 101), (&redeems, 99)] {
        assert_eq!(shop.balance(customer).await.available, available);
    }
    assert_eq!(shop.balance(&idle).await.lifetime_expired, 101);
}

/// What counts from the last of February is over on the 28th of March, and gone with the next run.
#[tokio::test]
async fn inactivity_from_the_end_of_a_short_month_is_over_in_a_longer_one() {
    let server = Server::start();
    let ends = json!({"expiry": {"mode": "inactivity", "months": 1}});
    let shop = shop_at(&server, "2030-02-28T12:00:00Z", &ends).await;
    let customer = shop.enrol_with(100).await;
    clock(&shop, "2030-03-28T11:00:00Z").await;
    assert_eq!(shop.balance(&customer).await.available, 100);
    clock(&shop, "2030-03-29T12:00:00Z").await;
    assert_eq!(shop.balance(&customer).await.lifetime_expired, 100);
}

#[tokio::test]
async fn customers_are_warned_thirty_seven_and_one_days_before_points_end() {
    let server = Server::start();
    let ends = json!({"expiry": {"mode": "per_lot", "months": 2}});
    let shop = shop_at(&server, "2030-01-10T12:00:00Z", &ends).await;
    let customer = shop.enrol_with(100).await;
    assert_eq!(dates(&shop, &customer).await, ["2030-03-10T23:00:00Z"]);
    let mut seen = Vec::new();
    // From midnight of 11 March: 30 days before, 7 days before, 1 day before, and each day after none.
    for day in ["02-07", "02-10", "02-12", "03-02", "03-05", "03-08", "03-10"] {
        clock(&shop, &format!("2030-{day}T12:00:00Z")).await;
        seen.push(warnings(&shop, &customer).await);
    }
    assert_eq!(seen, [0, 1, 1, 1, 2, 2, 3]);
    let soon = shop.ask("/v1/api/points/expiring", &[("within_days", "1")]).await.expect(200);
    assert_eq!((&soon["items"][0]["points"], &soon["items"][0]["reason"]), (&json!(100), &json!("lot")));
}

#[tokio::test]
async fn what_fell_due_while_the_server_was_down_is_done_once_when_it_is_back() {
    let server = Server::start();
    let settings = json!({
        "earn": {"pending": {"policy": "days_after_paid", "days": 3}},
        "expiry": {"mode": "per_lot", "months": 1},
    });
    let shop = shop_at(&server, "2030-01-10T12:00:00Z", &settings).await;
    let customer = shop.enrol_with(100).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).paid().placed(minute("2030-01-10T12:00:00Z"));
    shop.delivered("orders/paid", order.body(&shop)).await;
    // The clock is moved, and the server killed before it can have done all that is due.
    shop.door.operator_post("/admin/clock", &json!({"now": "2030-02-12T12:00:00Z"})).await.expect(200);
    let server = Server::start_on(&server.kill(), &[]);
    let shop = shop.at(&server);
    shop.door.until_idle().await;
    for later in ["2030-02-12T12:30:00Z", "2030-02-12T13:00:00Z"] {
        assert_eq!(entries(&shop, &customer).await, [("expire".to_owned(), -100), ("earn".to_owned(), 100)]);
        let balance = shop.balance_of(ada.id).await;
        assert_eq!((balance.available, balance.pending), (20, 0));
        clock(&shop, later).await;
    }
    // Released on the 13th, so they end a month after that day.
    let ada = shop.customer_id(ada.id).await;
    assert_eq!(dates(&shop, &ada).await, ["2030-02-13T23:00:00Z"]);
    clock(&shop, "2030-02-14T12:00:00Z").await;
    assert_eq!(shop.balance(&ada).await.lifetime_expired, 20);
}

#[tokio::test]
async fn points_that_come_back_after_their_date_live_on_for_the_days_of_grace() {
    let server = Server::start();
    let settings =
        json!({"expiry": {"mode": "per_lot", "months": 1}, "redeem": {"reinstate_grace_days": 10}});
    let shop = shop_at(&server, "2030-01-10T12:00:00Z", &settings).await;
    let customer = shop.enrol_with(100).await;
    let early = shop.redeem(&customer, 30).await.expect(200);
    let late = shop.redeem(&customer, 30).await.expect(200);
    let id = |redeemed: &Value| redeemed["redemption_id"].as_str().unwrap().to_owned();
    shop.cancel(&id(&early)).await.expect(200);
    assert_eq!(dates(&shop, &customer).await, ["2030-02-10T23:00:00Z"]);
    clock(&shop, "2030-03-01T12:00:00Z").await;
    assert_eq!(shop.balance(&customer).await.lifetime_expired, 70);
    shop.cancel(&id(&late)).await.expect(200);
    shop.cancel(&id(&late)).await.expect(200);
    shop.door.until_idle().await;
    let balance = shop.balance(&customer).await;
    assert_eq!((balance.available, balance.lifetime_redeemed), (30, 0));
    assert_eq!(dates(&shop, &customer).await[0], "2030-03-11T23:00:00Z", "midnight after ten days from now");
    clock(&shop, "2030-03-12T12:00:00Z").await;
    assert_eq!(shop.balance(&customer).await.lifetime_expired, 100);
}

#[tokio::test]
async fn an_extension_lets_points_live_longer_and_only_those_that_have_not_ended() {
    let server = Server::start();
    let shop =
        shop_at(&server, "2030-01-10T12:00:00Z", &json!({"expiry": {"mode": "per_lot", "months": 1}})).await;
    let (kept, gone) = (shop.enrol_with(100).await, shop.enrol_with(100).await);
    let extend = async |customer: &str, until: &str| {
        let body = json!({"customer_id": customer, "until": until, "reason_code": "storm"});
        shop.post("/v1/api/points/expiry/extend", &body).await
    };
    extend(&kept, "2030-05-01T00:00:00Z").await.expect(200);
    extend(&kept, "2030-04-01T00:00:00Z").await.expect(200);
    assert_eq!(dates(&shop, &kept).await, ["2030-05-01T00:00:00Z"], "never shorter");
    clock(&shop, "2030-02-11T12:00:00Z").await;
    extend(&gone, "2030-05-01T00:00:00Z").await.expect(200);
    assert_eq!((shop.balance(&kept).await.available, shop.balance(&gone).await.available), (100, 0));
    assert_eq!(extend(&kept, "2030-02-01T00:00:00Z").await.refused_field("invalid-expiry"), "/until");
    clock(&shop, "2030-05-02T12:00:00Z").await;
    assert_eq!(shop.balance(&kept).await.lifetime_expired, 100);
}
