//! Nothing that leads to a person lies in clear in any file, log line or metric.
use std::path::PathBuf;

use serde_json::json;

use crate::{
    harness::{Door, Folder, Marker, Markers, Server, Shop, files},
    shopify::{Person, bytes, fresh_id, order, person, refund},
};

/// A person all of whose fields are recognisable.
pub(super) fn recognisable(tag: &str) -> Person {
    Person {
        email: format!("mail-{tag}-zq7@private.example"),
        first_name: format!("First{tag}Zq7"),
        last_name: format!("Last{tag}Zq7"),
        phone: format!("+4917{}", fresh_id() % 1_000_000_000),
        note: format!("Note{tag}Zq7"),
        street: format!("Street{tag}Zq7 5"),
        ..person()
    }
}

pub(super) fn markers_of(tag: &str, person: &Person) -> Vec<Marker> {
    let named = |field: &str| format!("{field} of {tag}");
    vec![
        Marker::number(&named("Shopify id"), person.id),
        Marker::text(&named("e-mail"), &person.email),
        Marker::text(&named("first name"), &person.first_name),
        Marker::text(&named("last name"), &person.last_name),
        Marker::text(&named("phone"), &person.phone),
        Marker::text(&named("note"), &person.note),
        Marker::text(&named("street"), &person.street),
    ]
}

/// Sends everything personal through every door that takes deliveries.
pub(super) async fn through_webhooks(shop: &Shop) -> Vec<Marker> {
    let (ada, guest, parked) = (recognisable("Ada"), recognisable("Guest"), recognisable("Parked"));
    let mut markers = Vec::new();
    for (tag, person) in [("Ada", &ada), ("Guest", &guest), ("Parked", &parked)] {
        markers.extend(markers_of(tag, person));
    }
    let bought = order().by(&ada).line(50_00, 2).paid().note("OrderNoteZq7", "checkouttokenzq7");
    let back = refund(&bought).part(&bought.lines[0], 1, 50_00, 0).note("RefundNoteZq7");
    let by_guest = order().by_guest(&guest.email).phone(&guest.phone).line(5_00, 1).paid();
    let unusable = order().by(&parked).line(5_00, 1).paid();
    let mut unusable_body = unusable.json(shop);
    unusable_body["line_items"][0]["quantity"] = json!("QuantityZq7");
    for (topic, body) in [
        ("customers/create", ada.body()),
        ("orders/paid", bought.body(shop)),
        ("refunds/create", back.body(shop)),
        ("orders/paid", by_guest.body(shop)),
        ("orders/paid", bytes(&unusable_body)),
        ("customers/update", ada.clone().updated(5).body()),
        ("checkouts/create", bytes(&json!({"email": parked.email, "token": "checkouttokenzq7"}))),
    ] {
        shop.deliver(topic, body).await;
    }
    shop.door.until_idle().await;
    let refused = format!("{{\"email\":\"{}\"", parked.email);
    assert_eq!(shop.webhook("orders/paid", refused).send(&shop.door).await.status, 400);
    let unsigned = shop.webhook("orders/paid", bought.body(shop)).with("x-shopify-hmac-sha256", "AAAA");
    assert_eq!(unsigned.send(&shop.door).await.status, 401);
    for (name, id) in [("order id", bought.id), ("refund id", back.id), ("guest's order id", by_guest.id)] {
        markers.push(Marker::number(name, id));
    }
    markers.push(Marker::number("parked order id", unusable.id));
    for text in ["OrderNoteZq7", "RefundNoteZq7", "checkouttokenzq7", "QuantityZq7", "203.0.113.77"] {
        markers.push(Marker::text(text, text));
    }
    through_queries(shop, &ada, bought.id).await;
    markers
}

