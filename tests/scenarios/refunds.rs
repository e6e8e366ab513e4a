//! Refunds take back the cumulative difference, once each, in whatever order they arrive.
use crate::{
    harness::{Shop, shared},
    shopify::{Order, Refund, line, order, person, refund},
};

async fn observe(shop: &Shop, order: &Order) {
    assert_eq!(shop.delivered("orders/updated", order.body(shop)).await.status, "processed");
}

async fn refunded(shop: &Shop, refund: &Refund) {
    let outcome = shop.delivered("refunds/create", refund.body(shop)).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None));
}

#[tokio::test]
async fn refunds_claw_back_the_cumulative_difference_without_drift() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(3_33, 3).paid();
    observe(&shop, &order).await;
    let id = shop.customer_id(ada.id).await;
    assert_eq!(shop.balance(&id).await.available, 9);
    for (left, standing) in [(6, "qualified"), (3, "qualified"), (0, "refunded")] {
        refunded(&shop, &refund(&order).part(&order.lines[0], 1, 3_33, 0)).await;
        assert_eq!(shop.balance(&id).await.available, left);
        assert_eq!(shop.standing(order.id).await, standing);
    }
    let seen = shop.order(order.id).await;
    assert_eq!((seen.points_granted, seen.points_clawed_back), (9, 9));
    assert_eq!(shop.statement(&id).await.len(), 4);
}

#[tokio::test]
async fn a_refund_of_shipping_alone_takes_nothing() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).shipping(4_90, 0).paid();
    observe(&shop, &order).await;
    refunded(&shop, &refund(&order).shipping(4_90, 0)).await;
    let balance = shop.balance_of(ada.id).await;
    assert_eq!((balance.available, balance.lifetime_clawed_back), (20, 0));
}

#[tokio::test]
async fn a_refund_of_a_line_that_never_earned_takes_nothing() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).with(line(50_00, 1).gift_card()).paid();
    observe(&shop, &order).await;
    refunded(&shop, &refund(&order).whole(&order.lines[1])).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
}

#[tokio::test]
async fn a_refund_that_arrives_before_its_order_counts_when_the_order_comes() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 2).paid();
    refunded(&shop, &refund(&order).part(&order.lines[0], 1, 20_00, 0)).await;
    assert!(shop.standing(order.id).await.starts_with("waiting"));
    observe(&shop, &order).await;
    let balance = shop.balance_of(ada.id).await;
    assert_eq!((balance.available, balance.net()), (20, 20));
    assert_eq!(shop.standing(order.id).await, "qualified");
}

#[tokio::test]
async fn an_order_first_seen_as_refunded_counts_as_paid_before() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = || order().by(&ada).line(20_00, 2);
    let part = order().status("partially_refunded").at(60);
    let part = part.clone().refunded_by(&refund(&part).part(&part.lines[0], 1, 20_00, 0));
    observe(&shop, &part).await;
    assert_eq!(shop.standing(part.id).await, "qualified");
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
    let whole = order().status("refunded").at(60);
    let whole = whole.clone().refunded_by(&refund(&whole).whole(&whole.lines[0]));
    observe(&shop, &whole).await;
    assert_eq!(shop.standing(whole.id).await, "refunded");
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
}

#[tokio::test]
async fn an_embedded_refund_and_its_own_delivery_count_once() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let paid = order().by(&ada).with(line(20_00, 2).left(1)).paid();
    let back = refund(&paid).part(&paid.lines[0], 1, 20_00, 0);
    let newer = paid.clone().at(60).status("partially_refunded").refunded_by(&back);
    observe(&shop, &paid).await;
    refunded(&shop, &back).await;
    observe(&shop, &newer).await;
    refunded(&shop, &back.note("The same, in other words")).await;
    let balance = shop.balance_of(ada.id).await;
    assert_eq!((balance.available, balance.lifetime_clawed_back), (20, 20));
}

#[tokio::test]
async fn a_refund_embedded_in_an_older_version_still_counts() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let paid = order().by(&ada).line(20_00, 2).paid();
    let back = refund(&paid).part(&paid.lines[0], 1, 20_00, 0);
    observe(&shop, &paid.clone().at(90)).await;
    observe(&shop, &paid.at(60).refunded_by(&back)).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
}

#[tokio::test]
async fn refunds_above_what_an_order_earned_take_all_of_it_and_no_more() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).paid();
    observe(&shop, &order).await;
    refunded(&shop, &refund(&order).part(&order.lines[0], 1, 12_00, 0)).await;
    refunded(&shop, &refund(&order).part(&order.lines[0], 1, 8_01, 0)).await;
    let balance = shop.balance_of(ada.id).await;
    assert_eq!((balance.net(), balance.lifetime_clawed_back), (0, 20));
    assert_eq!(shop.standing(order.id).await, "refunded");
    observe(&shop, &order.at(60).line(5_00, 1)).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 4);
}

/// Seen to fail when only lines took points back.
#[tokio::test]
async fn a_refund_by_amount_takes_back_what_the_money_earned() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 2).shipping(4_90, 0).paid();
    observe(&shop, &order).await;
    refunded(&shop, &refund(&order).beyond(5_00)).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 35);
    assert_eq!(shop.standing(order.id).await, "qualified");
    refunded(&shop, &refund(&order).part(&order.lines[0], 1, 20_00, 0)).await;
    refunded(&shop, &refund(&order).beyond(19_90)).await;
    let balance = shop.balance_of(ada.id).await;
    assert_eq!((balance.net(), balance.lifetime_clawed_back), (0, 40));
    assert_eq!(shop.standing(order.id).await, "refunded");
}

#[tokio::test]
async fn goods_that_come_back_before_their_money_take_their_points_once() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 2).paid();
    observe(&shop, &order).await;
    refunded(&shop, &refund(&order).part(&order.lines[0], 1, 20_00, 0).beyond(-20_00)).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
    refunded(&shop, &refund(&order).beyond(20_00)).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
}

#[tokio::test]
async fn a_refund_after_cancelling_takes_nothing_twice() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 1).paid();
    observe(&shop, &order).await;
    observe(&shop, &order.clone().at(5).cancelled()).await;
    refunded(&shop, &refund(&order).whole(&order.lines[0])).await;
    let balance = shop.balance_of(ada.id).await;
    assert_eq!((balance.net(), balance.lifetime_clawed_back), (0, 20));
}
