//! People are forgotten, provably: from the request to the certificate, whatever happens meanwhile or afterwards.
mod canary;
mod held;
mod jobs;
mod kills;
mod protocol;
mod races;
mod restores;
mod time;
mod witness;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::personal_data::{markers_of, recognisable};
use crate::{
    harness::{Door, Marker, Markers, Server, Shop, run},
    shopify::{Order, Person, order, refund},
};

const REDACT: &str = "/v1/api/privacy/redact";
const EXPORT: &str = "/v1/api/privacy/export";

/// The longest from a request to its certificate, on a busy machine in a debug build.
const CERTIFIED_WITHIN: Duration = Duration::from_secs(90);

/// Somebody of whom the shop holds something in every place there is.
#[derive(Clone)]
struct Member {
    person: Person,
    customer: String,
    order: Order,
    /// What they own.
    points: i64,
}

impl Member {
    /// Buys, gets something back, is written about, and sends what cannot be worked off.
    async fn join(shop: &Shop, tag: &str) -> Self {
        let person = recognisable(tag);
        let bought = order()
            .by(&person)
            .line(50_00, 2)
            .paid()
            .note(&format!("OrderNote{tag}Zq7"), &format!("tok{tag}zq7"));
        let back = refund(&bought).part(&bought.lines[0], 1, 50_00, 0).note(&format!("RefundNote{tag}Zq7"));
        for (topic, body) in [
            ("customers/create", person.body()),
            ("orders/paid", bought.body(shop)),
            ("refunds/create", back.body(shop)),
        ] {
            shop.deliver(topic, body).await;
        }
        let mut unusable = order().by(&person).line(5_00, 1).paid().json(shop);
        unusable["line_items"][0]["quantity"] = json!(format!("Quantity{tag}Zq7"));
        shop.deliver("orders/paid", crate::shopify::bytes(&unusable)).await;
        shop.door.until_idle().await;
        let customer = shop.customer_id(person.id).await;
        shop.earn(&customer, 500, &format!("Source{tag}Zq7")).await.expect(200);
        let adjust = json!({
            "customer_id": customer, "points": 5, "reason_code": "goodwill",
            "public_note": format!("Public{tag}Zq7"), "internal_note": format!("Internal{tag}Zq7"),
        });
        shop.post_keyed("/v1/api/points/adjust", &format!("Key{tag}Zq7"), &adjust).await.expect(200);
        shop.door.until_idle().await;
        Self { person, customer, order: bought, points: 555 }
    }

    /// Everything that leads to them.
    fn markers(&self, tag: &str) -> Vec<Marker> {
        let mut markers = markers_of(tag, &self.person);
        markers.push(Marker::number(&format!("order id of {tag}"), self.order.id));
        for text in ["OrderNote", "RefundNote", "Quantity", "Source", "Public", "Internal", "Key"] {
            markers.push(Marker::text(&format!("{text} of {tag}"), &format!("{text}{tag}Zq7")));
        }
        markers.push(Marker::text(&format!("token of {tag}"), &format!("tok{tag}zq7")));
        markers
    }

    /// Every question whose answer could have something of them in it.
    async fn answers(&self, shop: &Shop) -> Vec<(String, String)> {
        let (customer, order) = (&self.customer, self.order.id);
        let mut answers = Vec::new();
        for path in [
            format!("/v1/api/users/get?customer_id={customer}"),
            format!("/v1/api/points/balance?customer_id={customer}"),
            format!("/v1/api/points/statement?customer_id={customer}"),
            format!("/v1/api/points/lots?customer_id={customer}"),
            format!("/v1/api/points/redemptions?customer_id={customer}"),
            format!("/v1/api/orders/{order}"),
            "/v1/api/orders".to_owned(),
            "/v1/api/webhooks/dead-letters".to_owned(),
            "/v1/api/privacy/requests".to_owned(),
        ] {
            answers.push((path.clone(), shop.get(&path).await.text));
        }
        for path in ["/admin/logs", "/admin/queues", "/metrics", "/healthz"] {
            answers.push((path.to_owned(), shop.door.operator_get(path).await.text));
        }
        answers
    }

