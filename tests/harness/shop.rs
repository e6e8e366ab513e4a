//! One shop at a server: every call of the contract that a merchant's own programs make.
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Method, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Door, Outcome, Server, Webhook, door::answer};

/// A shop with its token.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) door: Door,
    pub(crate) domain: String,
    /// Shopify's number of the shop.
    pub(crate) number: u64,
    pub(crate) merchant_id: String,
    pub(crate) token: String,
    pub(crate) currency: &'static str,
    /// Decimal places of the currency.
    pub(crate) places: usize,
}

/// The buckets of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Balance {
    pub(crate) available: i64,
    pub(crate) pending: i64,
    pub(crate) reserved: i64,
    pub(crate) debt: i64,
    pub(crate) lifetime_earned: i64,
    pub(crate) lifetime_redeemed: i64,
    pub(crate) lifetime_expired: i64,
    pub(crate) lifetime_clawed_back: i64,
    pub(crate) lifetime_adjusted: i64,
    pub(crate) lifetime_voided: i64,
    pub(crate) lifetime_transferred: i64,
}

impl Balance {
    /// What the account is worth: what can be spent, less what is owed.
    pub(crate) const fn net(&self) -> i64 {
        self.available + self.pending + self.reserved - self.debt
    }

    /// The buckets agree with the lifetime sums, and nobody owes points while they have some.
    #[track_caller]
    pub(crate) fn check(&self) {
        let lifetime = self.lifetime_earned
            - self.lifetime_redeemed
            - self.lifetime_expired
            - self.lifetime_clawed_back
            - self.lifetime_voided
            + self.lifetime_adjusted
            + self.lifetime_transferred;
        assert_eq!(lifetime, self.net(), "{self:?}");
        assert!(self.available == 0 || self.debt == 0, "{self:?}");
        assert!(self.available >= 0 && self.reserved >= 0 && self.debt >= 0, "{self:?}");
    }
}

/// One row of a statement.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) entry_id: String,
    pub(crate) r#type: String,
    pub(crate) points: i64,
    pub(crate) available_after: i64,
    pub(crate) occurred_at: String,
    pub(crate) recorded_at: String,
    pub(crate) source: Value,
    pub(crate) why: String,
}

/// An order as the merchant sees it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OrderView {
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) eligible_amount: Value,
    pub(crate) points_granted: i64,
    pub(crate) points_clawed_back: i64,
}

impl OrderView {
    /// Status and reason in one text, such as `waiting guest`.
    pub(crate) fn standing(&self) -> String {
        format!("{} {}", self.status, self.reason.as_deref().unwrap_or_default()).trim_end().to_owned()
    }
}

