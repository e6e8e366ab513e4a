//! What a customer has.
use event_schemas::{CustomerId, Timestamp, catalogue::PointsAccountEvent};
use projections::testing::Stream;
use uuid::Uuid;

use crate::shop::{Shop, earned, now};

#[tokio::test]
async fn a_balance_has_every_bucket_and_says_where_and_when_it_was_read() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    let position = shop.earns(customer, 54, 54).await;
    let answer = shop.get(&format!("/v1/api/points/balance?customer_id={customer}")).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let expected = serde_json::json!({
        "customer_id": customer.to_string(),
        "available": 54, "pending": 0, "reserved": 0, "in_transit": 0, "debt": 0, "status": "open",
        "lifetime_earned": 54, "lifetime_redeemed": 0, "lifetime_expired": 0, "lifetime_clawed_back": 0,
        "lifetime_adjusted": 0, "lifetime_voided": 0, "lifetime_transferred": 0,
        "position": position.to_string(),
        "as_of": now().to_string(),
    });
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_customer_without_account_has_zeros_and_an_unknown_one_is_not_found() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let answer = shop.get(&format!("/v1/api/points/balance?customer_id={customer}")).await;
    assert_eq!((answer.status.as_u16(), &answer.body["available"]), (200, &0.into()));
    let nobody = CustomerId(Uuid::now_v7());
    let answer = shop.get(&format!("/v1/api/points/balance?customer_id={nobody}")).await;
    assert_eq!(answer.code(), (404, "customer-not-found"));
}

#[tokio::test]
async fn a_balance_can_be_asked_as_it_was_recorded_or_as_it_happened() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    let before = shop.history.now();
    shop.earns(customer, 10, 10).await;
    let first = shop.history.now();
    let late = PointsAccountEvent::from(earned(5, 15));
    let long_ago = Timestamp::from_micros(before.micros() - 86_400_000_000);
    shop.append_at(Stream::account(customer), Some(long_ago), vec![late.into()]).await;
    shop.earns(customer, 7, 22).await;
    let last = PointsAccountEvent::from(earned(100, 122));
    shop.append_at(Stream::account(customer), Some(long_ago), vec![last.into()]).await;
    for (parameter, time, available) in [
        ("as_of", before, 0),
        ("as_of", first, 10),
        ("as_of", shop.history.now(), 122),
        ("as_of_occurred", Timestamp::from_micros(long_ago.micros() - 1), 0),
        ("as_of_occurred", long_ago, 105),
        ("as_of_occurred", first, 115),
        ("as_of_occurred", shop.history.now(), 122),
    ] {
        let answer =
            shop.get(&format!("/v1/api/points/balance?customer_id={customer}&{parameter}={time}")).await;
        assert_eq!(answer.body["available"], available, "{parameter} {time}");
        assert_eq!(answer.body["as_of"], time.to_string());
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let shop = Shop::open().await;
    let customer = Uuid::now_v7();
    for (query, field) in [
        ("".to_owned(), "customer_id"),
        ("customer_id=jon".to_owned(), "customer_id"),
        (format!("customer_id={customer}&as_of=yesterday"), "as_of"),
        (format!("customer_id={customer}&as_off=2026-03-01T00:00:00Z"), "as_off"),
        (
            format!("customer_id={customer}&as_of=2026-03-01T00:00:00Z&as_of_occurred=2026-03-01T00:00:00Z"),
            "as_of_occurred",
        ),
        (format!("customer_id={customer}&min_position=7"), "min_position"),
    ] {
        let answer = shop.get(&format!("/v1/api/points/balance?{query}")).await;
        assert_eq!(answer.code(), (400, "invalid-parameter"), "{query}");
        assert_eq!(answer.body["errors"][0]["pointer"], field, "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn without_a_valid_token_there_is_no_answer_and_another_shop_sees_nothing() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let path = format!("/v1/api/points/balance?customer_id={customer}");
    assert_eq!(shop.get_as("nonsense", &path).await.code(), (401, "unauthenticated"));
    let other = event_schemas::MerchantId(Uuid::now_v7());
    shop.keys.ensure_merchant(other).await.unwrap();
    let token = shop.keys.issue_token(other, 1);
    assert_eq!(shop.get_as(&token, &path).await.code(), (404, "customer-not-found"));
}
