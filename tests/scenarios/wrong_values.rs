//! Bad values of every call: a stable code, the field's name, and nothing left behind.
use serde_json::{Value, json};

use crate::harness::{Balance, Shop, shared};

const EARN: &str = "/v1/api/points/earn";
const ADJUST: &str = "/v1/api/points/adjust";
const ACTIONS: &str = "/v1/api/points/actions";
const REDEEM: &str = "/v1/api/points/redeem";
const TRANSFER: &str = "/v1/api/points/transfer";
const FREEZE: &str = "/v1/api/points/freeze";
const EXTEND: &str = "/v1/api/points/expiry/extend";
const REWARDS: &str = "/v1/api/rewards";
const SYNC: &str = "/v1/api/points/sync";
const REDACT: &str = "/v1/api/privacy/redact";
const EXPORT: &str = "/v1/api/privacy/export";

/// A path, a body that is wrong, the code, and the pointer of the field.
type Wrong = (&'static str, Value, &'static str, &'static str);

/// `base` with other fields.
fn with(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("fields: {more}") };
    base.as_object_mut().unwrap().extend(more);
    base
}

fn awards(customer: &str) -> Vec<Wrong> {
    let most = json!({"points": i64::MAX});
    let earn = || json!({"customer_id": customer, "reason": "x", "source_id": "s"});
    let adjust = || json!({"customer_id": customer, "reason_code": "x"});
    let act = || json!({"customer_id": customer, "action": "birthday", "source_id": "s"});
    vec![
        (EARN, with(earn(), most.clone()), "points-overflow", ""),
        (ADJUST, with(adjust(), most), "points-overflow", ""),
        (ADJUST, with(adjust(), json!({"points": 0})), "invalid-field", "/points"),
        (ACTIONS, with(act(), json!({"action": "Not Kebab"})), "invalid-field", "/action"),
        (ACTIONS, with(act(), json!({"source_id": ""})), "invalid-field", "/source_id"),
        (ACTIONS, with(act(), json!({"occurred_at": "2999-01-01T00:00:00Z"})), "time-ahead", "/occurred_at"),
    ]
}

fn moves(customer: &str, other: &str) -> Vec<Wrong> {
    let redeem = || json!({"customer_id": customer});
    let gift = |more| {
        let gift = json!({
            "from_customer_id": customer, "to_customer_id": other, "points": 1, "reason_code": "x"
        });
        with(gift, more)
    };
    vec![
        (REDEEM, redeem(), "invalid-field", "/points"),
        (REDEEM, with(redeem(), json!({"points": 1, "reward_id": other})), "invalid-field", "/points"),
        (REDEEM, with(redeem(), json!({"reward_id": "x"})), "invalid-field", "/reward_id"),
        (TRANSFER, gift(json!({"to_customer_id": customer})), "transfer-to-self", "/to_customer_id"),
        (TRANSFER, gift(json!({"to_customer_id": "nobody"})), "invalid-field", "/to_customer_id"),
        (TRANSFER, gift(json!({"points": 0})), "invalid-field", "/points"),
        (TRANSFER, gift(json!({"points": -1})), "invalid-field", "/points"),
        (TRANSFER, gift(json!({"points": 1.5})), "invalid-field", "/points"),
        (TRANSFER, gift(json!({"reason_code": "Not Kebab"})), "invalid-field", "/reason_code"),
    ]
}

fn staff(customer: &str) -> Vec<Wrong> {
    let extend = |more| {
        let until = "2099-01-01T00:00:00Z";
        with(json!({"customer_id": customer, "until": until, "reason_code": "x"}), more)
    };
    vec![
        (FREEZE, json!({"customer_id": customer}), "invalid-field", "/reason_code"),
        (FREEZE, json!({"customer_id": customer, "reason_code": "A B"}), "invalid-field", "/reason_code"),
        (EXTEND, extend(json!({"until": "2020-01-01T00:00:00Z"})), "invalid-expiry", "/until"),
        (EXTEND, extend(json!({"until": "tomorrow"})), "invalid-field", "/until"),
        (EXTEND, extend(json!({"lots": []})), "invalid-field", "/lots"),
    ]
}

