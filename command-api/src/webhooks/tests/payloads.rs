//! Payloads in Shopify's shape.
use serde_json::{Value, json};

/// An order in the making; paid, of 20.00 and one line, with a status page at its shop.
#[derive(Clone)]
pub(super) struct OrderBody(pub(super) Value);

pub(super) fn order(shop: &str, id: u64) -> OrderBody {
    OrderBody(json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/Order/{id}"),
        "updated_at": "2026-03-01T10:00:00Z",
        "currency": "USD",
        "financial_status": "paid",
        "order_status_url": format!("https://{shop}/7001/orders/abc/authenticate?key=k"),
        "taxes_included": false,
        "test": false,
        "total_price": "20.00",
        "customer": null,
        "line_items": [{ "id": 1, "product_id": 11, "gift_card": false, "price": "20.00", "quantity": 1 }],
        "shipping_lines": [],
        "refunds": []
    }))
}

impl OrderBody {
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.0[name] = value;
        self
    }

    pub(super) fn of_customer(self, id: u64) -> Self {
        self.with("customer", json!({ "id": id, "email": null, "verified_email": false }))
    }

    pub(super) fn of_guest(self, email: &str) -> Self {
        self.with("email", json!(email))
    }

    pub(super) fn costing(self, amount: &str) -> Self {
        let line = json!({ "id": 1, "product_id": 11, "gift_card": false, "price": amount, "quantity": 1 });
        self.with("total_price", json!(amount)).with("line_items", json!([line]))
    }

    pub(super) fn updated(self, minute: u64) -> Self {
        let (hour, minute) = (10 + minute / 60, minute % 60);
        self.with("updated_at", json!(format!("2026-03-01T{hour:02}:{minute:02}:00Z")))
    }
}

pub(super) fn refund(id: u64, order: u64, amount: &str) -> Value {
    json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/Refund/{id}"),
        "order_id": order,
        "created_at": "2026-03-02T10:00:00Z",
        "processed_at": "2026-03-02T10:00:00Z",
        "refund_line_items": [{
            "quantity": 1,
            "subtotal": 0.0,
            "subtotal_set": { "shop_money": { "amount": amount, "currency_code": "USD" } },
            "total_tax": 0,
            "line_item": { "id": 1, "product_id": 11, "gift_card": false }
        }],
        "order_adjustments": [],
        "transactions": []
    })
}

pub(super) fn customer(id: u64, email: &str, verified: bool) -> Value {
    json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/Customer/{id}"),
        "updated_at": "2026-02-01T10:00:00Z",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": email,
        "verified_email": verified,
        "phone": "+44 20 7946 0000"
    })
}

pub(super) fn shop(domain: &str, id: u64, currency: &str, zone: &str) -> Value {
    json!({ "id": id, "name": "Demo", "myshopify_domain": domain, "currency": currency, "iana_timezone": zone })
}

/// Shopify merged one customer into the other.
pub(super) fn merge(kept: u64, gone: u64) -> Value {
    json!({
        "admin_graphql_api_customer_kept_id": format!("gid://shopify/Customer/{kept}"),
        "admin_graphql_api_customer_deleted_id": format!("gid://shopify/Customer/{gone}"),
        "status": "completed"
    })
}
