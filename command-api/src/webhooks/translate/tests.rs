//! Payloads in Shopify's shape and what they come to; and every way in which one cannot be used.
use domain::loyalty_order::{Line, Shipping};
use event_schemas::{
    Currency, Money, ProductId, ShopDomain, TimeZone, Timestamp,
    loyalty_order::{OrderStage, RefundLine},
};
use serde_json::{Value, json};

use super::{
    Beyond, Buyer, NamedShop, Order, OwnFacts, Person, Plan, Private, Refund, ShopFacts, Translated,
    is_known, translate,
};

mod compliance;
mod topics;

const ORDER: &str = include_str!("golden/order.json");
const REFUND: &str = include_str!("golden/refund.json");
const CUSTOMER: &str = include_str!("golden/customer.json");
const SHOP: &str = include_str!("golden/shop.json");

fn usd() -> Currency {
    Currency::try_new("USD").unwrap()
}

fn shop() -> ShopFacts {
    ShopFacts { domain: ShopDomain::try_new("demo.myshopify.com").unwrap(), currency: usd() }
}

fn private(text: &str) -> Private {
    Private(text.to_owned())
}

fn product(id: &str) -> Option<ProductId> {
    Some(ProductId::try_new(id).unwrap())
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn named() -> NamedShop {
    NamedShop { domain: Some(shop().domain), id: Some("7001".to_owned()) }
}

fn read(topic: &str, body: &str) -> Translated {
    translate(topic, body, &shop()).unwrap().unwrap()
}

fn ada() -> Person {
    Person {
        reference: private("7100000000000000003"),
        email: Some(private("ada@example.com")),
        email_verified: true,
        first_name: Some(private("Ada")),
        last_name: Some(private("Lovelace")),
        phone: None,
    }
}

fn line(product_id: Option<ProductId>, gift_card: bool, subtotal_minor: i64, tax_minor: i64) -> Line {
    Line { product_id, gift_card, tip: false, tags: Vec::new(), subtotal_minor, tax_minor }
}

fn golden_order() -> Order {
    let refund_line = RefundLine {
        product_id: product("8200000000000000005"),
        gift_card: false,
        tip: false,
        subtotal_minor: 1800,
        tax_minor: 144,
    };
    Order {
        reference: private("6200000000000000001"),
        updated_at: time("2026-03-02T10:30:00Z"),
        ordered_at: time("2026-03-01T09:00:00Z"),
        paid_at: Some(time("2026-03-01T09:00:00Z")),
        fulfilled_at: None,
        stage: OrderStage::Paid,
        test: false,
        buyer: Buyer::Customer(Person { last_name: None, phone: Some(private("+44 20 7946 0000")), ..ada() }),
        taxes_included: false,
        lines: vec![
            line(product("8200000000000000005"), false, 5399, 432),
            line(None, false, 400, 0),
            line(product("77"), true, 1000, 0),
            Line { tip: true, ..line(None, false, 300, 0) },
        ],
        shipping: Shipping { minor: 500, tax_minor: 40 },
        total: Money { minor: 8071, currency: usd() },
        codes: vec![private("WELCOME7"), private("ln-23456789abcd")],
        refunds: vec![Refund {
            reference: private("9300000000000000007"),
            refunded_at: time("2026-03-02T10:29:00Z"),
            lines: vec![refund_line],
            shipping: Shipping { minor: 500, tax_minor: 40 },
            store_credit: false,
            beyond: Beyond { minor: 200, tax_minor: 0 },
        }],
    }
}

#[test]
fn an_order_means_the_same_under_each_of_its_topics() {
    let expected = Translated { named: named(), plan: Plan::Order(golden_order()) };
    for topic in ["orders/create", "orders/paid", "orders/updated", "orders/cancelled", "orders/fulfilled"] {
        assert_eq!(read(topic, ORDER), expected, "{topic}");
    }
}

#[test]
fn a_refund_lists_its_lines_and_its_shipping_once() {
    let line = |gift_card, subtotal_minor| RefundLine {
        product_id: None,
        gift_card,
        tip: !gift_card,
        subtotal_minor,
        tax_minor: 0,
    };
    let refund = Refund {
        reference: private("9300000000000000008"),
        refunded_at: time("2026-03-03T00:00:00Z"),
        lines: vec![line(true, 8999), line(false, 300)],
        shipping: Shipping { minor: 250, tax_minor: 20 },
        store_credit: false,
        beyond: Beyond::default(),
    };
    let plan = Plan::Refund { order: private("6200000000000000001"), refund };
    assert_eq!(read("refunds/create", REFUND), Translated { named: NamedShop::default(), plan });
}

#[test]
fn money_that_a_refund_pays_without_lines_is_told_by_its_discrepancy_or_its_transactions() {
    let told = |adjustments: Value, transactions: Value| {
        let body = json!({
            "id": 9, "order_id": 6, "processed_at": "2026-03-03T00:00:00Z", "refund_line_items": [],
            "order_adjustments": adjustments, "transactions": transactions,
        });
        match read("refunds/create", &body.to_string()).plan {
            Plan::Refund { refund, .. } => (refund.beyond.minor, refund.beyond.tax_minor),
            other => panic!("{other:?}"),
        }
    };
    let less = |amount: &str| json!({"kind": "refund_discrepancy", "amount": amount, "tax_amount": "-0.10"});
    let paid = |status: &str, currency: &str| json!({"kind": "refund", "status": status, "amount": "5.00", "currency": currency, "gateway": "bogus"});
    assert_eq!(told(json!([less("-5.00")]), json!([paid("success", "USD")])), (500, 10));
    assert_eq!(told(json!([less("-5.00"), less("2.00")]), json!([])), (300, 20));
    assert_eq!(told(json!([]), json!([paid("success", "USD"), paid("failure", "USD")])), (500, 0));
    assert_eq!(told(json!([]), json!([paid("success", "EUR")])), (0, 0));
    assert_eq!(
        told(json!([{"kind": "shipping_refund", "amount": "-5.00"}]), json!([paid("success", "USD")])),
        (0, 0)
    );
}

#[test]
fn a_customer_means_the_same_created_or_updated() {
    let plan = Plan::Customer { person: ada(), updated_at: time("2026-03-01T09:00:00Z") };
    let expected = Translated { named: NamedShop::default(), plan };
    for topic in ["customers/create", "customers/update"] {
        assert_eq!(read(topic, CUSTOMER), expected, "{topic}");
    }
}

#[test]
fn a_shops_own_body_names_it_and_its_currency_and_zone() {
    let facts = OwnFacts {
        currency: Some(Currency::try_new("EUR").unwrap()),
        timezone: Some(TimeZone::try_new("Europe/Berlin").unwrap()),
        updated_at: Some(time("2026-02-01T00:00:00Z")),
    };
    assert_eq!(read("shop/update", SHOP), Translated { named: named(), plan: Plan::Shop(facts) });
    assert_eq!(read("app/uninstalled", SHOP), Translated { named: named(), plan: Plan::Uninstall });
}

#[test]
fn an_unknown_topic_has_no_translation() {
    assert!(!is_known("checkouts/create"));
    assert!(translate("checkouts/create", "{}", &shop()).is_none());
}

#[test]
fn nothing_personal_shows_in_a_plan() {
    for (topic, body) in
        [("orders/create", ORDER), ("refunds/create", REFUND), ("customers/create", CUSTOMER)]
    {
        let shown = format!("{:?}", read(topic, body));
        for personal in [
            "ada",
            "Ada",
            "Lovelace",
            "7946",
            "6200000000000000001",
            "7100000000000000003",
            "930000",
            "WELCOME7",
            "ln-2",
        ] {
            assert!(!shown.contains(personal), "{topic} shows {personal}: {shown}");
        }
    }
}

/// The golden body with one change at a JSON pointer; `null` removes.
fn changed(golden: &str, pointer: &str, value: Value) -> String {
    let mut body: Value = serde_json::from_str(golden).unwrap();
    *body.pointer_mut(pointer).unwrap() = value;
    body.to_string()
}

fn order_with(pointer: &str, value: Value) -> Order {
    match read("orders/updated", &changed(ORDER, pointer, value)).plan {
        Plan::Order(order) => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn stages_follow_the_financial_status_and_the_cancellation() {
    for (status, stage) in [
        (json!("paid"), OrderStage::Paid),
        (json!("partially_refunded"), OrderStage::Paid),
        (json!("refunded"), OrderStage::Refunded),
        (json!("voided"), OrderStage::Voided),
        (json!("pending"), OrderStage::Unpaid),
        (json!("authorized"), OrderStage::Unpaid),
        (json!("partially_paid"), OrderStage::Unpaid),
        (Value::Null, OrderStage::Unpaid),
    ] {
        assert_eq!(order_with("/financial_status", status.clone()).stage, stage, "{status}");
    }
    assert_eq!(order_with("/cancelled_at", json!("2026-03-02T00:00:00Z")).stage, OrderStage::Cancelled);
}

#[test]
fn a_guest_is_known_by_either_address() {
    let guest = |email: Option<&str>| Buyer::Guest { email: email.map(private) };
    assert_eq!(order_with("/customer", Value::Null).buyer, guest(Some("ada@example.com")));
    let body = changed(&changed(ORDER, "/customer", Value::Null), "/email", json!(" "));
    let Plan::Order(order) = read("orders/create", &body).plan else { panic!("an order") };
    assert_eq!(order.buyer, guest(Some("ada@example.com")), "contact_email");
}

#[test]
fn the_total_is_the_larger_of_the_stated_and_the_added_total() {
    let total = |pointer, value| order_with(pointer, value).total.minor;
    assert_eq!(total("/total_price_set/shop_money/amount", json!("100.00")), 10000);
    // 58.99 − 5.00 … without tax on top: 53.99 + 4.00 + 10.00 + 3.00 + 5.00.
    assert_eq!(total("/taxes_included", json!(true)), 7599);
}

#[test]
fn an_order_that_cannot_be_used_is_told_by_its_field() {
    for (pointer, value, reason) in [
        ("/id", json!(6.2e18), "id-not-an-id"),
        ("/id", json!(null), "id-missing"),
        ("/id", json!("12x"), "id-not-an-id"),
        ("/admin_graphql_api_id", json!("gid://shopify/Refund/1"), "admin-graphql-api-id-of-another-kind"),
        ("/updated_at", json!(null), "updated-at-missing"),
        ("/updated_at", json!("yesterday"), "updated-at-not-a-time"),
        ("/updated_at", json!(1_772_443_800), "updated-at-not-a-time"),
        ("/currency", json!("EUR"), "currency-other-currency"),
        ("/currency", json!(null), "currency-missing"),
        ("/test", json!("no"), "test-not-a-boolean"),
        ("/taxes_included", json!(1), "taxes-included-not-a-boolean"),
        ("/total_price_set/shop_money/amount", json!("-1.00"), "total-price-negative"),
        ("/total_price_set/shop_money/currency_code", json!("EUR"), "total-price-other-currency"),
    ] {
        assert_eq!(reason_of("orders/updated", ORDER, pointer, &value), reason, "{pointer} = {value}");
    }
}

#[test]
fn a_part_of_an_order_that_cannot_be_used_is_told_by_its_path() {
    let price = "/line_items/0/price_set/shop_money/amount";
    for (pointer, value, reason) in [
        ("/line_items", json!(null), "line-items-missing"),
        ("/line_items", json!({}), "line-items-not-a-list"),
        ("/line_items/0", json!(7), "line-items-not-an-object"),
        ("/line_items/0/quantity", json!(-1), "line-items-quantity-negative"),
        ("/line_items/0/quantity", json!(1.5), "line-items-quantity-not-a-count"),
        ("/line_items/0/quantity", json!(null), "line-items-quantity-missing"),
        ("/line_items/0/product_id", json!(8.2e18), "line-items-product-id-not-an-id"),
        ("/line_items/0/gift_card", json!("false"), "line-items-gift-card-not-a-boolean"),
        (price, json!("10.999"), "line-items-price-too-precise"),
        (price, json!("1e3"), "line-items-price-not-an-amount"),
        (price, json!("-20.00"), "line-items-price-negative"),
        (price, json!("92233720368547758.07"), "line-items-price-too-large"),
        (
            "/line_items/0/discount_allocations/1/amount",
            json!("99.00"),
            "line-items-discount-allocations-too-large",
        ),
        (
            "/line_items/0/discount_allocations/1/amount",
            json!(null),
            "line-items-discount-allocations-amount-missing",
        ),
        ("/line_items/0/tax_lines/0/price", json!("0.001"), "line-items-tax-lines-price-too-precise"),
        ("/shipping_lines/0/price", json!("x"), "shipping-lines-price-not-an-amount"),
        ("/customer", json!("ada"), "customer-not-an-object"),
        ("/customer/id", json!(7.1e18), "customer-id-not-an-id"),
        ("/customer/verified_email", json!("yes"), "customer-verified-email-not-a-boolean"),
        ("/refunds/0/id", json!(1.5), "refunds-id-not-an-id"),
        ("/refunds/0/refund_line_items/0/quantity", json!(-1), "refunds-refund-line-items-quantity-negative"),
        (
            "/refunds/0/order_adjustments/0/amount",
            json!(true),
            "refunds-order-adjustments-amount-not-an-amount",
        ),
    ] {
        assert_eq!(reason_of("orders/updated", ORDER, pointer, &value), reason, "{pointer} = {value}");
    }
    // A guest's address only matters without a customer.
    let of_guest = changed(ORDER, "/customer", Value::Null);
    assert_eq!(reason_of("orders/updated", &of_guest, "/email", &json!(7)), "email-not-text");
}

#[test]
fn any_other_body_that_cannot_be_used_is_told_by_its_field() {
    for (topic, golden, pointer, value, reason) in [
        ("refunds/create", REFUND, "/order_id", json!(null), "order-id-missing"),
        ("refunds/create", REFUND, "/order_id", json!(6.2e18), "order-id-not-an-id"),
        ("refunds/create", REFUND, "/created_at", json!(null), "created-at-missing"),
        (
            "refunds/create",
            REFUND,
            "/refund_line_items/0/subtotal",
            json!(-1),
            "refund-line-items-subtotal-negative",
        ),
        (
            "refunds/create",
            REFUND,
            "/refund_line_items/0/subtotal",
            json!(1e-7),
            "refund-line-items-subtotal-not-an-amount",
        ),
        ("customers/update", CUSTOMER, "/updated_at", json!(null), "updated-at-missing"),
        ("customers/update", CUSTOMER, "/id", json!("-7"), "id-not-an-id"),
        ("customers/update", CUSTOMER, "/first_name", json!({}), "first-name-not-text"),
        ("shop/update", SHOP, "/currency", json!("???"), "currency-unknown"),
        ("shop/update", SHOP, "/iana_timezone", json!("Mars/Base"), "iana-timezone-unknown"),
        ("app/uninstalled", SHOP, "/id", json!(null), "id-missing"),
        ("customers/create", ORDER, "/test", json!(false), "admin-graphql-api-id-of-another-kind"),
    ] {
        assert_eq!(reason_of(topic, golden, pointer, &value), reason, "{topic} {pointer}");
    }
}

/// Why the golden body cannot be used after one change.
fn reason_of(topic: &str, golden: &str, pointer: &str, value: &Value) -> String {
    translate(topic, &changed(golden, pointer, value.clone()), &shop()).unwrap().unwrap_err().reason()
}
