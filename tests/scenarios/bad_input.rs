//! Bad input: a clear answer or a parked delivery with its reason; no balance moves, nothing accepted is lost.
use serde_json::{Value, json};

use crate::{
    harness::{Balance, Shop, Webhook, shared},
    shopify::{bytes, line, order, person, refund},
};

const MIB: usize = 1024 * 1024;

/// A text that stands in bad values and must not come back in any answer.
const MARKER: &str = "marker-zz";

/// What is refused at the door: how the delivery is wrong, and the answer.
fn refused_at_the_door(shop: &Shop) -> Vec<(&'static str, Webhook, u16)> {
    let body = order().by(&person()).line(50_00, 1).paid().json(shop);
    let compact = bytes(&body);
    let pretty = serde_json::to_vec_pretty(&body).unwrap();
    let good = || shop.webhook("orders/create", compact.clone());
    let raw = |bytes: Vec<u8>| shop.webhook("orders/create", bytes);
    let mut cases = vec![
        ("wrong HMAC", good().with("x-shopify-hmac-sha256", &"A".repeat(43)), 401),
        ("empty HMAC", good().with("x-shopify-hmac-sha256", ""), 401),
        ("HMAC that is not base64", good().with("x-shopify-hmac-sha256", MARKER), 401),
        ("HMAC over re-encoded JSON", good().with_body_after_signing(pretty), 401),
        (
            "HMAC of another secret",
            Webhook::new("other", &shop.domain, "orders/create", compact.clone()),
            401,
        ),
        ("HMAC missing", good().without("x-shopify-hmac-sha256"), 401),
        ("HMAC twice", good().twice("x-shopify-hmac-sha256"), 400),
        ("topic missing", good().without("x-shopify-topic"), 400),
        ("topic twice", good().twice("x-shopify-topic"), 400),
        ("shop missing", good().without("x-shopify-shop-domain"), 400),
        ("shop twice", good().twice("x-shopify-shop-domain"), 400),
        ("webhook id missing", good().without("x-shopify-webhook-id"), 400),
        ("webhook id twice", good().twice("x-shopify-webhook-id"), 400),
        ("topic differs from the path", good().at_path("orders/updated"), 400),
        ("unknown shop", good().with("x-shopify-shop-domain", "nobody.myshopify.com"), 404),
        ("not JSON", raw(b"<order/>".to_vec()), 400),
        ("half of it", raw(compact[..compact.len() / 2].to_vec()), 400),
        ("two values", raw([compact.clone(), compact.clone()].concat()), 400),
        ("nothing", raw(Vec::new()), 400),
        ("invalid UTF-8", raw([&b"{\"name\":\""[..], &[0xff, 0xfe], b"\"}"].concat()), 400),
        ("NUL", raw(b"{\"name\":\"a\0b\"}".to_vec()), 400),
        ("too deep", raw(nested(33)), 400),
        ("too deep by far", raw(nested(100_000)), 400),
        ("too big", raw(padded(8 * MIB + 1)), 413),
    ];
    // One more check that the body alone is right.
    cases.push(("nothing wrong", good(), 200));
    cases
}

/// `{"a":{"a":…}}`, so many objects deep.
fn nested(depth: usize) -> Vec<u8> {
    format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).into_bytes()
}

/// A JSON text of exactly this length.
fn padded(len: usize) -> Vec<u8> {
    format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8)).into_bytes()
}

#[tokio::test]
async fn what_is_refused_at_the_door_gets_a_clear_answer_and_is_stored_nowhere() {
    let shop = Shop::open(shared()).await;
    for (name, webhook, status) in refused_at_the_door(&shop) {
        let answer = webhook.send(&shop.door).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        assert!(!answer.text.contains(MARKER), "{name}: {}", answer.text);
        if status == 200 {
            continue;
        }
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        answer.problem(status, &code);
        let looked_up = shop.get(&format!("/v1/api/webhooks/deliveries/{}", webhook.id)).await;
        assert_eq!(looked_up.status, 404, "{name}: {}", looked_up.text);
    }
}

