//! Customers, found by each of their names.
use event_schemas::{catalogue::CustomerEvent, customer::CustomerUpdated, payload::Payload as _};
use privacy::{Kind, Reference};
use projections::testing::Stream;
use uuid::Uuid;

use crate::shop::{Shop, clear};

#[tokio::test]
async fn a_customer_is_found_by_our_id_shopifys_id_and_address() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "Ada@Example.com").await;
    for query in [
        format!("customer_id={customer}"),
        "shopify_customer_id=7001".to_owned(),
        "email=%20ada%40example.COM".to_owned(),
    ] {
        let answer = shop.get(&format!("/v1/api/users/get?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let body = answer.body;
        assert_eq!(body["customer_id"], customer.to_string());
        assert_eq!(body["status"], "active");
        assert_eq!(body["shopify_customer_id"], "7001");
        assert_eq!(body["email"], "Ada@Example.com");
        assert_eq!((&body["first_name"], &body["last_name"]), (&"Ada".into(), &"Lovelace".into()));
    }
}

#[tokio::test]
async fn an_address_that_changed_hands_finds_who_has_it_now() {
    let mut shop = Shop::open().await;
    let former = shop.registers("7001", "office@example.com").await;
    let present = shop.registers("7002", "office@example.com").await;
    let path = "/v1/api/users/get?email=office%40example.com";
    assert_eq!(shop.get(path).await.code(), (409, "ambiguous"));
    let moved = CustomerUpdated {
        shopify_customer_id: clear("7001"),
        email: clear("former@example.com"),
        first_name: None,
        last_name: None,
        phone: None,
        ..CustomerUpdated::sample()
    };
    let reference = Reference::new(Kind::Email, "former@example.com", former.0, Some(former));
    shop.keys.resolve(shop.merchant, reference).await.unwrap();
    shop.append(Stream::customer(former), vec![CustomerEvent::from(moved).into()]).await;
    assert_eq!(shop.get(path).await.body["customer_id"], present.to_string());
    let answer = shop.get("/v1/api/users/get?email=former%40example.com").await;
    assert_eq!(answer.body["customer_id"], former.to_string());
    assert_eq!(answer.body["first_name"], serde_json::Value::Null);
}

#[tokio::test]
async fn whoever_is_not_there_is_not_found() {
    let shop = Shop::open().await;
    let nobody = Uuid::now_v7();
    for query in
        [format!("customer_id={nobody}"), "shopify_customer_id=1".to_owned(), "email=a%40b.c".to_owned()]
    {
        let answer = shop.get(&format!("/v1/api/users/get?{query}")).await;
        assert_eq!(answer.code(), (404, "customer-not-found"), "{query}");
    }
}

#[tokio::test]
async fn exactly_one_name_is_asked_for() {
    let shop = Shop::open().await;
    for query in ["", "?email=a%40b.c&shopify_customer_id=1"] {
        let answer = shop.get(&format!("/v1/api/users/get{query}")).await;
        assert_eq!(answer.code(), (400, "invalid-parameter"), "{query}");
    }
}
