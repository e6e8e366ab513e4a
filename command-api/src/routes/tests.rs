//! The routes as programs call them: statuses, codes, idempotency keys.
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use event_schemas::{CustomerId, MerchantId};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::testing::{Bench, OPERATOR};

pub(super) struct Api {
    pub(super) bench: Bench,
    router: Router,
    pub(super) merchant: MerchantId,
    pub(super) customer: CustomerId,
}

pub(super) struct Reply {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }

    pub(super) fn replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }
}

impl Api {
    pub(super) async fn start() -> Self {
        Self::over(Bench::start().await).await
    }

    /// Over a bench of a shop in US dollars with one customer.
    pub(super) async fn over(bench: Bench) -> Self {
        let router = bench.router();
        let merchant = bench.install("demo-1.myshopify.com").await;
        let customer = bench.customer(merchant).await;
        Self { bench, router, merchant, customer }
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        key: Option<&str>,
        body: &Value,
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Reply { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, &self.bench.token(self.merchant), None, &body).await
    }

    pub(super) async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.call(Method::POST, path, &self.bench.token(self.merchant), Some(key), body).await
    }

    pub(super) async fn put_settings(&self, body: Value) -> Reply {
        self.call(Method::PUT, "/v1/api/core/settings", &self.bench.token(self.merchant), None, &body).await
    }

    pub(super) async fn earn(&self, source: &str, points: i64) -> Reply {
        self.post(EARN, earn(self.customer, source, points)).await
    }
}

const EARN: &str = "/v1/api/points/earn";
const ADJUST: &str = "/v1/api/points/adjust";
pub(super) const REDEEM: &str = "/v1/api/points/redeem";

fn earn(customer: CustomerId, source: &str, points: i64) -> Value {
    json!({"customer_id": customer, "points": points, "reason": "goodwill", "source_id": source})
}

#[tokio::test]
async fn a_source_earns_once_and_with_other_content_is_a_conflict() {
    let api = Api::start().await;
    let first = api.earn("visit-1", 50).await;
    assert_eq!((first.status, first.body["balance"].as_i64()), (StatusCode::OK, Some(50)));
    let again = api.earn("visit-1", 50).await;
    assert_eq!((again.status, &again.body["entry_id"]), (StatusCode::OK, &first.body["entry_id"]));
    assert_eq!(again.body["balance"], 50);
    assert_eq!(api.earn("visit-1", 51).await.code(), (409, "source-conflict"));
}

#[tokio::test]
async fn an_amount_earns_by_the_programmes_rate() {
    let api = Api::start().await;
    assert_eq!(api.put_settings(json!({"earn": {"points_per_unit": "2"}})).await.status, StatusCode::OK);
    let amount = json!({"amount": "10.75", "currency": "USD"});
    let body = |amount: &Value| json!({"customer_id": api.customer, "amount": amount, "reason": "pos", "source_id": "till-1"});
    let earned = api.post(EARN, body(&amount)).await;
    assert_eq!(earned.body["points"], 21, "{}", earned.body);
    let euro = api.post(EARN, body(&json!({"amount": "1", "currency": "EUR"}))).await;
    assert_eq!(euro.code(), (422, "currency-mismatch"));
}

#[tokio::test]
async fn what_is_wrong_with_the_input_is_named_before_anything_happens() {
    let api = Api::start().await;
    let stranger = CustomerId(uuid::Uuid::now_v7());
    for (path, body, answer) in [
        (EARN, earn(api.customer, "s", 0), (422, "invalid-field")),
        (EARN, earn(api.customer, "", 1), (422, "invalid-field")),
        (EARN, earn(stranger, "s", 1), (404, "customer-not-found")),
        (
            EARN,
            json!({"customer_id": api.customer, "points": 1, "reason": "Bad Reason", "source_id": "s"}),
            (422, "invalid-field"),
        ),
        (
            EARN,
            json!({"customer_id": api.customer, "points": 1, "reason": "r", "source_id": "s", "occurred_at": "2999-01-01T00:00:00Z"}),
            (422, "time-ahead"),
        ),
        (
            ADJUST,
            json!({"customer_id": api.customer, "points": 0, "reason_code": "r"}),
            (422, "invalid-field"),
        ),
        (REDEEM, json!({"customer_id": api.customer, "points": -5}), (422, "invalid-field")),
        (REDEEM, json!({"customer_id": api.customer, "reward_id": "x"}), (422, "invalid-field")),
        (REDEEM, json!({"customer_id": api.customer, "reward_id": api.customer}), (404, "unknown-reward")),
        (REDEEM, json!({"customer_id": stranger, "points": 5}), (404, "customer-not-found")),
    ] {
        let reply = api.post(path, body.clone()).await;
        assert_eq!(reply.code(), answer, "{path} {body}");
    }
    assert_eq!(api.bench.balances(api.merchant, api.customer).await.lifetime_earned.0, 0);
}