/// A number no other call gets: for domains and shop numbers.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Shop {
    /// A new shop in US dollars.
    pub(crate) async fn open(server: &Server) -> Self {
        Self::open_in(server, "USD").await
    }

    /// A new shop in this currency.
    pub(crate) async fn open_in(server: &Server, currency: &'static str) -> Self {
        let made = Self::ask_in(server, currency).await;
        made.unwrap_or_else(|refused| panic!("no shop: {} {}", refused.status, refused.text))
    }

    /// The same, unless the server cannot take one in just now.
    pub(crate) async fn ask_in(server: &Server, currency: &'static str) -> Result<Self, Answer> {
        let (door, number) = (Door::of(server), next_number());
        let domain = format!("shop-{number}.myshopify.com");
        let body = json!({"shop_domain": domain, "currency": currency, "timezone": "Europe/Berlin"});
        let answer = door.operator_post("/admin/merchants", &body).await;
        if answer.status == 503 {
            return Err(answer);
        }
        let made = answer.expect(201);
        assert_eq!(made["shop_domain"], domain.as_str(), "{made}");
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        let (merchant_id, token) = (text("merchant_id"), text("token"));
        let places = match currency {
            "JPY" => 0,
            "KWD" => 3,
            _ => 2,
        };
        Ok(Self { door, domain, number: 548_380_000 + number, merchant_id, token, currency, places })
    }

    /// The same shop, seen by another process on the same data or by another test task.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self { door: Door::of(server), ..self.clone() }
    }

    /// Processing fast enough that only the machine limits it.
    pub(crate) async fn unthrottled(self) -> Self {
        self.set(&json!({"processing": {"per_second": 1_000_000, "burst": 1_000_000}})).await;
        self
    }

    // ── calls ────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.door.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// `path` with these parameters, whatever characters they hold.
    pub(crate) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let url = Url::parse_with_params(&format!("{}{path}", self.door.url), parameters).unwrap();
        answer(self.door.http.get(url).bearer_auth(&self.token)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// The records of a request are found by its key, if that is a UUID.
    pub(crate) fn keyed(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        let request = self.request(Method::POST, path).header("Idempotency-Key", key);
        request.header("x-request-id", key).json(body)
    }

    pub(crate) async fn post_keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        answer(self.keyed(path, key, body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PUT, path).json(body)).await
    }

    /// Changes settings; missing parts keep their value.
    pub(crate) async fn set(&self, patch: &Value) -> Value {
        self.put("/v1/api/core/settings", patch).await.expect(200)
    }

    // ── deliveries ───────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn webhook(&self, topic: &str, body: impl Into<Vec<u8>>) -> Webhook {
        Webhook::new(&self.door.webhook_secret, &self.domain, topic, body)
    }

    /// Delivers, which must be accepted, and gives the webhook id.
    pub(crate) async fn deliver(&self, topic: &str, body: impl Into<Vec<u8>>) -> String {
        let webhook = self.webhook(topic, body);
        self.accept(&webhook).await;
        webhook.id
    }

    /// Sends a delivery, which must be accepted.
    pub(crate) async fn accept(&self, webhook: &Webhook) {
        let accepted = webhook.send(&self.door).await;
        assert_eq!(accepted.expect(200)["status"], "accepted", "{}", accepted.text);
    }

    /// Delivers and waits until everything is worked off.
    pub(crate) async fn delivered(&self, topic: &str, body: impl Into<Vec<u8>>) -> Outcome {
        let id = self.deliver(topic, body).await;
        self.door.until_idle().await;
        self.outcome(&id).await
    }

    /// What became of a delivery.
    pub(crate) async fn outcome(&self, webhook_id: &str) -> Outcome {
        let answer = self.get(&format!("/v1/api/webhooks/deliveries/{webhook_id}")).await;
        serde_json::from_value(answer.expect(200)).unwrap()
    }

    // ── customers and points ─────────────────────────────────────────────────────────────────────────────────

    pub(crate) async fn customer(&self, shopify_customer_id: u64) -> Value {
        let path = format!("/v1/api/users/get?shopify_customer_id={shopify_customer_id}");
        self.get(&path).await.expect(200)
    }

    /// Our id of a customer.
    pub(crate) async fn customer_id(&self, shopify_customer_id: u64) -> String {
        self.customer(shopify_customer_id).await["customer_id"].as_str().unwrap().to_owned()
    }

    /// Registers somebody over the API and gives our id.
    pub(crate) async fn enrol(&self) -> String {
        let email = format!("member-{}@example.com", next_number());
        let made = self.post("/v1/api/users/create", &json!({"email": email})).await.expect(201);
        made["customer_id"].as_str().unwrap().to_owned()
    }

    /// Registers somebody with this many points.
    pub(crate) async fn enrol_with(&self, points: i64) -> String {
        let customer = self.enrol().await;
        self.earn(&customer, points, "opening").await.expect(200);
        customer
    }

    pub(crate) async fn earn(&self, customer: &str, points: i64, source: &str) -> Answer {
        let body =
            json!({"customer_id": customer, "points": points, "reason": "goodwill", "source_id": source});
        self.post("/v1/api/points/earn", &body).await
    }

    pub(crate) async fn adjust(&self, customer: &str, points: i64) -> Answer {
        let body = json!({"customer_id": customer, "points": points, "reason_code": "correction"});
        self.post("/v1/api/points/adjust", &body).await
    }

    pub(crate) async fn redeem(&self, customer: &str, points: i64) -> Answer {
        self.post("/v1/api/points/redeem", &json!({"customer_id": customer, "points": points})).await
    }

    pub(crate) async fn cancel(&self, redemption_id: &str) -> Answer {
        self.post(&format!("/v1/api/points/redemptions/{redemption_id}/cancel"), &json!({})).await
    }

    pub(crate) async fn balance_with(&self, customer: &str, more: &[(&str, &str)]) -> Answer {
        let parameters = [&[("customer_id", customer)], more].concat();
        self.ask("/v1/api/points/balance", &parameters).await
    }

    /// The balance, which must be consistent in itself.
    pub(crate) async fn balance(&self, customer: &str) -> Balance {
        let balance: Balance =
            serde_json::from_value(self.balance_with(customer, &[]).await.expect(200)).unwrap();
        balance.check();
        balance
    }

    /// The balance of Shopify's customer.
    pub(crate) async fn balance_of(&self, shopify_customer_id: u64) -> Balance {
        self.balance(&self.customer_id(shopify_customer_id).await).await
    }

    /// The whole statement, newest first, read page by page; it must add up to the balance.
    pub(crate) async fn statement(&self, customer: &str) -> Vec<Entry> {
        let (mut entries, mut cursor) = (Vec::<Entry>::new(), None::<String>);
        loop {
            let mut parameters = vec![("customer_id", customer), ("limit", "50")];
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.ask("/v1/api/points/statement", &parameters).await.expect(200);
            entries.extend(serde_json::from_value::<Vec<Entry>>(page["items"].clone()).unwrap());
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        let balance = self.balance(customer).await;
        let sum: i64 = entries.iter().map(|entry| entry.points).sum();
        assert_eq!(sum, balance.available + balance.reserved - balance.debt, "{entries:#?} {balance:?}");
        let newest = entries.first().map_or(0, |entry| entry.available_after);
        assert_eq!(newest, balance.available, "{entries:#?}");
        entries
    }

    pub(crate) async fn order(&self, shopify_order_id: u64) -> OrderView {
        serde_json::from_value(self.get(&format!("/v1/api/orders/{shopify_order_id}")).await.expect(200))
            .unwrap()
    }

    /// `waiting guest`, `qualified` and so on.
    pub(crate) async fn standing(&self, shopify_order_id: u64) -> String {
        self.order(shopify_order_id).await.standing()
    }
}