#[tokio::test]
async fn missing_and_repeated_headers_are_named() {
    let shop = Shop::open(shared()).await;
    for header in
        ["x-shopify-topic", "x-shopify-shop-domain", "x-shopify-webhook-id", "x-shopify-hmac-sha256"]
    {
        let good = || shop.webhook("orders/create", "{}");
        let missing = if header == "x-shopify-hmac-sha256" {
            (401, "invalid-signature")
        } else {
            (400, "header-missing")
        };
        for (answer, (status, code)) in [
            (good().without(header).send(&shop.door).await, missing),
            (good().twice(header).send(&shop.door).await, (400, "header-repeated")),
        ] {
            answer.problem(status, code);
            assert!(answer.text.to_lowercase().contains(header), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn what_is_just_within_the_limits_is_taken() {
    let shop = Shop::open(shared()).await;
    for body in [nested(32), padded(8 * MIB)] {
        let outcome = shop.delivered("checkouts/update", body).await;
        assert_eq!(
            (outcome.status.as_str(), outcome.reason.as_deref()),
            ("processed", Some("topic-ignored"))
        );
    }
}

/// A value at a pointer that makes an order unusable, as it is written, and the field that its reason names.
const UNUSABLE_ORDERS: &[(&str, &str, &str)] = &[
    ("/id", "8.209829119461545e17", "id"),
    ("/id", "820982911946154508.0", "id"),
    ("/id", "340282366920938463463374607431768211456", "id"),
    ("/id", "\"99999999999999999999\"", "id"),
    ("/id", "-5", "id"),
    ("/id", "0", "id"),
    ("/id", "\"marker-zz\"", "id"),
    ("/id", "null", "id"),
    ("/customer/id", "1.5", "customer"),
    ("/customer/id", "\"1e17\"", "customer"),
    ("/customer", "\"marker-zz\"", "customer"),
    ("/updated_at", "null", "updated-at"),
    ("/updated_at", "\"marker-zz\"", "updated-at"),
    ("/updated_at", "\"2026-01-10\"", "updated-at"),
    ("/cancelled_at", "\"marker-zz\"", "cancelled-at"),
    ("/currency", "\"EUR\"", "currency"),
    ("/currency", "null", "currency"),
    ("/line_items", "null", "line-items"),
    ("/line_items", "\"marker-zz\"", "line-items"),
    ("/line_items/0/price_set/shop_money/amount", "\"10.999\"", "price"),
    ("/line_items/0/price_set/shop_money/amount", "10.999", "price"),
    ("/line_items/0/price_set/shop_money/amount", "\"1e3\"", "price"),
    ("/line_items/0/price_set/shop_money/amount", "1e3", "price"),
    ("/line_items/0/price_set/shop_money/amount", "\"-1.00\"", "price"),
    ("/line_items/0/price_set/shop_money/amount", "\"999999999999999999999999999999\"", "price"),
    ("/line_items/0/price_set/shop_money/amount", "\"marker-zz\"", "price"),
    ("/line_items/0/price_set/shop_money/currency_code", "\"EUR\"", "price"),
    ("/line_items/0/quantity", "-1", "quantity"),
    ("/line_items/0/quantity", "1.5", "quantity"),
    ("/line_items/0/quantity", "99999999999999999999", "quantity"),
    ("/line_items/0/quantity", "\"marker-zz\"", "quantity"),
    ("/line_items/0/discount_allocations/0/amount_set/shop_money/amount", "\"-1.00\"", "discount"),
    ("/line_items/0/discount_allocations/0/amount_set/shop_money/amount", "\"51.00\"", "discount"),
    ("/line_items/0/tax_lines/0/price_set/shop_money/amount", "\"0.001\"", "tax-lines"),
    ("/line_items/0/product_id", "1.5", "product-id"),
    ("/line_items/0/gift_card", "\"marker-zz\"", "gift-card"),
    ("/test", "\"marker-zz\"", "test"),
    ("/refunds", "[{\"id\": 5}]", "refunds"),
];

/// The body with this text for the value at this pointer: numbers stay as they are written.
fn with_text(mut body: Value, pointer: &str, text: &str) -> Vec<u8> {
    *body.pointer_mut(pointer).expect(pointer) = json!("to be replaced");
    body.to_string().replace("\"to be replaced\"", text).into_bytes()
}

#[tokio::test]
async fn an_unusable_order_is_parked_with_a_reason_that_names_the_field_and_not_its_value() {
    let shop = Shop::open(shared()).await.unthrottled().await;
    let ada = person();
    let mut parked = Vec::new();
    for (pointer, text, field) in UNUSABLE_ORDERS {
        let goods = line(25_00, 2).discount(1_00).tax(2_00);
        let body = with_text(order().by(&ada).with(goods).paid().json(&shop), pointer, text);
        parked.push((format!("{pointer} {text}"), field, shop.deliver("orders/paid", body).await));
    }
    shop.door.until_idle().await;
    for (name, field, id) in parked {
        let outcome = shop.outcome(&id).await;
        assert_eq!(outcome.status, "dead_lettered", "{name}");
        let reason = outcome.reason.unwrap();
        assert!(reason.contains(field) && !reason.contains(MARKER), "{name}: {reason}");
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(reason.chars().all(kebab), "{name}: {reason}");
    }
    lives_and_nothing_moved(&shop, ada.id).await;
}

#[tokio::test]
async fn strange_texts_in_names_harm_nobody() {
    let shop = Shop::open(shared()).await;
    for name in ["a\u{0}b", "\u{feff}\u{202e}x", "'; DROP TABLE inbox; --", "\u{1f600}\u{0301}", "{{7*7}}"] {
        let ada = crate::shopify::Person { first_name: name.to_owned(), ..person() };
        shop.delivered("orders/paid", order().by(&ada).line(9_00, 1).paid().body(&shop)).await;
        assert_eq!(shop.customer(ada.id).await["first_name"], name);
        assert_eq!(shop.balance_of(ada.id).await.available, 9);
    }
}

#[tokio::test]
async fn unusable_bodies_of_every_other_topic_are_parked() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let good = order().by(&ada).line(10_00, 1).paid();
    let back = refund(&good).whole(&good.lines[0]).json(&shop);
    let with = |mut body: Value, pointer: &str, value: Value| {
        *body.pointer_mut(pointer).unwrap() = value;
        bytes(&body)
    };
    let refund_amount = "/refund_line_items/0/subtotal_set/shop_money/amount";
    let mut parked = Vec::new();
    for (topic, body) in [
        ("orders/updated", b"[]".to_vec()),
        ("orders/updated", b"null".to_vec()),
        ("orders/updated", b"{}".to_vec()),
        ("refunds/create", b"{}".to_vec()),
        ("refunds/create", with(back.clone(), "/id", json!(1.5))),
        ("refunds/create", with(back.clone(), "/order_id", Value::Null)),
        ("refunds/create", with(back.clone(), refund_amount, json!("-1.00"))),
        ("refunds/create", with(back.clone(), refund_amount, json!("1.001"))),
        (
            "refunds/create",
            with(back.clone(), "/refund_line_items/0/subtotal_set/shop_money/currency_code", json!("EUR")),
        ),
        ("refunds/create", with(back, "/refund_line_items/0/quantity", json!(-1))),
        ("customers/create", b"{}".to_vec()),
        ("customers/create", with(ada.json(), "/id", json!("x"))),
        ("customers/update", with(ada.json(), "/updated_at", json!(5))),
        ("customers/update", with(ada.json(), "/email", json!({"a": 1}))),
        (
            "shop/update",
            bytes(&json!({"id": shop.number, "myshopify_domain": shop.domain, "currency": "XXQ"})),
        ),
        ("app/uninstalled", b"{}".to_vec()),
        ("customers/redact", b"{}".to_vec()),
        ("customers/redact", bytes(&json!({"shop_domain": shop.domain, "customer": {"id": "x"}}))),
        ("customers/data_request", b"{}".to_vec()),
        ("shop/redact", b"{}".to_vec()),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        parked.push((format!("{topic} {shown}"), shop.deliver(topic, body).await));
    }
    shop.door.until_idle().await;
    for (name, id) in parked {
        assert_eq!(shop.outcome(&id).await.status, "dead_lettered", "{name}");
    }
    lives_and_nothing_moved(&shop, ada.id).await;
}

#[tokio::test]
async fn bad_command_bodies_get_a_problem_and_move_nothing() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(10).await;
    let earn = |body: Vec<u8>, media_type: &'static str| {
        let request = shop.request(reqwest::Method::POST, "/v1/api/points/earn");
        async move { request.header("Content-Type", media_type).body(body).send().await.unwrap() }
    };
    let json_type = "application/json";
    for (name, body, media_type, status) in [
        ("not JSON", b"points=5".to_vec(), json_type, 400),
        ("empty", Vec::new(), json_type, 400),
        ("invalid UTF-8", vec![b'"', 0xff, b'"'], json_type, 400),
        ("too deep", nested(33), json_type, 400),
        ("a list", b"[]".to_vec(), json_type, 422),
        ("another type", b"{}".to_vec(), "text/plain", 415),
        ("too big", padded(MIB + 1), json_type, 413),
    ] {
        assert_eq!(earn(body, media_type).await.status(), status, "{name}");
    }
    assert_eq!(shop.balance(&customer).await.available, 10);
    shop.get("/v1/api/points/nowhere").await.problem(404, "route-not-found");
    shop.get("/v1/api/points/earn").await.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn another_shops_order_has_no_effect_here_and_its_own_still_counts_whichever_comes_first() {
    for forged_first in [false, true] {
        let (own, other) = (Shop::open(shared()).await, Shop::open(shared()).await);
        let ada = person();
        let order = order().by(&ada).line(50_00, 1).paid();
        let body = order.body(&own);
        let (mut forged, mut genuine) = (None, None);
        for is_forged in [forged_first, !forged_first] {
            let outcome = if is_forged { &mut forged } else { &mut genuine };
            *outcome =
                Some(if is_forged { &other } else { &own }.delivered("orders/paid", body.clone()).await);
        }
        let forged = forged.unwrap();
        assert_eq!(
            (forged.status.as_str(), forged.reason.as_deref()),
            ("dead_lettered", Some("names-another-shop"))
        );
        assert_eq!(genuine.unwrap().status, "processed");
        assert_eq!(own.balance_of(ada.id).await.available, 50);
        other.get(&format!("/v1/api/orders/{}", order.id)).await.problem(404, "order-not-found");
        let asked = other.ask("/v1/api/users/get", &[("shopify_customer_id", &ada.id.to_string())]).await;
        asked.problem(404, "customer-not-found");
    }
}

#[tokio::test]
async fn an_order_that_names_no_shop_counts_where_it_came() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(50_00, 1).paid().unnamed();
    assert_eq!(shop.delivered("orders/paid", order.body(&shop)).await.status, "processed");
    assert_eq!(shop.balance_of(ada.id).await.available, 50);
}

#[tokio::test]
async fn a_second_shop_gets_nothing_from_an_order_that_names_none() {
    let (own, other) = (Shop::open(shared()).await, Shop::open(shared()).await);
    let ada = person();
    let body = order().by(&ada).line(50_00, 1).paid().unnamed().body(&own);
    assert_eq!(own.delivered("orders/paid", body.clone()).await.status, "processed");
    let outcome = other.delivered("orders/paid", body).await;
    assert_eq!(outcome.reason.as_deref(), Some("shop-ambiguous"), "{outcome:?}");
    assert_eq!(own.balance_of(ada.id).await.available, 50);
    let asked = other.ask("/v1/api/users/get", &[("shopify_customer_id", &ada.id.to_string())]).await;
    asked.problem(404, "customer-not-found");
}

#[tokio::test]
async fn a_shops_number_names_it_once_a_body_has_named_both_number_and_domain() {
    let (own, other) = (Shop::open(shared()).await, Shop::open(shared()).await);
    let ada = person();
    own.delivered("orders/paid", order().by(&ada).line(1_00, 1).paid().body(&own)).await;
    let body = order().by(&ada).line(50_00, 1).paid().on_own_domain().body(&own);
    let outcome = other.delivered("orders/paid", body.clone()).await;
    assert_eq!(outcome.reason.as_deref(), Some("names-another-shop"), "{outcome:?}");
    assert_eq!(own.delivered("orders/paid", body).await.status, "processed");
    assert_eq!(own.balance_of(ada.id).await.available, 51);
}

#[tokio::test]
async fn another_shops_refund_and_shop_bodies_have_no_effect_here() {
    let (own, other) = (Shop::open(shared()).await, Shop::open(shared()).await);
    let ada = person();
    let order = order().by(&ada).line(50_00, 1).paid();
    own.delivered("orders/paid", order.body(&own)).await;
    let back = refund(&order).whole(&order.lines[0]).body(&own);
    other.delivered("refunds/create", back.clone()).await;
    assert_eq!(own.balance_of(ada.id).await.available, 50);
    assert_eq!(own.delivered("refunds/create", back).await.status, "processed");
    assert_eq!(own.balance_of(ada.id).await.available, 0);

    let body = json!({"id": own.number, "myshopify_domain": own.domain, "currency": "JPY"});
    for topic in ["shop/update", "app/uninstalled"] {
        let outcome = other.delivered(topic, bytes(&body)).await;
        assert_eq!(outcome.reason.as_deref(), Some("names-another-shop"), "{topic}");
    }
    let bea = person();
    other.delivered("orders/paid", crate::shopify::order().by(&bea).line(7_00, 1).paid().body(&other)).await;
    assert_eq!(other.balance_of(bea.id).await.available, 7);
}

#[tokio::test]
async fn a_customer_under_two_shops_gets_no_guest_order_until_an_order_of_the_shop_confirms_them() {
    for forged_first in [false, true] {
        let (own, other) = (Shop::open(shared()).await, Shop::open(shared()).await);
        let ada = person();
        let shops = if forged_first { [&other, &own] } else { [&own, &other] };
        for shop in shops {
            shop.delivered("customers/create", ada.body()).await;
        }
        let guest = || order().by_guest(&ada.email).line(50_00, 1).paid();
        let (at_own, at_other) = (guest(), guest());
        own.delivered("orders/paid", at_own.body(&own)).await;
        other.delivered("orders/paid", at_other.body(&other)).await;
        assert_eq!(own.standing(at_own.id).await, "waiting guest", "forged first: {forged_first}");
        assert_eq!(other.standing(at_other.id).await, "waiting guest", "forged first: {forged_first}");

        let confirming = order().by(&ada).line(5_00, 1).paid();
        own.delivered("orders/paid", confirming.body(&own)).await;
        assert_eq!(own.balance_of(ada.id).await.available, 55, "forged first: {forged_first}");
        assert_eq!(other.standing(at_other.id).await, "waiting guest", "forged first: {forged_first}");
    }
}

/// The process lives, `shopify_customer_id` has nothing, and a good order of theirs still counts.
async fn lives_and_nothing_moved(shop: &Shop, shopify_customer_id: u64) {
    assert_eq!(shop.door.get("/livez").await.status, 200);
    let asked =
        shop.ask("/v1/api/users/get", &[("shopify_customer_id", &shopify_customer_id.to_string())]).await;
    if asked.status == 200 {
        let customer = asked.json()["customer_id"].as_str().unwrap().to_owned();
        assert_eq!(shop.balance(&customer).await, Balance::default());
    }
    let buyer = person();
    let outcome = shop.delivered("orders/paid", order().by(&buyer).line(12_00, 1).paid().body(shop)).await;
    assert_eq!(outcome.status, "processed");
    assert_eq!(shop.balance_of(buyer.id).await.available, 12);
}