    /// What is wrong with how the shop has forgotten them.
    async fn remembered(&self, shop: &Shop, tag: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let markers = Markers::new(&self.markers(tag));
        for (path, text) in self.answers(shop).await {
            // A path may be repeated in an answer, and ours hold the order's id.
            let text = text.replace(&format!("/v1/api/orders/{}", self.order.id), "");
            let found = markers.found(text.as_bytes());
            if !found.is_empty() {
                wrong.push(format!("{path} tells {found:?}: {text}"));
            }
        }
        let id = self.person.id.to_string();
        for by in [("email", self.person.email.as_str()), ("shopify_customer_id", &id)] {
            let status = shop.ask("/v1/api/users/get", &[by]).await.status;
            if status != 404 {
                wrong.push(format!("users/get by {} is answered with {status}", by.0));
            }
        }
        let user = shop.ask("/v1/api/users/get", &[("customer_id", &self.customer)]).await;
        if user.status != 200 || user.json()["status"] != "redacted" {
            wrong.push(format!("users/get by our id: {}", user.text));
        }
        let balance = shop.balance(&self.customer).await;
        if balance.available != self.points {
            wrong.push(format!("{} points are now {}", self.points, balance.available));
        }
        let mut earned = shop.earn(&self.customer, 1, "after").await;
        let deadline = Instant::now() + CERTIFIED_WITHIN;
        // Their partition may be changing hands.
        while earned.status == 503 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            earned = shop.earn(&self.customer, 1, "after").await;
        }
        if earned.status != 409 || earned.json()["code"] != "account-redacted" {
            wrong.push(format!("a command for them: {}", earned.text));
        }
        wrong
    }

    /// Shopify tells of them again; that must change nothing.
    async fn comes_late(&self, shop: &Shop) {
        for (topic, body) in [
            ("orders/updated", self.order.clone().body(shop)),
            ("customers/update", self.person.clone().updated(90).body()),
            ("orders/paid", order().by(&self.person).line(70_00, 1).paid().body(shop)),
        ] {
            let outcome = shop.delivered(topic, body).await;
            assert_eq!(outcome.status, "processed", "{topic}: {outcome:?}");
        }
    }
}

/// Asks for an erasure as a merchant's program does, and gives the request's id.
async fn asked(shop: &Shop, person: &Value) -> String {
    let answer = shop.post(REDACT, person).await;
    assert!(matches!(answer.status, 200..=202), "{}", answer.text);
    answer.json()["request_id"].as_str().unwrap().to_owned()
}

/// Waits for the certificate, and gives the request.
async fn certified(shop: &Shop, id: &str) -> Value {
    let deadline = Instant::now() + CERTIFIED_WITHIN;
    loop {
        let request = shop.get(&format!("/v1/api/privacy/requests/{id}")).await;
        if request.status == 200 && request.json()["certificate"].is_object() {
            return request.json();
        }
        assert!(Instant::now() < deadline, "not certified within {CERTIFIED_WITHIN:?}: {}", request.text);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Waits until the certificate is the final one.
async fn finalized(shop: &Shop, id: &str) -> Value {
    let deadline = Instant::now() + CERTIFIED_WITHIN;
    loop {
        let request = shop.get(&format!("/v1/api/privacy/requests/{id}")).await.expect(200);
        if request["certificate"]["level"] == "final" {
            return request;
        }
        assert!(Instant::now() < deadline, "not final within {CERTIFIED_WITHIN:?}: {request}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// How far the clock of a server was moved.
#[derive(Default)]
struct Ahead(i64);

impl Ahead {
    /// So many hours further on; the time that it is to show.
    fn on_by(&mut self, hours: i64) -> String {
        self.0 += hours;
        let then = chrono::Utc::now() + chrono::TimeDelta::hours(self.0);
        then.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// The call that moves the clock.
fn clock(door: &Door, now: &str) -> reqwest::RequestBuilder {
    let move_it = door.request(reqwest::Method::POST, "/admin/clock");
    move_it.bearer_auth(&door.operator_token).json(&json!({ "now": now }))
}

/// Has them erased and waits for the certificate.
async fn erased(shop: &Shop, customer: &str) -> Value {
    let id = asked(shop, &json!({"customer_id": customer})).await;
    certified(shop, &id).await
}

/// The certificate of a request, which must be genuine by the key that the server publishes, and what it states.
async fn statement(server: &Server, shop: &Shop, id: &str) -> Value {
    let text = shop.get(&format!("/v1/api/privacy/requests/{id}/certificate")).await;
    assert_eq!(text.status, 200, "{}", text.text);
    let key = shop.door.get("/certificate-key").await.expect(200);
    let key = key["public_key"].as_str().unwrap();
    let file = server.folder.root().join("certificate.json");
    std::fs::write(&file, &text.text).unwrap();
    let arguments = ["privacy", "certificate", "verify", "certificate.json", "--key", key, "--json"];
    let output = run(&server.folder, &arguments, &[]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &said["genuine"]), (Some(0), &Value::Bool(true)), "{said}");
    said["statement"].clone()
}
