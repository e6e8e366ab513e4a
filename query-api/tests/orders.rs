//! Where an order stands.
use event_schemas::{
    CustomerId, EntryId, Event, OrderId, Points,
    catalogue::{LoyaltyOrderEvent, PointsAccountEvent},
    loyalty_order::{OrderObserved, OrderQualified, OrderWaiting},
    payload::Payload as _,
    points_account::{Allocation, Balances, PointsClawedBack, PointsEarned, Source},
};
use privacy::{Kind, Reference};
use projections::testing::Stream;
use uuid::Uuid;

use crate::shop::{Shop, clear};

async fn order(shop: &Shop, shopify_id: &str, customer: CustomerId) -> OrderId {
    let reference = Reference::new(Kind::Order, shopify_id, Uuid::now_v7(), Some(customer));
    OrderId(shop.keys.resolve(shop.merchant, reference).await.unwrap().id)
}

fn settled(order: OrderId) -> Vec<Event> {
    let earned = PointsEarned {
        entry: EntryId(Uuid::now_v7()),
        source: Source::Order { order, version: 1 },
        repaid: Points::ZERO,
        reference: clear("450789469"),
        after: Balances { available: Points(54), lifetime_earned: Points(54), ..Balances::default() },
        ..PointsEarned::sample()
    };
    let clawed_back = PointsClawedBack {
        order,
        points: Points(20),
        from_active: vec![Allocation { lot: EntryId(Uuid::now_v7()), points: Points(15) }],
        to_debt: Points::ZERO,
        forgiven: Points(5),
        reference: clear("450789469"),
        ..PointsClawedBack::sample()
    };
    [PointsAccountEvent::from(earned), clawed_back.into()].map(Event::from).to_vec()
}

#[tokio::test]
async fn an_order_says_what_it_earned_and_what_was_taken_back() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let id = order(&shop, "450789469", customer).await;
    shop.opens_account(customer).await;
    let mut verdict = OrderQualified::sample();
    verdict.assessment.customer = Some(customer);
    let observed = OrderObserved { customer: Some(customer), ..OrderObserved::sample() };
    let events = [LoyaltyOrderEvent::from(observed), verdict.into()].map(Event::from);
    shop.append(Stream::order(id), events.to_vec()).await;
    shop.append(Stream::account(customer), settled(id)).await;
    let body = shop.get("/v1/api/orders/450789469").await.body;
    assert_eq!(body["status"], "qualified", "{body}");
    assert_eq!(body["eligible_amount"], serde_json::json!({ "amount": "54.93", "currency": "USD" }));
    assert_eq!(body["customer_id"], customer.to_string());
    assert_eq!((&body["points_granted"], &body["points_clawed_back"]), (&54.into(), &15.into()));
    assert_eq!((&body["stage"], &body["test"]), (&"paid".into(), &false.into()));
    assert_eq!(body["why"], "USD 54.93, at 1 per USD earns 54 points.");
}

#[tokio::test]
async fn orders_are_listed_newest_first_with_the_reason_of_those_without_points() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let first = order(&shop, "450789469", customer).await;
    let second = order(&shop, "450789470", customer).await;
    let mut verdict = OrderQualified::sample();
    verdict.assessment.customer = Some(customer);
    shop.append(Stream::order(first), vec![LoyaltyOrderEvent::from(verdict).into()]).await;
    shop.append(Stream::account(customer), settled(first)).await;
    let mut waits = OrderWaiting::sample();
    waits.assessment.customer = Some(customer);
    shop.append(Stream::order(second), vec![LoyaltyOrderEvent::from(waits).into()]).await;
    let body = shop.get(&format!("/v1/api/orders?customer_id={customer}")).await.body;
    let [newer, older] = body["items"].as_array().unwrap().as_slice() else { panic!("{body}") };
    assert_eq!(newer["why"], "The order is not paid yet; it earns once it is.");
    assert_eq!((&newer["status"], &newer["shopify_order_id"]), (&"waiting".into(), &"450789470".into()));
    assert_eq!((&older["points_granted"], &older["shopify_order_id"]), (&54.into(), &"450789469".into()));
    let page = shop.get("/v1/api/orders?limit=1&status=qualified").await.body;
    assert_eq!(
        (&page["items"][0]["shopify_order_id"], &page["next"]),
        (&"450789469".into(), &serde_json::Value::Null)
    );
    let wrong = shop.get("/v1/api/orders?status=lost").await;
    assert_eq!(
        (wrong.code(), &wrong.body["errors"][0]["pointer"]),
        ((400, "invalid-parameter"), &"status".into())
    );
}

#[tokio::test]
async fn an_order_that_waits_says_what_for() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let id = order(&shop, "450789470", customer).await;
    let events = vec![LoyaltyOrderEvent::from(OrderWaiting::sample()).into()];
    shop.append(Stream::order(id), events).await;
    let body = shop.get("/v1/api/orders/450789470").await.body;
    assert_eq!((&body["status"], &body["reason"]), (&"waiting".into(), &"unpaid".into()), "{body}");
    assert_eq!(body["points_granted"], 0);
}

#[tokio::test]
async fn an_order_that_nobody_sent_is_not_found() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.get("/v1/api/orders/1").await.code(), (404, "order-not-found"));
    let customer = shop.registers("7001", "ada@example.com").await;
    order(&shop, "2", customer).await;
    assert_eq!(shop.get("/v1/api/orders/2").await.code(), (404, "order-not-found"));
}