/// Every question that has something personal in it.
async fn through_queries(shop: &Shop, ada: &Person, order: u64) {
    let id = ada.id.to_string();
    for parameter in [("email", ada.email.as_str()), ("shopify_customer_id", &id)] {
        shop.ask("/v1/api/users/get", &[parameter]).await.expect(200);
    }
    shop.order(order).await;
    let customer = shop.customer_id(ada.id).await;
    assert_eq!(shop.balance(&customer).await.available, 50);
    shop.statement(&customer).await;
    shop.ask("/v1/api/points/balance", &[("customer_id", &ada.email)]).await;
    shop.get("/v1/api/webhooks/dead-letters").await.expect(200);
}

/// Everything personal through the calls of the merchant's own programs.
pub(super) async fn through_commands(shop: &Shop) -> Vec<Marker> {
    let ben = recognisable("Ben");
    let body = json!({
        "shopify_customer_id": ben.id.to_string(), "email": ben.email,
        "first_name": ben.first_name, "last_name": ben.last_name
    });
    let made = shop.post_keyed("/v1/api/users/create", "KeyZq7-create", &body).await.expect(201);
    let customer = made["customer_id"].as_str().unwrap();
    shop.earn(customer, 500, "SourceZq7").await.expect(200);
    shop.earn(customer, 501, "SourceZq7").await.problem(409, "source-conflict");
    let body = json!({
        "customer_id": customer, "points": 5, "reason_code": "goodwill",
        "public_note": "PublicZq7 note", "internal_note": "InternalZq7 note"
    });
    shop.post_keyed("/v1/api/points/adjust", "KeyZq7-adjust", &body).await.expect(200);
    let redeemed = shop.redeem(customer, 100).await.expect(200);
    let refused = json!({"customer_id": customer, "points": "PointsZq7", "email": ben.email});
    shop.post("/v1/api/points/earn", &refused).await.problem(422, "invalid-field");
    let traced = shop.request(reqwest::Method::GET, "/v1/api/core/settings");
    traced.header("x-request-id", &ben.email).header("traceparent", &ben.email).send().await.unwrap();
    let mut markers = markers_of("Ben", &ben);
    for text in ["SourceZq7", "PublicZq7", "InternalZq7", "PointsZq7", "KeyZq7-create", "KeyZq7-adjust"] {
        markers.push(Marker::text(text, text));
    }
    markers.push(Marker::text("discount code", redeemed["code"].as_str().unwrap()));
    markers
}

#[tokio::test]
async fn no_file_log_line_or_metric_leads_to_a_person() {
    let folder = Folder::new();
    let server = Server::start_on(&folder, &[("LOYALNEST_LOG_FILTER", "trace")]);
    let shop = Shop::open(&server).await;
    let mut markers = through_webhooks(&shop).await;
    markers.extend(through_commands(&shop).await);
    shop.door.until_idle().await;

    let (door, markers) = (Door::of(&server), Markers::new(&markers));
    for path in ["/metrics", "/healthz", "/health"] {
        assert_eq!(markers.found(door.get(path).await.text.as_bytes()), [""; 0], "{path}");
    }
    assert_eq!(markers.found(door.queues().await.to_string().as_bytes()), [""; 0]);
    // Once with the write-ahead files as a crash would leave them, once after an orderly end.
    let control = Marker::text("the shop's domain", &shop.domain);
    let all = || [files(&folder.data()), files(&folder.printed())].concat();
    markers.stand_nowhere_in(&all(), &control);
    assert!(server.end_by("TERM").0.success());
    markers.stand_nowhere_in(&all(), &control);
    let secrets = [&shop.token, &door.operator_token, &door.webhook_secret];
    let secrets = Markers::new(&secrets.map(|text| Marker::text("a secret", text)));
    let is_log = |path: &PathBuf| path.extension().is_none_or(|it| it != "stdout");
    for path in all().into_iter().filter(is_log) {
        assert_eq!(secrets.found(&std::fs::read(&path).unwrap()), [""; 0], "{}", path.display());
    }
}
