//! The topics beside an order's own states: edits, payments, deletions, tips, store credit.
use serde_json::json;

use crate::{
    harness::{Shop, shared},
    shopify::{deletion, edit, line, order, person, refund, transaction},
};

async fn deliver(shop: &Shop, topic: &str, body: Vec<u8>) {
    let outcome = shop.delivered(topic, body).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None), "{topic}");
}

#[tokio::test]
async fn an_edit_changes_nothing_until_the_orders_new_state_is_told() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).paid();
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    let outcome = shop.delivered("orders/edited", edit(&order)).await;
    assert_eq!(
        (outcome.status.as_str(), outcome.reason.as_deref()),
        ("processed", Some("order-state-follows"))
    );
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
    let edited = order.clone().edited([order.lines[0].clone(), line(5_00, 1)]).at(5);
    deliver(&shop, "orders/updated", edited.body(&shop)).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 25);
}

#[tokio::test]
async fn a_deleted_order_is_as_cancelled_whichever_comes_first() {
    for deletion_first in [false, true] {
        let shop = Shop::open(shared()).await;
        let ada = person();
        let order = order().by(&ada).line(20_00, 1).paid();
        if deletion_first {
            deliver(&shop, "orders/delete", deletion(order.id)).await;
        }
        deliver(&shop, "orders/paid", order.body(&shop)).await;
        if !deletion_first {
            assert_eq!(shop.balance_of(ada.id).await.available, 20);
            deliver(&shop, "orders/delete", deletion(order.id)).await;
        }
        assert_eq!(shop.standing(order.id).await, "cancelled deleted");
        assert_eq!(shop.balance_of(ada.id).await.net(), 0);
    }
}

#[tokio::test]
async fn payments_that_cover_the_order_qualify_it_and_its_paid_state_adds_nothing() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).at(10);
    deliver(&shop, "orders/create", order.body(&shop)).await;
    deliver(&shop, "order_transactions/create", transaction(&shop, &order, "capture", 15_00, 11)).await;
    assert_eq!(shop.standing(order.id).await, "waiting unpaid");
    deliver(&shop, "order_transactions/create", transaction(&shop, &order, "capture", 5_00, 12)).await;
    assert_eq!(shop.standing(order.id).await, "qualified");
    deliver(&shop, "orders/paid", order.paid().at(13).body(&shop)).await;
    let balance = shop.balance_of(ada.id).await;
    assert_eq!((balance.available, balance.lifetime_earned), (20, 20));
}

#[tokio::test]
async fn a_transaction_that_moved_nothing_to_the_shop_changes_nothing() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).paid();
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    for kind in ["authorization", "refund"] {
        let body = transaction(&shop, &order, kind, 20_00, 5);
        let outcome = shop.delivered("order_transactions/create", body).await;
        assert_eq!(outcome.reason.as_deref(), Some("transaction-without-effect"), "{kind}");
    }
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
}

#[tokio::test]
async fn a_voided_authorisation_voids_an_order_that_nobody_paid() {
    let shop = Shop::open(shared()).await;
    let order = order().by(&person()).line(20_00, 1).at(10);
    deliver(&shop, "orders/create", order.body(&shop)).await;
    deliver(&shop, "order_transactions/create", transaction(&shop, &order, "void", 20_00, 11)).await;
    assert_eq!(shop.standing(order.id).await, "disqualified voided");
}

#[tokio::test]
async fn tips_and_gift_cards_earn_if_the_settings_say_so() {
    for (include, points) in [(false, 20), (true, 73)] {
        let shop = Shop::open(shared()).await;
        shop.set(&json!({"earn": {"include_tips": include, "include_gift_cards": include}})).await;
        let ada = person();
        let order =
            order().by(&ada).line(20_00, 1).with(line(3_00, 1).tip()).with(line(50_00, 1).gift_card()).paid();
        deliver(&shop, "orders/paid", order.body(&shop)).await;
        assert_eq!(shop.balance_of(ada.id).await.available, points);
        deliver(&shop, "refunds/create", refund(&order).whole(&order.lines[1]).body(&shop)).await;
        assert_eq!(shop.balance_of(ada.id).await.available, if include { 70 } else { 20 });
    }
}

#[tokio::test]
async fn a_refund_as_store_credit_follows_the_policy() {
    for (policy, left) in [("claw_back", 0), ("keep", 20)] {
        let shop = Shop::open(shared()).await;
        shop.set(&json!({"refund": {"store_credit": policy}})).await;
        let ada = person();
        let order = order().by(&ada).line(20_00, 1).paid();
        deliver(&shop, "orders/paid", order.body(&shop)).await;
        let mut refund = refund(&order).whole(&order.lines[0]).json(&shop);
        refund["transactions"] = json!([{"kind": "refund", "status": "success", "gateway": "shopify_store_credit", "amount": "20.00"}]);
        deliver(&shop, "refunds/create", refund.to_string().into_bytes()).await;
        assert_eq!(shop.balance_of(ada.id).await.available, left, "{policy}");
    }
}

#[tokio::test]
async fn a_refund_of_what_an_order_once_cost_is_taken_when_that_is_told_late() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let dear = order().by(&ada).line(20_00, 2).paid().at(5);
    let cheaper = dear.clone().edited([line(20_00, 1)]).at(10);
    deliver(&shop, "orders/updated", cheaper.body(&shop)).await;
    deliver(&shop, "orders/paid", dear.body(&shop)).await;
    deliver(&shop, "refunds/create", refund(&dear).whole(&dear.lines[0]).body(&shop)).await;
    assert_eq!(shop.standing(dear.id).await, "refunded");
}
