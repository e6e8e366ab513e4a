//! Bodies that say what happened instead of what is: edits, payments, merges, deletions; and products.
use serde_json::{Value, json};

use super::{Order, Person, at, bytes, decimal, fresh_id};
use crate::harness::Shop;

/// Body of `orders/edited`: bare differences.
pub(crate) fn edit(order: &Order) -> Vec<u8> {
    bytes(&json!({"order_edit": {
        "id": fresh_id(),
        "created_at": at(order.updated_min),
        "committed_at": at(order.updated_min),
        "order_id": order.id,
        "staff_note": "",
        "line_items": {"additions": [{"id": fresh_id(), "delta": 1}], "removals": []},
        "discounts": {"line_item": {"additions": [], "removals": []}},
        "shipping_lines": {"additions": [], "removals": []},
    }}))
}

/// Body of every topic that ends in `/delete`.
pub(crate) fn deletion(id: u64) -> Vec<u8> {
    bytes(&json!({"id": id}))
}

/// Body of `order_transactions/create`.
pub(crate) fn transaction(shop: &Shop, order: &Order, kind: &str, minor: i64, minute: i64) -> Vec<u8> {
    let id = fresh_id();
    bytes(&json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/OrderTransaction/{id}"),
        "order_id": order.id,
        "kind": kind,
        "gateway": "bogus",
        "status": "success",
        "created_at": at(minute),
        "processed_at": at(minute),
        "test": false,
        "amount": decimal(minor, shop.places),
        "currency": shop.currency,
    }))
}

/// Body of `customers/merge`.
pub(crate) fn merge(kept: &Person, gone: &Person, status: &str) -> Vec<u8> {
    bytes(&json!({
        "admin_graphql_api_customer_kept_id": format!("gid://shopify/Customer/{}", kept.id),
        "admin_graphql_api_customer_deleted_id": format!("gid://shopify/Customer/{}", gone.id),
        "admin_graphql_api_job_id": null,
        "status": status,
        "errors": [],
    }))
}

/// Body of `products/create` and `products/update`.
pub(crate) fn product(id: u64, tags: &str, minute: i64) -> Vec<u8> {
    bytes(&json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/Product/{id}"),
        "title": "Aviator sunglasses",
        "body_html": "<p>Dark</p>",
        "vendor": "Acme",
        "created_at": null,
        "updated_at": at(minute),
        "status": "active",
        "tags": tags,
        "variants": [],
    }))
}

/// Body of `shop/update` and `app/uninstalled`.
pub(crate) fn own_facts(shop: &Shop, timezone: &str, minute: i64) -> Vec<u8> {
    bytes(&json!({
        "id": shop.number,
        "name": "Super Toys",
        "email": "owner@example.com",
        "myshopify_domain": shop.domain,
        "currency": shop.currency,
        "iana_timezone": timezone,
        "updated_at": at(minute),
    }))
}

/// Body of `app_subscriptions/update`.
pub(crate) fn subscription(shop: &Shop, status: &str, minute: i64) -> Value {
    json!({"app_subscription": {
        "admin_graphql_api_id": "gid://shopify/AppSubscription/1029266952",
        "name": "Growth",
        "status": status,
        "admin_graphql_api_shop_id": format!("gid://shopify/Shop/{}", shop.number),
        "created_at": at(0),
        "updated_at": at(minute),
        "currency": "USD",
    }})
}
