//! Settings and shops that are refused, with the field that is wrong.
use serde_json::{Value, json};

use crate::harness::{Shop, shared};

const SETTINGS: &str = "/v1/api/core/settings";

/// A document with this value at this pointer and nothing else.
fn patch(pointer: &str, value: &Value) -> Value {
    pointer
        .split('/')
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .fold(value.clone(), |inner, key| json!({key: inner}))
}

#[tokio::test]
async fn every_setting_of_the_contract_can_be_set() {
    let shop = Shop::open(shared()).await;
    let bonus = json!({"id": "double", "multiplier": "2", "starts_at": null, "ends_at": null, "product_ids": ["7"], "tags": []});
    for (pointer, value) in [
        ("/earn/pending", json!({"policy": "days_after_paid", "days": 3})),
        ("/earn/pending", json!({"policy": "on_fulfilled", "days": 0})),
        ("/earn/pending", json!({"policy": "days_after_fulfilled", "days": 14})),
        ("/earn/excluded_tags", json!(["sale"])),
        ("/earn/include_tips", json!(true)),
        ("/earn/include_gift_cards", json!(true)),
        ("/earn/bonuses", json!([bonus])),
        ("/refund/when_short", json!("within_balance")),
        ("/refund/when_short", json!("only_pending")),
        ("/refund/store_credit", json!("keep")),
        ("/expiry", json!({"mode": "per_lot", "months": 6})),
        ("/expiry/mode", json!("inactivity")),
        ("/redeem/reinstate_grace_days", json!(10)),
        ("/actions/sign-up/points", json!(100)),
        ("/actions/instagram-follow", json!({"points": 5, "limit": {"count": 1, "per": "lifetime"}})),
    ] {
        let document = shop.set(&patch(pointer, &value)).await;
        assert_eq!(document.pointer(pointer), Some(&value), "{pointer} in {document}");
    }
}

#[tokio::test]
async fn settings_that_contradict_themselves_are_refused_by_name() {
    let shop = Shop::open(shared()).await;
    let before = shop.get(SETTINGS).await.expect(200);
    let bonus = |id: &str, multiplier: &str| json!({"id": id, "multiplier": multiplier});
    for (pointer, value, fault) in [
        ("/earn/pending/days", json!(3), "/earn/pending/days"),
        ("/earn/pending", json!({"policy": "days_after_paid", "days": 366}), "/earn/pending/days"),
        ("/expiry", json!({"mode": "per_lot", "months": 0}), "/expiry/months"),
        ("/expiry", json!({"mode": "inactivity", "months": 121}), "/expiry/months"),
        ("/redeem/reinstate_grace_days", json!(3651), "/redeem/reinstate_grace_days"),
        ("/earn/bonuses", json!([bonus("a", "2"), bonus("a", "3")]), "/earn/bonuses/1/id"),
        ("/earn/bonuses", json!([bonus("a", "1")]), "/earn/bonuses/0/multiplier"),
        ("/actions/birthday/limit/count", json!(0), "/actions/birthday/limit/count"),
    ] {
        let refused = shop.put(SETTINGS, &patch(pointer, &value)).await;
        assert_eq!(refused.refused_field("invalid-setting"), fault, "{}", refused.text);
    }
    assert_eq!(shop.get(SETTINGS).await.expect(200), before);
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_by_name() {
    let shop = Shop::open(shared()).await;
    let before = shop.get(SETTINGS).await.expect(200);
    for (pointer, value) in [
        ("/earn/points_per_unit", json!("-1")),
        ("/earn/points_per_unit", json!("1e3")),
        ("/earn/points_per_unit", json!(1.5)),
        ("/earn/include_tax", json!("yes")),
        ("/earn/excluded_product_ids/0", json!(["gid"])),
        ("/redeem/points_per_unit", json!(0)),
        ("/redeem/min_points", json!(0)),
        ("/processing/per_second", json!(0)),
        ("/processing/per_second", json!(1_000_001)),
        ("/processing/burst", json!(0)),
        ("/refund/when_short", json!("never")),
    ] {
        let at = pointer.trim_end_matches("/0");
        let refused = shop.put(SETTINGS, &patch(at, &value)).await;
        assert_eq!(refused.status, 422, "{pointer} {}", refused.text);
        let code = refused.json()["code"].as_str().unwrap().to_owned();
        assert!(["invalid-field", "invalid-setting"].contains(&code.as_str()), "{pointer}: {code}");
        assert!(refused.refused_field(&code).starts_with(at), "{pointer} {}", refused.text);
    }
    for body in [json!([]), json!("x"), json!({"earn": 5}), json!({"earnings": {}})] {
        assert_eq!(shop.put(SETTINGS, &body).await.status, 422, "{body}");
    }
    assert_eq!(shop.get(SETTINGS).await.expect(200), before);
}

#[tokio::test]
async fn a_shop_is_made_once_and_only_if_everything_about_it_exists() {
    let shop = Shop::open(shared()).await;
    let make = async |domain: &str, currency: &str, timezone: &str| {
        let body = json!({"shop_domain": domain, "currency": currency, "timezone": timezone});
        shop.door.operator_post("/admin/merchants", &body).await
    };
    let known = make(&shop.domain, "USD", "Europe/Berlin").await;
    let problem = known.problem(409, "shop-exists");
    assert!(!known.text.contains(&shop.token) && problem.get("token").is_none(), "{problem}");
    make(&shop.domain.to_uppercase(), "USD", "Europe/Berlin").await.problem(409, "shop-exists");
    for (domain, currency, timezone, pointer) in [
        ("new-1.myshopify.com", "XXQ", "Europe/Berlin", "/currency"),
        ("new-1.myshopify.com", "usd", "Europe/Berlin", "/currency"),
        ("new-1.myshopify.com", "USD", "Mars/Olympus", "/timezone"),
        ("new-1.example.com", "USD", "Europe/Berlin", "/shop_domain"),
        ("-.myshopify.com", "USD", "Europe/Berlin", "/shop_domain"),
        ("", "USD", "Europe/Berlin", "/shop_domain"),
    ] {
        assert_eq!(make(domain, currency, timezone).await.refused_field("invalid-field"), pointer);
    }
    make("new-1.myshopify.com", "USD", "Europe/Berlin").await.expect(201);
}

#[tokio::test]
async fn changes_of_different_parts_at_once_are_all_kept() {
    let shop = Shop::open(shared()).await;
    let patches = [
        ("/earn/points_per_unit", json!("2.5")),
        ("/earn/include_tax", json!(true)),
        ("/earn/excluded_product_ids", json!(["632910392"])),
        ("/redeem/points_per_unit", json!(50)),
        ("/redeem/min_points", json!(500)),
        ("/processing/per_second", json!(50)),
        ("/processing/burst", json!(500)),
    ];
    let put: Vec<_> = patches
        .iter()
        .map(|(pointer, value)| {
            let (shop, patch) = (shop.clone(), patch(pointer, value));
            tokio::spawn(async move { shop.set(&patch).await })
        })
        .collect();
    for put in put {
        put.await.unwrap();
    }
    let settings = shop.get(SETTINGS).await.expect(200);
    for (pointer, value) in &patches {
        assert_eq!(settings.pointer(pointer), Some(value), "{pointer} in {settings}");
    }
}
