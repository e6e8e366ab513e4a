//! Signed webhooks of 5 KiB as Shopify sends them, made before the clock runs.
use command_api::webhooks::Secrets;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http;

/// Length of every order's body, in bytes.
pub(crate) const BODY_LEN: usize = 5 * 1024;
/// Shopify's ids begin here.
const FIRST_CUSTOMER: u64 = 7_200_000_000_000;
const FIRST_ORDER: u64 = 5_100_000_000_000;
/// Of every body.
const AT: &str = "2026-02-03T10:30:00Z";

/// Signs for one shop.
pub(crate) struct Shopify {
    secrets: Secrets,
    shop_domain: String,
}

impl Shopify {
    /// With the secret of a server.
    pub(crate) fn new(webhook_secret: &str, shop_domain: &str) -> Self {
        Self { secrets: Secrets::new(webhook_secret, None), shop_domain: shop_domain.to_owned() }
    }

    /// A paid order of a customer.
    pub(crate) fn order(&self, number: u64, customer: u64) -> anyhow::Result<Vec<u8>> {
        let mut order = order(number, customer, &self.shop_domain);
        let missing = BODY_LEN.saturating_sub(serde_json::to_vec(&order)?.len());
        order["note"] = json!(filler(number, missing));
        self.signed("orders/paid", &order)
    }

    /// A new customer.
    pub(crate) fn customer(&self, number: u64) -> anyhow::Result<Vec<u8>> {
        self.signed("customers/create", &customer(number))
    }

    fn signed(&self, topic: &str, body: &Value) -> anyhow::Result<Vec<u8>> {
        let body = serde_json::to_vec(body)?;
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Shopify-Topic", topic),
            ("X-Shopify-Shop-Domain", &self.shop_domain),
            ("X-Shopify-Hmac-Sha256", &self.secrets.sign(&body)),
            ("X-Shopify-Webhook-Id", &Uuid::new_v4().to_string()),
        ];
        Ok(http::request("POST", &format!("/v1/api/webhooks/{topic}"), &headers, &body))
    }
}

/// Text that repeats its names and not its values, as the fields that we do not read do: it is compressed like them.
fn filler(number: u64, length: usize) -> String {
    let mut text = String::with_capacity(length + 100);
    for at in 0.. {
        if text.len() >= length {
            break;
        }
        let value = number.wrapping_mul(1_000).wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.push_str(&format!("variant_id:{value}, fulfillment_status:null, grams:{}, ", value % 9_973));
    }
    text.truncate(length);
    text
}

/// Shopify's id of a customer.
pub(crate) const fn customer_id(number: u64) -> u64 {
    FIRST_CUSTOMER + number
}

fn customer(number: u64) -> Value {
    json!({
        "id": customer_id(number),
        "admin_graphql_api_id": format!("gid://shopify/Customer/{}", customer_id(number)),
        "email": format!("c{number}@example.com"),
        "first_name": "Ada",
        "last_name": format!("Quist {number}"),
        "phone": format!("+4915{:08}", number % 100_000_000),
        "verified_email": true,
        "state": "disabled",
        "created_at": AT,
        "updated_at": AT,
        "default_address": address(number),
    })
}

fn address(number: u64) -> Value {
    json!({"first_name": "Ada", "address1": format!("{number} Harbour Street"), "city": "Kiel", "zip": "24103", "country": "Germany"})
}

fn order(number: u64, buyer: u64, shop_domain: &str) -> Value {
    let id = FIRST_ORDER + number;
    json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/Order/{id}"),
        "order_status_url": format!("https://{shop_domain}/60000001/orders/{id}/authenticate?key=k"),
        "name": format!("#{number}"),
        "note": "",
        "email": format!("c{buyer}@example.com"),
        "currency": "USD",
        "presentment_currency": "USD",
        "financial_status": "paid",
        "test": false,
        "cancelled_at": null,
        "taxes_included": false,
        "created_at": AT,
        "updated_at": AT,
        "processed_at": AT,
        "subtotal_price": "54.00",
        "total_tax": "0.00",
        "total_price": "54.00",
        "customer": customer(buyer),
        "billing_address": address(buyer),
        "shipping_address": address(buyer),
        "line_items": [line(id, 0), line(id, 1), line(id, 2)],
        "shipping_lines": [],
        "refunds": [],
    })
}

fn line(order: u64, place: u64) -> Value {
    let money = json!({"shop_money": {"amount": "18.00", "currency_code": "USD"}, "presentment_money": {"amount": "18.00", "currency_code": "USD"}});
    json!({
        "id": order * 10 + place,
        "product_id": 632_910_392 + place,
        "variant_id": 39_072_856 + place,
        "title": "Aviator sunglasses",
        "name": "Aviator sunglasses",
        "sku": "SKU2006-001",
        "price": "18.00",
        "price_set": money,
        "quantity": 1,
        "current_quantity": 1,
        "gift_card": false,
        "taxable": true,
        "properties": [],
        "total_discount": "0.00",
        "discount_allocations": [],
        "tax_lines": [],
    })
}
