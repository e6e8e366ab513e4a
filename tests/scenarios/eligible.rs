//! What of an order earns: tax, shipping, gift cards, excluded products, currencies, and the settings of the moment.
use serde_json::json;

use crate::{
    harness::{Shop, shared},
    shopify::{Order, line, order, person, refund},
};

const EXCLUDED: u64 = 7_882_032_119_674_292_911;

async fn observe(shop: &Shop, order: &Order) {
    let outcome = shop.delivered("orders/updated", order.body(shop)).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None));
}

/// One combination of prices and settings.
struct Case {
    taxes_included: bool,
    include_tax: bool,
    include_shipping: bool,
    /// Eligible amount of the whole order.
    eligible: &'static str,
    /// Points for it.
    points: i64,
    /// Points after one of the two goods and the shipping came back.
    after_refund: i64,
}

const CASES: [Case; 8] = {
    const fn case(
        [taxes_included, include_tax, include_shipping]: [bool; 3],
        eligible: &'static str,
        points: i64,
        after_refund: i64,
    ) -> Case {
        Case { taxes_included, include_tax, include_shipping, eligible, points, after_refund }
    }
    [
        // Goods 18.50 with tax of 3.51 on top or inside; shipping 4.90 with 0.93. Back come 9.25 with 1.75, and shipping.
        case([false, false, false], "18.50", 1850, 925),
        case([false, true, false], "22.01", 2201, 1101),
        case([true, false, false], "14.99", 1499, 749),
        case([true, true, false], "18.50", 1850, 925),
        case([false, false, true], "23.40", 2340, 925),
        case([false, true, true], "27.84", 2784, 1101),
        case([true, false, true], "18.96", 1896, 749),
        case([true, true, true], "23.40", 2340, 925),
    ]
};

async fn check(case: &Case) {
    let shop = Shop::open(shared()).await;
    shop.set(&json!({"earn": {
        "points_per_unit": "100",
        "include_tax": case.include_tax,
        "include_shipping": case.include_shipping,
        "excluded_product_ids": [EXCLUDED.to_string()],
    }}))
    .await;
    let ada = person();
    let goods = line(10_00, 2).discount(1_50).tax(3_51);
    let mut order = order()
        .by(&ada)
        .with(goods.clone())
        .with(line(25_00, 1).gift_card())
        .with(line(5_00, 1).tax(95).product(EXCLUDED))
        .shipping(4_90, 93)
        .paid();
    if case.taxes_included {
        order = order.taxes_included();
    }
    observe(&shop, &order).await;
    let seen = shop.order(order.id).await;
    assert_eq!(seen.eligible_amount, json!({"amount": case.eligible, "currency": "USD"}));
    let id = shop.customer_id(ada.id).await;
    assert_eq!(shop.balance(&id).await.available, case.points, "{}", case.eligible);
    let back = refund(&order).part(&goods, 1, 9_25, 1_75).shipping(4_90, 93);
    shop.delivered("refunds/create", back.body(&shop)).await;
    assert_eq!(shop.balance(&id).await.available, case.after_refund, "{}", case.eligible);
}

#[tokio::test]
async fn tax_and_shipping_count_as_the_settings_say() {
    for case in &CASES {
        check(case).await;
    }
}

#[tokio::test]
async fn a_tip_earns_nothing() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).line(5_00, 1).paid();
    let mut body = order.json(&shop);
    body["line_items"][1]["tip"] = json!({"payment_gateway": "bogus", "payment_method": "credit_card"});
    body["line_items"][1]["product_id"].take();
    shop.delivered("orders/paid", body.to_string()).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
}