fn rewards() -> Vec<Wrong> {
    let reward = |benefit| json!({"name": "x", "benefit": benefit, "points": 1});
    let percent = |percent: u8| reward(json!({"kind": "percentage", "percent": percent}));
    let fixed = |amount: &str, currency: &str| {
        reward(json!({"kind": "fixed-discount", "amount": {"amount": amount, "currency": currency}}))
    };
    let free = |more| with(reward(json!({"kind": "free-shipping"})), more);
    vec![
        (REWARDS, percent(0), "invalid-field", "/benefit/percent"),
        (REWARDS, percent(101), "invalid-field", "/benefit/percent"),
        (REWARDS, fixed("0.00", "USD"), "invalid-field", "/benefit/amount/amount"),
        (REWARDS, fixed("1.005", "USD"), "invalid-field", "/benefit/amount/amount"),
        (REWARDS, fixed("1.00", "EUR"), "invalid-field", "/benefit/amount/currency"),
        (REWARDS, free(json!({"points": 0})), "invalid-field", "/points"),
        (REWARDS, free(json!({"name": ""})), "invalid-field", "/name"),
        (REWARDS, free(json!({"name": "a\u{0}b"})), "invalid-field", "/name"),
    ]
}

fn batches(customer: &str, till: &str) -> Vec<Wrong> {
    let batch = |more| {
        let entry = json!({
            "sequence": 1, "type": "earn", "customer_id": customer, "occurred_at": "2026-01-01T00:00:00Z"
        });
        json!({"device_id": till, "entries": [with(entry, more)]})
    };
    let amount = json!({"amount": "1.00", "currency": "USD"});
    let both = json!({"points": 1, "shopify_customer_id": "1"});
    vec![
        (SYNC, json!({"device_id": till, "entries": []}), "invalid-field", "/entries"),
        (SYNC, batch(json!({"points": 1, "sequence": 0})), "invalid-field", "/entries/0/sequence"),
        (SYNC, batch(json!({})), "invalid-field", "/entries/0/points"),
        (SYNC, batch(json!({"points": 1, "amount": amount})), "invalid-field", "/entries/0/points"),
        (SYNC, batch(both), "invalid-field", "/entries/0/customer_id"),
    ]
}

/// Whoever names nobody, or somebody in two ways, must not have somebody else forgotten.
fn people(customer: &str) -> Vec<Wrong> {
    let bodies = [
        (json!({}), "/customer_id"),
        (json!({"customer_id": customer, "email": "a@example.com"}), "/customer_id"),
        (json!({"customer_id": "nobody"}), "/customer_id"),
        (json!({"shopify_customer_id": "1.5"}), "/shopify_customer_id"),
        (json!({"shopify_customer_id": "0"}), "/shopify_customer_id"),
        (json!({"email": "nobody"}), "/email"),
    ];
    let each = |(body, pointer): (Value, &'static str)| {
        [REDACT, EXPORT].map(|path| (path, body.clone(), "invalid-field", pointer))
    };
    bodies.into_iter().flat_map(each).collect()
}

#[tokio::test]
async fn every_bad_value_gets_its_code_names_its_field_and_leaves_nothing() {
    let shop = Shop::open(shared()).await;
    shop.set(&json!({"actions": {"birthday": {"points": 5}}})).await;
    let (customer, other) = (shop.enrol_with(100).await, shop.enrol().await);
    let all = [
        awards(&customer),
        moves(&customer, &other),
        staff(&customer),
        rewards(),
        batches(&customer, &other),
        people(&customer),
    ];
    for (path, body, code, pointer) in all.into_iter().flatten() {
        let problem = shop.post(path, &body).await.problem(422, code);
        let named = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!(named, pointer, "{path} {body}: {problem}");
        // Nothing is accepted and ignored.
        let more = with(body, json!({"surprise": 1}));
        assert_eq!(shop.post(path, &more).await.status, 422, "{path} {more}");
    }
    shop.door.until_idle().await;
    assert_eq!(shop.balance(&customer).await.available, 100);
    assert_eq!(shop.statement(&customer).await.len(), 1);
    assert_eq!(shop.balance(&other).await, Balance::default());
}