#[tokio::test]
async fn adjusting_below_zero_needs_to_be_allowed_and_makes_debt() {
    let api = Api::start().await;
    api.earn("visit-1", 10).await;
    let take = |allow| json!({"customer_id": api.customer, "points": -15, "reason_code": "correction", "allow_negative": allow});
    assert_eq!(api.post(ADJUST, take(false)).await.code(), (409, "insufficient-points"));
    let taken = api.post(ADJUST, take(true)).await;
    assert_eq!((taken.body["balance"].as_i64(), taken.body["debt"].as_i64()), (Some(0), Some(5)));
}

#[tokio::test]
async fn a_redemption_completes_within_the_request_and_its_cancellation_gives_the_points_back() {
    let api = Api::start().await;
    api.earn("visit-1", 300).await;
    let redeemed = api.post(REDEEM, json!({"customer_id": api.customer, "points": 200})).await;
    assert_eq!(redeemed.status, StatusCode::OK, "{}", redeemed.body);
    assert_eq!(redeemed.body["status"], "completed");
    assert!(redeemed.body["code"].as_str().unwrap().starts_with("LN-"));
    assert_eq!((redeemed.body["balance"].as_i64(), redeemed.body["reserved"].as_i64()), (Some(100), Some(0)));
    assert_eq!(redeemed.body["discount"], json!({"amount": "2.00", "currency": "USD"}));

    let id = redeemed.body["redemption_id"].as_str().unwrap();
    let path = format!("/v1/api/points/redemptions/{id}/cancel");
    for _ in 0..2 {
        let cancelled = api.post(&path, json!({})).await;
        assert_eq!(cancelled.body["status"], "cancelled", "{}", cancelled.body);
        assert_eq!(cancelled.body["balance"], 300);
    }
    let other = api.bench.install("demo-2.myshopify.com").await;
    let foreign = api.call(Method::POST, &path, &api.bench.token(other), None, &json!({})).await;
    assert_eq!(foreign.code(), (404, "redemption-not-found"));
}

#[tokio::test]
async fn points_that_buy_no_whole_discount_are_told_the_next_lower_number() {
    let api = Api::start().await;
    api.earn("visit-1", 500).await;
    assert_eq!(api.put_settings(json!({"redeem": {"points_per_unit": 1000}})).await.status, StatusCode::OK);
    let refused = api.post(REDEEM, json!({"customer_id": api.customer, "points": 255})).await;
    assert_eq!(refused.code(), (422, "not-redeemable-amount"));
    assert!(refused.body["detail"].as_str().unwrap().contains("250"), "{}", refused.body);
    let short = api.post(REDEEM, json!({"customer_id": api.customer, "points": 510})).await;
    assert_eq!(short.code(), (409, "insufficient-points"));
}

