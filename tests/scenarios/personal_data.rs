//! Nothing that leads to a person lies in clear in any file, log line or metric.
use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::json;

use crate::{
    harness::{Door, Folder, Server, Shop},
    shopify::{Person, bytes, fresh_id, order, person, refund},
};

/// What must not be found: its name, and every way in which it could be written.
struct Marker {
    name: String,
    forms: Vec<Vec<u8>>,
}

fn text_marker(name: &str, text: &str) -> Marker {
    let mut forms = Vec::new();
    for variant in [text.to_owned(), text.to_lowercase(), text.to_uppercase()] {
        let plain = variant.as_bytes();
        let hex: String = plain.iter().map(|byte| format!("{byte:02x}")).collect();
        let utf16 = variant.encode_utf16().flat_map(u16::to_le_bytes).collect();
        forms.extend([plain.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes(), utf16]);
        forms.extend((0..3).map(|offset| base64_at(plain, offset)));
    }
    forms.sort();
    forms.dedup();
    Marker { name: name.to_owned(), forms }
}

/// What base64 makes of these bytes, `offset` bytes behind a multiple of three, without the digits it shares.
fn base64_at(plain: &[u8], offset: usize) -> Vec<u8> {
    let encoded = STANDARD_NO_PAD.encode([&vec![0; offset], plain].concat());
    let (start, end) = ((offset * 8).div_ceil(6), (offset + plain.len()) * 8 / 6);
    encoded.as_bytes()[start..end].to_vec()
}

fn id_marker(name: &str, id: u64) -> Marker {
    let mut marker = text_marker(name, &id.to_string());
    marker.forms.extend([id.to_be_bytes().to_vec(), id.to_le_bytes().to_vec()]);
    marker
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    // The rarest way to be fast enough over megabytes without a dependency: look at the first byte only where it is.
    let (first, rest) = needle.split_first().unwrap();
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| byte == first) {
        from += at + 1;
        if haystack[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

/// Which markers stand in these bytes.
fn found<'a>(markers: &'a [Marker], bytes: &[u8]) -> Vec<&'a str> {
    let stands = |marker: &&Marker| marker.forms.iter().any(|form| contains(bytes, form));
    markers.iter().filter(stands).map(|marker| marker.name.as_str()).collect()
}

/// A person all of whose fields are recognisable.
fn recognisable(tag: &str) -> Person {
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

fn markers_of(tag: &str, person: &Person) -> Vec<Marker> {
    let named = |field: &str| format!("{field} of {tag}");
    vec![
        id_marker(&named("Shopify id"), person.id),
        text_marker(&named("e-mail"), &person.email),
        text_marker(&named("first name"), &person.first_name),
        text_marker(&named("last name"), &person.last_name),
        text_marker(&named("phone"), &person.phone),
        text_marker(&named("note"), &person.note),
        text_marker(&named("street"), &person.street),
    ]
}

/// Sends everything personal through every door that takes deliveries.
async fn through_webhooks(shop: &Shop) -> Vec<Marker> {
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
        markers.push(id_marker(name, id));
    }
    markers.push(id_marker("parked order id", unusable.id));
    for text in ["OrderNoteZq7", "RefundNoteZq7", "checkouttokenzq7", "QuantityZq7", "203.0.113.77"] {
        markers.push(text_marker(text, text));
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
async fn through_commands(shop: &Shop) -> Vec<Marker> {
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
        markers.push(text_marker(text, text));
    }
    markers.push(text_marker("discount code", redeemed["code"].as_str().unwrap()));
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

    let door = Door::of(&server);
    for path in ["/metrics", "/healthz", "/health"] {
        assert_eq!(found(&markers, door.get(path).await.text.as_bytes()), [""; 0], "{path}");
    }
    assert_eq!(found(&markers, door.queues().await.to_string().as_bytes()), [""; 0]);
    // Once with the write-ahead files as a crash would leave them, once after an orderly end.
    let control = [text_marker("the shop's domain", &shop.domain)];
    scan(&folder, &markers, &control);
    assert!(server.end_by("TERM").0.success());
    scan(&folder, &markers, &control);
    let secrets =
        [&shop.token, &door.operator_token, &door.webhook_secret].map(|text| text_marker("a secret", text));
    let logs =
        files(&folder.printed()).into_iter().filter(|path| path.extension().is_some_and(|it| it == "stderr"));
    for path in logs.chain(files(&folder.data())) {
        assert_eq!(found(&secrets, &std::fs::read(&path).unwrap()), [""; 0], "{}", path.display());
    }
}

fn scan(folder: &Folder, markers: &[Marker], control: &[Marker]) {
    let mut control_seen = false;
    let all = [files(&folder.data()), files(&folder.printed())].concat();
    assert!(all.len() >= 6, "{all:?}");
    for path in all {
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(found(markers, &bytes), [""; 0], "{}", path.display());
        control_seen |= !found(control, &bytes).is_empty();
    }
    assert!(control_seen, "the scan would not find a text that is there");
}

#[test]
fn the_scan_finds_a_text_in_every_form() {
    let markers = [text_marker("name", "Somebody")];
    let long = STANDARD_NO_PAD.encode("xxSomebody else");
    for text in ["a Somebody b", "536F6D65626F6479", "S\0o\0m\0e\0b\0o\0d\0y\0", &long] {
        assert_eq!(found(&markers, text.as_bytes()), ["name"], "{text}");
    }
    assert_eq!(found(&markers, b"Some body"), [""; 0]);
}
