//! Points that wait: for the fulfilment, or for days after it or after the payment.
use serde_json::json;

use crate::{
    harness::{Shop, shared},
    shopify::{Order, Person, order, person, refund, this_minute},
};

const DAY: i64 = 24 * 60;

async fn shop_that_waits(policy: &str, days: u32) -> Shop {
    let shop = Shop::open(shared()).await;
    shop.set(&json!({"earn": {"pending": {"policy": policy, "days": days}}})).await;
    shop
}

async fn deliver(shop: &Shop, topic: &str, body: Vec<u8>) {
    let outcome = shop.delivered(topic, body).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None), "{topic}");
}

/// Available and pending points.
async fn points(shop: &Shop, who: &Person) -> (i64, i64) {
    let balance = shop.balance_of(who.id).await;
    (balance.available, balance.pending)
}

async fn paid(shop: &Shop, who: &Person, minute: i64) -> Order {
    let order = order().by(who).line(20_00, 1).paid().placed(minute);
    deliver(shop, "orders/paid", order.body(shop)).await;
    order
}

#[tokio::test]
async fn points_wait_for_all_of_the_order_to_be_fulfilled() {
    let shop = shop_that_waits("on_fulfilled", 0).await;
    let ada = person();
    let order = paid(&shop, &ada, 0).await;
    assert_eq!(points(&shop, &ada).await, (0, 20));
    let partly = order.at(10).partly_fulfilled(9);
    deliver(&shop, "orders/updated", partly.body(&shop)).await;
    assert_eq!(points(&shop, &ada).await, (0, 20));
    deliver(&shop, "orders/fulfilled", partly.at(20).fulfilled(19).body(&shop)).await;
    assert_eq!(points(&shop, &ada).await, (20, 0));
}

#[tokio::test]
async fn an_order_whose_days_are_over_already_is_born_released() {
    for (policy, minute, expected) in [
        ("days_after_paid", 0, (20, 0)),
        ("days_after_paid", this_minute() - 15 * DAY, (20, 0)),
        ("days_after_paid", this_minute() - 13 * DAY, (0, 20)),
    ] {
        let shop = shop_that_waits(policy, 14).await;
        let ada = person();
        paid(&shop, &ada, minute).await;
        assert_eq!(points(&shop, &ada).await, expected, "{policy} {minute}");
    }
}

#[tokio::test]
async fn days_after_the_fulfilment_count_from_the_fulfilment() {
    for (ago, expected) in [(15, (20, 0)), (13, (0, 20))] {
        let shop = shop_that_waits("days_after_fulfilled", 14).await;
        let ada = person();
        let order = paid(&shop, &ada, 0).await;
        assert_eq!(points(&shop, &ada).await, (0, 20));
        let minute = this_minute() - ago * DAY;
        deliver(&shop, "orders/fulfilled", order.at(minute).fulfilled(minute).body(&shop)).await;
        assert_eq!(points(&shop, &ada).await, expected, "{ago} days ago");
    }
}

#[tokio::test]
async fn a_fulfilment_that_is_taken_back_makes_the_points_wait_for_the_next_one() {
    let shop = shop_that_waits("days_after_fulfilled", 14).await;
    let ada = person();
    let order = paid(&shop, &ada, 0).await;
    let first = this_minute() - 30 * DAY;
    let taken_back = order.clone().at(first + 5);
    deliver(&shop, "orders/updated", taken_back.body(&shop)).await;
    deliver(&shop, "orders/fulfilled", order.clone().at(first).fulfilled(first).body(&shop)).await;
    assert_eq!(points(&shop, &ada).await, (0, 20), "the newer state is not fulfilled");
    let again = this_minute() - 13 * DAY;
    deliver(&shop, "orders/fulfilled", order.clone().at(again).fulfilled(again).body(&shop)).await;
    assert_eq!(points(&shop, &ada).await, (0, 20), "the days count from the second fulfilment");
    let third = order.at(again + 5);
    deliver(&shop, "orders/updated", third.body(&shop)).await;
    let lots = shop.ask("/v1/api/points/lots", &[("customer_id", &shop.customer_id(ada.id).await)]).await;
    assert_eq!(lots.expect(200)["items"][0]["released"], "fulfilment");
}

#[tokio::test]
async fn waiting_points_are_voided_by_a_cancellation_and_as_far_as_a_refund_goes() {
    let shop = shop_that_waits("on_fulfilled", 0).await;
    let (ada, bea) = (person(), person());
    let cancelled = paid(&shop, &ada, 0).await;
    deliver(&shop, "orders/cancelled", cancelled.at(10).cancelled().body(&shop)).await;
    let balance = shop.balance_of(ada.id).await;
    assert_eq!((balance.net(), balance.lifetime_voided, balance.lifetime_clawed_back), (0, 20, 0));

    let refunded = paid(&shop, &bea, 0).await;
    let half = refund(&refunded).part(&refunded.lines[0], 1, 5_00, 0);
    deliver(&shop, "refunds/create", half.body(&shop)).await;
    assert_eq!(points(&shop, &bea).await, (0, 15));
    deliver(&shop, "orders/fulfilled", refunded.at(90).refunded_by(&half).fulfilled(80).body(&shop)).await;
    let balance = shop.balance_of(bea.id).await;
    assert_eq!((balance.available, balance.lifetime_voided), (15, 5));
}

#[tokio::test]
async fn what_an_order_waits_for_is_what_held_when_it_qualified() {
    let shop = shop_that_waits("on_fulfilled", 0).await;
    let ada = person();
    let order = paid(&shop, &ada, 0).await;
    shop.set(&json!({"earn": {"pending": {"policy": "immediate", "days": 0}}})).await;
    deliver(&shop, "orders/updated", order.at(10).body(&shop)).await;
    assert_eq!(points(&shop, &ada).await, (0, 20));
    paid(&shop, &ada, 0).await;
    assert_eq!(points(&shop, &ada).await, (20, 20));
}
