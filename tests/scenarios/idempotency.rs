//! `Idempotency-Key`: one key, one outcome, for ever.
use serde_json::{Value, json};

use crate::harness::{Shop, shared};

const EARN: &str = "/v1/api/points/earn";
const ADJUST: &str = "/v1/api/points/adjust";
const REDEEM: &str = "/v1/api/points/redeem";

fn earn(customer: &str, points: i64, source: &str) -> Value {
    json!({"customer_id": customer, "points": points, "reason": "goodwill", "source_id": source})
}

fn adjust(customer: &str, points: i64) -> Value {
    json!({"customer_id": customer, "points": points, "reason_code": "correction"})
}

#[tokio::test]
async fn every_command_gives_its_first_answer_again() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(1000).await;
    let redeemed = shop.redeem(&customer, 100).await.expect(200);
    let cancel = format!("/v1/api/points/redemptions/{}/cancel", redeemed["redemption_id"].as_str().unwrap());
    let calls = [
        ("/v1/api/users/create".to_owned(), json!({"email": "again@example.com"}), 201),
        (EARN.to_owned(), earn(&customer, 50, "once"), 200),
        (ADJUST.to_owned(), adjust(&customer, -20), 200),
        (REDEEM.to_owned(), json!({"customer_id": customer, "points": 30}), 200),
        (cancel, json!({}), 200),
    ];
    for (number, (path, body, status)) in calls.iter().enumerate() {
        let key = format!("key-{number}");
        let first = shop.post_keyed(path, &key, body).await;
        first.expect(*status);
        assert!(!first.replayed(), "{path}");
        // Something else happens in between, so that a later state would show.
        shop.earn(&customer, 1, &format!("between-{number}")).await.expect(200);
        let again = shop.post_keyed(path, &key, body).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{path}");
        assert!(again.replayed(), "{path}");
    }
    assert_eq!(shop.balance(&customer).await.available, 1000 - 100 + 50 - 20 - 30 + 100 + 5);
}

#[tokio::test]
async fn a_key_with_another_body_or_route_is_refused_and_moves_nothing() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(100).await;
    shop.post_keyed(EARN, "one", &earn(&customer, 50, "x")).await.expect(200);
    shop.post_keyed(EARN, "one", &earn(&customer, 51, "x")).await.problem(422, "idempotency-key-reused");
    shop.post_keyed(EARN, "one", &earn(&customer, 50, "y")).await.problem(422, "idempotency-key-reused");
    shop.post_keyed(ADJUST, "one", &adjust(&customer, 50)).await.problem(422, "idempotency-key-reused");
    let again = shop.post_keyed(EARN, "one", &earn(&customer, 50, "x")).await;
    again.expect(200);
    assert!(again.replayed());
    assert_eq!(shop.balance(&customer).await.available, 150);
}

#[tokio::test]
async fn a_rejection_is_kept_even_when_it_would_succeed_now() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(10).await;
    let (redeem, adjusted) = (json!({"customer_id": customer, "points": 50}), adjust(&customer, -50));
    for (path, body) in [(REDEEM, &redeem), (ADJUST, &adjusted)] {
        shop.post_keyed(path, path, body).await.problem(409, "insufficient-points");
    }
    shop.earn(&customer, 1000, "rich").await.expect(200);
    for (path, body) in [(REDEEM, &redeem), (ADJUST, &adjusted)] {
        let again = shop.post_keyed(path, path, body).await;
        let problem = again.problem(409, "insufficient-points");
        assert!(problem["detail"].as_str().unwrap().contains("10 can be spent"), "{problem}");
        assert!(again.replayed(), "{path}");
        shop.post_keyed(path, &format!("new {path}"), body).await.expect(200);
    }
    assert_eq!(shop.balance(&customer).await.available, 910);
}

#[tokio::test]
async fn what_was_refused_before_it_became_a_command_is_not_kept() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    let wrong = earn(&customer, -1, "x");
    shop.post_keyed(EARN, "one", &wrong).await.problem(422, "invalid-field");
    let unauthenticated = shop
        .door
        .request(reqwest::Method::POST, EARN)
        .header("Idempotency-Key", "one")
        .json(&earn(&customer, 7, "x"))
        .send()
        .await
        .unwrap();
    assert_eq!(unauthenticated.status(), 401);
    let right = shop.post_keyed(EARN, "one", &earn(&customer, 7, "x")).await;
    right.expect(200);
    assert!(!right.replayed());
    assert_eq!(shop.balance(&customer).await.available, 7);
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out_and_all_get_its_answer() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(1000).await;
    for (path, body) in [
        (EARN, earn(&customer, 50, "x")),
        (ADJUST, adjust(&customer, -20)),
        (REDEEM, json!({"customer_id": customer, "points": 30})),
    ] {
        let asked: Vec<_> = (0..16)
            .map(|_| {
                let (shop, body) = (shop.clone(), body.clone());
                tokio::spawn(async move { shop.post_keyed(path, path, &body).await })
            })
            .collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap());
        }
        answers[0].expect(200);
        assert!(answers.iter().all(|answer| answer.text == answers[0].text), "{answers:#?}");
        assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1, "{path}");
    }
    assert_eq!(shop.balance(&customer).await.available, 1000);
}

#[tokio::test]
async fn a_key_belongs_to_one_merchant() {
    let (here, there) = (Shop::open(shared()).await, Shop::open(shared()).await);
    for shop in [here, there] {
        let customer = shop.enrol().await;
        let answer = shop.post_keyed(EARN, "the-same", &earn(&customer, 5, "x")).await;
        answer.expect(200);
        assert!(!answer.replayed());
    }
}

#[tokio::test]
async fn a_redemption_that_was_cancelled_since_is_answered_as_it_was_first() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(100).await;
    let body = json!({"customer_id": customer, "points": 60});
    let first = shop.post_keyed(REDEEM, "one", &body).await;
    let id = first.expect(200)["redemption_id"].as_str().unwrap().to_owned();
    shop.cancel(&id).await.expect(200);
    let again = shop.post_keyed(REDEEM, "one", &body).await;
    assert_eq!((again.status, again.text.as_str()), (200, first.text.as_str()));
    assert_eq!(shop.balance(&customer).await.available, 100);
}

#[tokio::test]
async fn settings_changed_since_do_not_change_a_first_answer() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(1000).await;
    let redeem = json!({"customer_id": customer, "points": 60});
    let amount = json!({
        "customer_id": customer, "amount": {"amount": "10.00", "currency": "USD"},
        "reason": "till-sale", "source_id": "till-1"
    });
    let first = [shop.post_keyed(REDEEM, "a", &redeem).await, shop.post_keyed(EARN, "b", &amount).await];
    shop.set(&json!({"earn": {"points_per_unit": "0"}, "redeem": {"min_points": 500}})).await;
    let again = [shop.post_keyed(REDEEM, "a", &redeem).await, shop.post_keyed(EARN, "b", &amount).await];
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((again.status, &again.text), (200, &first.text));
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol().await;
    for key in ["", &"x".repeat(256)] {
        let refused = shop.post_keyed(EARN, key, &earn(&customer, 5, "x")).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
    }
    assert_eq!(shop.balance(&customer).await.available, 0);
}
