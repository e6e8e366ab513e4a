//! Bonuses: points beside the purchase's own, in entries of their own that name their rule, and taken back by themselves.
use serde_json::{Value, json};

use crate::{
    harness::{Shop, shared},
    shopify::{Order, at, fresh_id, line, order, person, product, refund},
};

async fn shop_with(bonus: Value) -> Shop {
    let shop = Shop::open(shared()).await;
    shop.set(&json!({"earn": {"bonuses": [bonus]}})).await;
    shop
}

async fn deliver(shop: &Shop, topic: &str, body: Vec<u8>) {
    let outcome = shop.delivered(topic, body).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None), "{topic}");
}

async fn granted(shop: &Shop, order: &Order) -> i64 {
    deliver(shop, "orders/paid", order.body(shop)).await;
    shop.order(order.id).await.points_granted
}

#[tokio::test]
async fn a_bonus_is_an_entry_of_its_own_that_names_its_rule() {
    let shop = shop_with(json!({"id": "double-week", "multiplier": "2"})).await;
    let ada = person();
    let order = order().by(&ada).line(25_50, 1).paid();
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    let id = shop.customer_id(ada.id).await;
    let entries = shop.statement(&id).await;
    let mut points: Vec<_> = entries.iter().map(|entry| entry.points).collect();
    points.sort_unstable();
    assert_eq!(points, [25, 25]);
    assert_eq!(entries.iter().filter(|entry| entry.why.contains("double-week")).count(), 1, "{entries:#?}");
}

#[tokio::test]
async fn a_bonus_of_some_products_is_taken_back_with_them_alone() {
    let (bonus_product, other) = (fresh_id(), fresh_id());
    let shop =
        shop_with(json!({"id": "triple", "multiplier": "3", "product_ids": [bonus_product.to_string()]}))
            .await;
    let order = order()
        .by(&person())
        .with(line(10_00, 1).product(bonus_product))
        .with(line(20_00, 1).product(other))
        .paid();
    // 30 for the purchase, 20 for the bonus.
    assert_eq!(granted(&shop, &order).await, 50);
    deliver(&shop, "refunds/create", refund(&order).whole(&order.lines[1]).body(&shop)).await;
    assert_eq!(shop.order(order.id).await.points_clawed_back, 20);
    deliver(&shop, "refunds/create", refund(&order).whole(&order.lines[0]).body(&shop)).await;
    assert_eq!(shop.order(order.id).await.points_clawed_back, 50);
}

#[tokio::test]
async fn a_bonus_of_a_tag_looks_the_tag_up() {
    let shop = shop_with(json!({"id": "new-in", "multiplier": "1.5", "tags": ["new"]})).await;
    let tagged = fresh_id();
    deliver(&shop, "products/create", product(tagged, "New", 1)).await;
    let order = order()
        .by(&person())
        .with(line(10_00, 1).product(tagged))
        .with(line(20_00, 1).product(fresh_id()))
        .paid();
    assert_eq!(granted(&shop, &order).await, 35);
}

#[tokio::test]
async fn a_bonus_holds_for_orders_that_are_placed_in_its_time() {
    let shop =
        shop_with(json!({"id": "night", "multiplier": "2", "starts_at": at(100), "ends_at": at(200)})).await;
    for (minute, points) in [(99, 10), (100, 20), (199, 20), (200, 10)] {
        let order = order().by(&person()).line(10_00, 1).paid().placed(minute);
        // It is told much later: what counts is when it was placed.
        assert_eq!(granted(&shop, &order.at(500)).await, points, "{minute}");
    }
}
