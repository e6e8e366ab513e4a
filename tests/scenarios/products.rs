//! The catalogue: products excluded by their tags, told before the order, and refunds that name no tags.
use serde_json::json;

use crate::{
    harness::{Shop, shared},
    shopify::{Order, deletion, fresh_id, line, order, person, product, refund},
};

async fn deliver(shop: &Shop, topic: &str, body: Vec<u8>) {
    let outcome = shop.delivered(topic, body).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None), "{topic}");
}

/// An order of one product for 20.00 and another one for 10.00.
fn order_of(tagged: u64, other: u64) -> Order {
    order().by(&person()).with(line(20_00, 1).product(tagged)).with(line(10_00, 1).product(other)).paid()
}

async fn shop_that_excludes_sale() -> Shop {
    let shop = Shop::open(shared()).await;
    shop.set(&json!({"earn": {"excluded_tags": ["Sale"]}})).await;
    shop
}

#[tokio::test]
async fn a_product_with_an_excluded_tag_earns_nothing_and_its_refund_takes_nothing() {
    let shop = shop_that_excludes_sale().await;
    let (tagged, other) = (fresh_id(), fresh_id());
    deliver(&shop, "products/create", product(tagged, "summer, sale", 1)).await;
    let order = order_of(tagged, other);
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    assert_eq!(shop.order(order.id).await.points_granted, 10);
    // The tag goes; what was sold under it stays as it was.
    deliver(&shop, "products/update", product(tagged, "", 2)).await;
    deliver(&shop, "refunds/create", refund(&order).whole(&order.lines[0]).body(&shop)).await;
    assert_eq!(shop.order(order.id).await.points_clawed_back, 0);
}

#[tokio::test]
async fn an_unknown_product_is_not_excluded_and_an_older_message_changes_no_tags() {
    let shop = shop_that_excludes_sale().await;
    let (tagged, other) = (fresh_id(), fresh_id());
    let unknown = order_of(tagged, other);
    deliver(&shop, "orders/paid", unknown.body(&shop)).await;
    assert_eq!(shop.order(unknown.id).await.points_granted, 30);
    deliver(&shop, "products/update", product(tagged, "new", 5)).await;
    deliver(&shop, "products/update", product(tagged, "sale", 4)).await;
    let known = order_of(tagged, other);
    deliver(&shop, "orders/paid", known.body(&shop)).await;
    assert_eq!(shop.order(known.id).await.points_granted, 30);
}

#[tokio::test]
async fn a_deleted_product_keeps_its_tags_for_orders_that_come_late() {
    let shop = shop_that_excludes_sale().await;
    let (tagged, other) = (fresh_id(), fresh_id());
    deliver(&shop, "products/create", product(tagged, "sale", 1)).await;
    deliver(&shop, "products/delete", deletion(tagged)).await;
    deliver(&shop, "products/update", product(tagged, "new", 2)).await;
    let order = order_of(tagged, other);
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    assert_eq!(shop.order(order.id).await.points_granted, 10);
}

#[tokio::test]
async fn a_product_told_to_one_shop_means_nothing_to_another() {
    let (shop, other_shop) = (shop_that_excludes_sale().await, shop_that_excludes_sale().await);
    let tagged = fresh_id();
    let body = product(tagged, "sale", 1);
    deliver(&other_shop, "products/create", body.clone()).await;
    let order = order_of(tagged, fresh_id());
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    assert_eq!(shop.order(order.id).await.points_granted, 30);
    // The same body under its true shop still counts, although it was seen elsewhere first.
    deliver(&shop, "products/create", body).await;
    let late = order_of(tagged, fresh_id());
    deliver(&shop, "orders/paid", late.body(&shop)).await;
    assert_eq!(shop.order(late.id).await.points_granted, 10);
}
