//! Requests as Shopify and a merchant's programs send them.
use aws_lc_rs::hmac;
use axum::{body::Body, http::Request};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

/// The shop's domain.
pub(crate) const SHOP: &str = "simulated.myshopify.com";
/// What webhooks are signed with.
pub(crate) const SECRET: &str = "simulated-secret";
/// The operator's token.
pub(crate) const OPERATOR: &str = "operator";

/// A request that may be sent any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Asked {
    /// A command with a key of its own.
    pub(crate) fn command(token: &str, path: &str, key: Uuid, body: &Value) -> Self {
        let headers = vec![
            ("authorization", format!("Bearer {token}")),
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", key.to_string()),
            ("x-request-id", key.to_string()),
        ];
        Self { path: path.to_owned(), headers, body: body.to_string() }
    }

    /// A signed delivery.
    pub(crate) fn webhook(topic: &str, id: Uuid, body: &Value) -> Self {
        let body = body.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-shopify-topic", topic.to_owned()),
            ("x-shopify-shop-domain", SHOP.to_owned()),
            ("x-shopify-webhook-id", id.to_string()),
            ("x-shopify-hmac-sha256", STANDARD.encode(hmac::sign(&key, body.as_bytes()))),
            ("x-request-id", id.to_string()),
        ];
        Self { path: format!("/v1/api/webhooks/{topic}"), headers, body }
    }

    pub(crate) fn request(&self) -> Request<Body> {
        let start = Request::post(&self.path);
        let request = self.headers.iter().fold(start, |request, (name, value)| request.header(*name, value));
        request.body(Body::from(self.body.clone())).unwrap()
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// A paid order of one line.
pub(crate) fn order(id: u64, buyer: u64, dollars: i64) -> Value {
    let amount = format!("{dollars}.00");
    json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/Order/{id}"),
        "created_at": "2026-03-01T10:00:00Z",
        "processed_at": "2026-03-01T10:00:00Z",
        "updated_at": "2026-03-01T10:00:00Z",
        "currency": "USD",
        "financial_status": "paid",
        "order_status_url": format!("https://{SHOP}/7001/orders/abc/authenticate?key=k"),
        "taxes_included": false,
        "test": false,
        "total_price": amount,
        "customer": { "id": buyer, "email": null, "verified_email": false },
        "line_items": [{ "id": 1, "product_id": 11, "gift_card": false, "price": amount, "quantity": 1 }],
        "shipping_lines": [],
        "refunds": []
    })
}

/// All of it back.
pub(crate) fn refund(id: u64, order: u64, dollars: i64) -> Value {
    let amount = json!({ "shop_money": { "amount": format!("{dollars}.00"), "currency_code": "USD" } });
    json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/Refund/{id}"),
        "order_id": order,
        "created_at": "2026-03-02T10:00:00Z",
        "processed_at": "2026-03-02T10:00:00Z",
        "refund_line_items": [{
            "quantity": 1,
            "subtotal": 0.0,
            "subtotal_set": amount,
            "total_tax": 0,
            "line_item": { "id": 1, "product_id": 11, "gift_card": false }
        }],
        "order_adjustments": [],
        "transactions": []
    })
}
