//! What a shop tells about itself, and what Shopify tells about a customer's account.
use serde_json::json;

use crate::{
    harness::{Shop, shared},
    shopify::{deletion, order, own_facts, person, subscription},
};

async fn deliver(shop: &Shop, topic: &str, body: Vec<u8>) {
    let outcome = shop.delivered(topic, body).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None), "{topic}");
}

#[tokio::test]
async fn a_shop_that_left_comes_back_to_its_points_and_settings() {
    let shop = Shop::open(shared()).await;
    shop.set(&json!({"earn": {"points_per_unit": "3"}})).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).paid();
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    deliver(&shop, "app/uninstalled", own_facts(&shop, "Europe/Berlin", 1)).await;

    let body = json!({"shop_domain": shop.domain, "currency": shop.currency, "timezone": "Europe/Berlin"});
    let back = shop.door.operator_post("/admin/merchants", &body).await.expect(201);
    assert_eq!(
        (&back["merchant_id"], &back["token"]),
        (&shop.merchant_id.as_str().into(), &shop.token.as_str().into())
    );
    shop.door.operator_post("/admin/merchants", &body).await.problem(409, "shop-exists");
    assert_eq!(shop.balance_of(ada.id).await.available, 60);
    assert_eq!(shop.get("/v1/api/core/settings").await.expect(200)["earn"]["points_per_unit"], "3");
}

#[tokio::test]
async fn topics_around_the_shop_and_a_persons_account_are_taken() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    for (topic, body) in [
        ("shop/update", own_facts(&shop, "America/New_York", 5)),
        ("shop/update", own_facts(&shop, "Asia/Tokyo", 4)),
        ("app_subscriptions/update", subscription(&shop, "ACTIVE", 5).to_string().into_bytes()),
        ("app_subscriptions/update", subscription(&shop, "PENDING", 4).to_string().into_bytes()),
        ("customers/create", ada.body()),
    ] {
        deliver(&shop, topic, body).await;
    }
    for (topic, minute, status) in [
        ("customers/disable", 5, "disabled"),
        ("customers/enable", 4, "disabled"),
        ("customers/enable", 6, "active"),
    ] {
        deliver(&shop, topic, ada.clone().updated(minute).body()).await;
        assert_eq!(shop.customer(ada.id).await["status"], status, "{topic} {minute}");
    }
}

#[tokio::test]
async fn a_deleted_profile_keeps_its_points() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).paid();
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    deliver(&shop, "customers/delete", deletion(ada.id)).await;
    assert_eq!(shop.customer(ada.id).await["status"], "deleted");
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
}
