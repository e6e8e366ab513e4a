//! Requests about people's data: whom they name, and every way in which one names nobody.
use privacy::Kind;
use serde_json::{Value, json};

use super::{changed, named, private, read, reason_of, shop};
use crate::webhooks::translate::{
    DataSubject, Mentions, NamedShop, Plan, Translated, is_compliance, translate,
};

const REDACT: &str = include_str!("../golden/customer_redact.json");
const REQUEST: &str = include_str!("../golden/data_request.json");
const SHOP_REDACT: &str = include_str!("../golden/shop_redact.json");

/// Its ids are above 2^53, where a float would round them.
fn ada() -> DataSubject {
    DataSubject {
        customer: Some(private("9007199254740993")),
        email: Some(private("ada@example.com")),
        phone: Some(private("+44 20 7946 0000")),
        orders: ["6200000000000000001", "6200000000000000002", "18446744073709551615"].map(private).into(),
    }
}

#[test]
fn a_redaction_names_a_person_their_orders_and_their_shop() {
    let expected = Translated { named: named(), plan: Plan::Redact(ada()) };
    assert_eq!(read("customers/redact", REDACT), expected);
}

#[test]
fn a_data_request_names_a_person_and_the_orders_asked_for() {
    let subject = DataSubject { phone: None, orders: vec![private("6200000000000000001")], ..ada() };
    let expected = Translated { named: named(), plan: Plan::Export(subject) };
    assert_eq!(read("customers/data_request", REQUEST), expected);
}

#[test]
fn a_shops_redaction_names_the_shop_alone() {
    let expected = Translated { named: named(), plan: Plan::RedactShop };
    assert_eq!(read("shop/redact", SHOP_REDACT), expected);
}

#[test]
fn an_address_alone_is_a_person() {
    for id in ["/customer/id", "/orders_to_redact", "/customer/phone"] {
        assert!(
            translate("customers/redact", &changed(REDACT, id, Value::Null), &shop()).unwrap().is_ok(),
            "{id}"
        );
    }
    let body = json!({"shop_domain": "demo.myshopify.com", "customer": {"email": "ada@example.com"}});
    let subject = DataSubject { email: Some(private("ada@example.com")), ..DataSubject::default() };
    assert_eq!(read("customers/redact", &body.to_string()).plan, Plan::Redact(subject));
}

/// As it stands in Shopify's own samples. Such a body is of whichever shop its number is bound to, and of none without.
#[test]
fn a_domain_that_is_none_names_no_shop() {
    for topic in ["customers/redact", "shop/redact"] {
        let golden = if topic == "shop/redact" { SHOP_REDACT } else { REDACT };
        let body = changed(golden, "/shop_domain", json!("{shop}.myshopify.com"));
        let expected = NamedShop { domain: None, id: Some("7001".to_owned()) };
        assert_eq!(read(topic, &body).named, expected, "{topic}");
    }
}

#[test]
fn what_names_nobody_is_told_by_its_field() {
    for (pointer, value, reason) in [
        ("/customer", json!(null), "customer-missing"),
        ("/customer", json!([7]), "customer-not-an-object"),
        ("/customer/id", json!(1.5), "customer-id-not-an-id"),
        ("/customer/id", json!("-7"), "customer-id-not-an-id"),
        ("/customer/email", json!(7), "customer-email-not-text"),
        ("/orders_to_redact", json!(7), "orders-to-redact-not-a-list"),
        ("/orders_to_redact/1", json!(6.2e18), "orders-to-redact-not-an-id"),
        ("/orders_to_redact/1", json!(null), "orders-to-redact-not-an-id"),
        ("/shop_domain", json!(7), "shop-domain-not-text"),
        ("/shop_id", json!(1.5), "shop-id-not-an-id"),
    ] {
        assert_eq!(reason_of("customers/redact", REDACT, pointer, &value), reason, "{pointer} = {value}");
    }
    let nobody =
        json!({"shop_domain": "demo.myshopify.com", "customer": {"phone": "+1"}, "orders_to_redact": [1]});
    let refused = translate("customers/redact", &nobody.to_string(), &shop()).unwrap().unwrap_err();
    assert_eq!(refused.reason(), "customer-id-missing");
    let refused = translate("shop/redact", "{}", &shop()).unwrap().unwrap_err();
    assert_eq!(refused.reason(), "shop-domain-missing");
}

#[test]
fn what_a_request_names_finds_the_delivery_that_it_came_in() {
    let found = Mentions::read(REDACT.as_bytes(), 32).unwrap().references("customers/redact");
    let expected = [
        (Kind::Order, "6200000000000000001"),
        (Kind::Order, "6200000000000000002"),
        (Kind::Order, "18446744073709551615"),
        (Kind::ShopifyCustomer, "9007199254740993"),
        (Kind::Email, "ada@example.com"),
        (Kind::Phone, "+44 20 7946 0000"),
    ];
    assert_eq!(found, expected.map(|(kind, text)| (kind, private(text))));
}

#[test]
fn the_requests_are_told_from_everything_else_and_show_nothing() {
    for (topic, body) in
        [("customers/redact", REDACT), ("customers/data_request", REQUEST), ("shop/redact", SHOP_REDACT)]
    {
        assert!(is_compliance(topic));
        let shown = format!("{:?}", read(topic, body));
        for personal in ["9007199254740993", "ada@", "7946", "6200000000000000001"] {
            assert!(!shown.contains(personal), "{topic} shows {personal}: {shown}");
        }
    }
    assert!(!is_compliance("customers/update") && !is_compliance("shop/update"));
}
