//! The audit log and the overview over HTTP.
use event_schemas::{
    CustomerId, OrderId,
    catalogue::LoyaltyOrderEvent,
    loyalty_order::OrderQualified,
    payload::Payload as _,
    record::{Actor, Answer},
};
use privacy::{Kind, Reference};
use projections::testing::Stream;
use uuid::Uuid;

use crate::shop::Shop;

async fn order(shop: &mut Shop, shopify_id: &str, customer: CustomerId) {
    let reference = Reference::new(Kind::Order, shopify_id, Uuid::now_v7(), Some(customer));
    let id = OrderId(shop.keys.resolve(shop.merchant, reference).await.unwrap().id);
    let mut verdict = OrderQualified::sample();
    verdict.assessment.customer = Some(customer);
    shop.append(Stream::order(id), vec![LoyaltyOrderEvent::from(verdict).into()]).await;
}

async fn busy() -> (Shop, CustomerId) {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    order(&mut shop, "450789469", customer).await;
    shop.earns(customer, 54, 54).await;
    let rejected = Answer::Rejected(r#"{"code":"insufficient-points"}"#.to_owned());
    let stream = Stream::account(customer);
    shop.history.append_outcome(shop.merchant, stream, Actor::Merchant, rejected).await;
    (shop, customer)
}

#[tokio::test]
async fn every_attempt_is_listed_with_who_asked_and_what_came_of_it() {
    let (shop, customer) = busy().await;
    let body = shop.get(&format!("/admin/logs?customer_id={customer}&limit=2")).await.body;
    let newest = &body["items"][0];
    assert_eq!(newest["outcome"], "rejected", "{body}");
    assert_eq!(
        (&newest["reason"], &newest["actor"]["kind"]),
        (&"insufficient-points".into(), &"merchant".into())
    );
    assert_eq!(body["items"][1]["events"], serde_json::json!([{ "type": "points-earned", "points": 54 }]));
    let next = body["next"].as_str().unwrap();
    let rest = shop.get(&format!("/admin/logs?customer_id={customer}&limit=9&cursor={next}")).await.body;
    let topics: Vec<_> = rest["items"].as_array().unwrap().iter().map(|item| &item["topic"]).collect();
    assert_eq!(topics, ["orders", "points", "customers"]);
    assert!(rest["next"].is_null());
    let all = shop.get("/admin/logs").await.body;
    assert_eq!(all["items"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn an_orders_attempts_are_found_by_shopifys_id() {
    let (shop, customer) = busy().await;
    let body = shop.get("/admin/logs?shopify_order_id=450789469").await.body;
    assert_eq!(body["items"].as_array().unwrap().len(), 1, "{body}");
    assert_eq!(body["items"][0]["customer_id"], customer.to_string());
    assert_eq!(shop.get("/admin/logs?shopify_order_id=1").await.code(), (404, "order-not-found"));
}

#[tokio::test]
async fn a_wrong_parameter_of_the_audit_log_is_named() {
    let shop = Shop::open().await;
    for query in ["cursor=x", "cursor=1.2", "limit=0", "limit=201", "customer_id=7", "who=me"] {
        let answer = shop.get(&format!("/admin/logs?{query}")).await;
        assert_eq!(answer.code(), (400, "invalid-parameter"), "{query}");
    }
    assert_eq!(shop.get_as("nobody", "/admin/logs").await.code(), (401, "unauthenticated"));
}

#[tokio::test]
async fn the_overview_counts_members_points_and_orders() {
    let (mut shop, customer) = busy().await;
    order(&mut shop, "450789470", customer).await;
    let body = shop.get("/v1/api/core/overview").await.body;
    assert_eq!((&body["members"], &body["currency"]), (&1.into(), &"USD".into()), "{body}");
    assert_eq!((&body["points"]["outstanding"], &body["points"]["debt"]), (&54.into(), &0.into()));
    assert_eq!(body["orders"], serde_json::json!({ "qualified": 2 }));
    assert_eq!(body["latest"].as_array().unwrap().len(), 7);
}