#[cfg(feature = "postgres")]
mod on_postgres {
    //! The same with the keys of requests in a Postgres.
    crate::testing::again_on_postgres! { super::the_same_idempotency_key_gives_the_first_answer_again, }
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_first_answer_again() {
    let api = Api::start().await;
    api.earn("visit-1", 1_000).await;
    let customer = api.customer;
    for (path, body) in [
        (EARN, earn(customer, "visit-2", 10)),
        (
            ADJUST,
            json!({"customer_id": customer, "points": -3, "reason_code": "correction", "public_note": "sorry"}),
        ),
        (REDEEM, json!({"customer_id": customer, "points": 100})),
        ("/v1/api/users/create", json!({"email": "ada@example.com", "first_name": "Ada"})),
    ] {
        let first = api.post_with_key(path, path, &body).await;
        assert!(first.status.is_success() && !first.replayed(), "{path} {}", first.body);
        api.earn(&format!("between {path}"), 7).await;
        let again = api.post_with_key(path, path, &body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        assert!(again.replayed(), "{path}");
    }
}

#[tokio::test]
async fn a_rejection_is_kept_under_its_key_even_when_it_would_succeed_now() {
    let api = Api::start().await;
    let body = json!({"customer_id": api.customer, "points": 100});
    let first = api.post_with_key(REDEEM, "r-1", &body).await;
    assert_eq!(first.code(), (409, "insufficient-points"));
    api.earn("visit-1", 500).await;
    let again = api.post_with_key(REDEEM, "r-1", &body).await;
    assert_eq!(again.code(), (409, "insufficient-points"));
    assert_eq!(again.body["detail"], first.body["detail"]);
    assert!(again.replayed());
    assert_eq!(api.post_with_key(REDEEM, "r-2", &body).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_for_another_body_or_route_is_refused_and_a_refused_request_keeps_no_key() {
    let api = Api::start().await;
    let invalid = api.post_with_key(EARN, "k", &earn(api.customer, "visit-1", 0)).await;
    assert_eq!(invalid.code(), (422, "invalid-field"));
    assert_eq!(api.post_with_key(EARN, "k", &earn(api.customer, "visit-1", 5)).await.status, StatusCode::OK);
    let other = api.post_with_key(EARN, "k", &earn(api.customer, "visit-1", 6)).await;
    assert_eq!(other.code(), (422, "idempotency-key-reused"));
    let route = api
        .post_with_key(ADJUST, "k", &json!({"customer_id": api.customer, "points": 1, "reason_code": "r"}))
        .await;
    assert_eq!(route.code(), (422, "idempotency-key-reused"));
}

#[tokio::test]
async fn of_two_at_once_with_one_key_one_acts_and_both_get_the_same_answer() {
    let api = Api::start().await;
    api.earn("visit-1", 1_000).await;
    let body = json!({"customer_id": api.customer, "points": 100});
    let calls = (0..8).map(|_| api.post_with_key(REDEEM, "at-once", &body));
    let answers = futures::future::join_all(calls).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, &answers[0].body));
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
    assert_eq!(api.bench.balances(api.merchant, api.customer).await.available.0, 900);
}

#[tokio::test]
async fn settings_are_merged_in_force_at_once_and_refused_with_a_pointer() {
    let api = Api::start().await;
    let put = api.put_settings(json!({"earn": {"points_per_unit": "3"}})).await;
    assert_eq!((put.status, put.body["version"].as_i64()), (StatusCode::OK, Some(2)));
    assert_eq!(
        (&put.body["earn"]["points_per_unit"], &put.body["redeem"]["min_points"]),
        (&json!("3"), &json!(1))
    );
    assert_eq!(api.bench.shops.by_id(api.merchant).unwrap().settings_version, 2);
    assert_eq!(api.put_settings(json!({})).await.body["version"], 2);
    for (patch, code, pointer) in [
        (json!({"earn": {"pending": {"days": 3}}}), "invalid-setting", "/earn/pending/days"),
        (json!({"expiry": {"mode": "per_lot", "months": 0}}), "invalid-setting", "/expiry/months"),
        (json!({"processing": {"per_second": 0}}), "invalid-setting", "/processing/per_second"),
        (json!({"earn": {"points_per_unit": "1e3"}}), "invalid-field", "/earn/points_per_unit"),
    ] {
        let refused = api.put_settings(patch).await;
        assert_eq!(refused.code(), (422, code), "{}", refused.body);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn a_shop_joins_once_and_the_operator_alone_lets_it() {
    let api = Api::start().await;
    let shop = json!({"shop_domain": "New.myshopify.com", "currency": "JPY", "timezone": "Asia/Tokyo"});
    let path = "/admin/merchants";
    let stranger = api.post(path, shop.clone()).await;
    assert_eq!(stranger.code(), (401, "unauthenticated"));
    let joined = api.call(Method::POST, path, OPERATOR, None, &shop).await;
    assert_eq!(
        (joined.status, &joined.body["shop_domain"]),
        (StatusCode::CREATED, &json!("new.myshopify.com"))
    );
    let token = joined.body["token"].as_str().unwrap();
    let created = api
        .call(
            Method::POST,
            "/v1/api/users/create",
            token,
            None,
            &json!({"shopify_customer_id": "9007199254740993"}),
        )
        .await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    assert_eq!(api.call(Method::POST, path, OPERATOR, None, &shop).await.code(), (409, "shop-exists"));
    for (field, wrong) in
        [("currency", "XXX"), ("timezone", "Mars/Base"), ("shop_domain", "shop.example.com")]
    {
        let mut body = shop.clone();
        body[field] = json!(wrong);
        let refused = api.call(Method::POST, path, OPERATOR, None, &body).await;
        assert_eq!(refused.code(), (422, "invalid-field"));
        assert_eq!(refused.body["errors"][0]["pointer"], format!("/{field}"));
    }
}

#[tokio::test]
async fn a_known_shopify_customer_is_answered_and_not_made_again() {
    let api = Api::start().await;
    let body = json!({"shopify_customer_id": "207119551", "email": "ada@example.com"});
    let path = "/v1/api/users/create";
    let calls = (0..8).map(|_| api.post(path, body.clone()));
    let answers = futures::future::join_all(calls).await;
    assert!(
        answers.iter().all(|answer| answer.body == answers[0].body && answer.status == StatusCode::CREATED)
    );
    assert_eq!(api.post(path, json!({"shopify_customer_id": "1.5"})).await.code(), (422, "invalid-field"));
}

#[tokio::test]
async fn the_clock_goes_forward_and_records_follow_it() {
    let api = Api::start().await;
    let later = event_schemas::Timestamp::from_micros(api.bench.clock.now().micros() + 3_600_000_000);
    let moved = api.call(Method::POST, "/admin/clock", OPERATOR, None, &json!({"now": later})).await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.body);
    let back = json!({"now": "2020-01-01T00:00:00Z"});
    let refused = api.call(Method::POST, "/admin/clock", OPERATOR, None, &back).await;
    assert_eq!(refused.code(), (422, "clock-goes-forward"));
    assert!(api.bench.clock.now() >= later);
}