#[tokio::test]
async fn every_currency_counts_in_its_own_minor_unit() {
    for (currency, rate, price, eligible, points) in [
        ("JPY", "1", 1234, "1234", 1234),
        ("JPY", "0.01", 1234, "1234", 12),
        ("KWD", "1", 12_345, "12.345", 12),
        ("KWD", "100", 12_345, "12.345", 1234),
        ("EUR", "1.5", 54_93, "54.93", 82),
        ("USD", "0", 54_93, "54.93", 0),
    ] {
        let shop = Shop::open_in(shared(), currency).await;
        shop.set(&json!({"earn": {"points_per_unit": rate}})).await;
        let ada = person();
        let order = order().by(&ada).line(price, 1).paid();
        observe(&shop, &order).await;
        let seen = shop.order(order.id).await;
        assert_eq!(seen.eligible_amount, json!({"amount": eligible, "currency": currency}));
        assert_eq!(shop.balance_of(ada.id).await.available, points, "{currency} at {rate}");
    }
}

#[tokio::test]
async fn new_settings_count_for_the_next_order_and_never_for_a_qualified_one() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let qualified = order().by(&ada).line(10_00, 1).paid();
    let unpaid = order().by(&ada).line(10_00, 1);
    observe(&shop, &qualified).await;
    observe(&shop, &unpaid).await;
    let before = shop.get("/v1/api/core/settings").await.expect(200);
    let after = shop.set(&json!({"earn": {"points_per_unit": "3"}})).await;
    assert_eq!(after["version"].as_u64(), before["version"].as_u64().map(|version| version + 1));

    let id = shop.customer_id(ada.id).await;
    assert_eq!(shop.balance(&id).await.available, 10);
    observe(&shop, &qualified.clone().at(5).line(2_00, 1)).await;
    assert_eq!(shop.balance(&id).await.available, 12);
    observe(&shop, &unpaid.at(5).paid()).await;
    assert_eq!(shop.balance(&id).await.available, 42);
    observe(&shop, &order().by(&ada).line(1_00, 1).paid()).await;
    assert_eq!(shop.balance(&id).await.available, 45);
}

#[tokio::test]
async fn missing_parts_of_new_settings_keep_their_value() {
    let shop = Shop::open(shared()).await;
    let defaults = json!({
        "earn": {
            "points_per_unit": "1", "include_tax": false, "include_shipping": false, "qualify_on": "paid",
            "excluded_product_ids": [], "excluded_tags": [], "pending": {"policy": "immediate", "days": 0},
            "include_tips": false, "include_gift_cards": false, "bonuses": []
        },
        "refund": {"when_short": "unlimited", "store_credit": "claw_back"},
        "expiry": {"mode": "none", "months": 12},
        "redeem": {"points_per_unit": 100, "min_points": 1, "reinstate_grace_days": 30},
        "processing": {"per_second": 5, "burst": 100},
        "actions": {
            "sign-up": {"points": 0, "limit": {"count": 1, "per": "lifetime"}},
            "birthday": {"points": 0, "limit": {"count": 1, "per": "year"}},
            "product-review": {"points": 0, "limit": {"count": 5, "per": "day"}},
        },
    });
    let mut expected = shop.get("/v1/api/core/settings").await.expect(200);
    for (part, values) in defaults.as_object().unwrap() {
        assert_eq!(&expected[part], values, "{part}");
    }
    let version = expected["version"].as_u64().unwrap();
    for (patch, pointer) in [
        (json!({"earn": {"points_per_unit": "2.5"}}), "/earn/points_per_unit"),
        (json!({"redeem": {"min_points": 500}}), "/redeem/min_points"),
        (json!({"processing": {"burst": 7}}), "/processing/burst"),
    ] {
        *expected.pointer_mut(pointer).unwrap() = patch.pointer(pointer).unwrap().clone();
        let answered = shop.set(&patch).await;
        expected["version"] = answered["version"].clone();
        assert_eq!(answered, expected);
        assert_eq!(shop.get("/v1/api/core/settings").await.expect(200), expected);
    }
    assert_eq!(expected["version"].as_u64(), Some(version + 3));
    let again = shop.set(&json!({"processing": {"burst": 7}})).await;
    assert_eq!(again["version"], expected["version"], "the same settings are no change");
}
