//! Two customers become one at Shopify: their points do, too, and what comes late for the one who is gone still counts.
use crate::{
    harness::{Shop, shared},
    shopify::{Person, merge, order, person},
};

async fn deliver(shop: &Shop, topic: &str, body: Vec<u8>) {
    let outcome = shop.delivered(topic, body).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None), "{topic}");
}

async fn buy(shop: &Shop, who: &Person, minor: i64) -> u64 {
    let order = order().by(who).line(minor, 1).paid();
    deliver(shop, "orders/paid", order.body(shop)).await;
    order.id
}

#[tokio::test]
async fn a_completed_merge_moves_all_points_to_the_one_who_stays() {
    let shop = Shop::open(shared()).await;
    let (kept, gone) = (person(), person());
    buy(&shop, &kept, 20_00).await;
    buy(&shop, &gone, 30_00).await;
    let old = shop.customer_id(gone.id).await;
    deliver(&shop, "customers/merge", merge(&kept, &gone, "completed")).await;
    assert_eq!(shop.balance_of(kept.id).await.available, 50);
    assert_eq!(shop.balance(&old).await.net(), 0);
    let seen = shop.get(&format!("/v1/api/users/get?customer_id={old}")).await.expect(200);
    assert_eq!((&seen["status"], &seen["into"]), (&"merged".into(), &shop.customer_id(kept.id).await.into()));
}

#[tokio::test]
async fn a_merge_that_is_not_completed_merges_nothing() {
    let shop = Shop::open(shared()).await;
    let (kept, gone) = (person(), person());
    buy(&shop, &kept, 20_00).await;
    buy(&shop, &gone, 30_00).await;
    for status in ["failed", "in_progress"] {
        let outcome = shop.delivered("customers/merge", merge(&kept, &gone, status)).await;
        assert_eq!(
            (outcome.status.as_str(), outcome.reason.as_deref()),
            ("processed", Some("merge-not-completed"))
        );
    }
    assert_eq!(shop.balance_of(kept.id).await.available, 20);
    assert_eq!(shop.balance_of(gone.id).await.available, 30);
}

#[tokio::test]
async fn an_order_of_the_one_who_is_gone_reaches_the_one_who_stays_whichever_comes_first() {
    for order_first in [true, false] {
        let shop = Shop::open(shared()).await;
        let (kept, gone) = (person(), person());
        deliver(&shop, "customers/create", kept.body()).await;
        if order_first {
            buy(&shop, &gone, 30_00).await;
        }
        deliver(&shop, "customers/merge", merge(&kept, &gone, "completed")).await;
        if !order_first {
            buy(&shop, &gone, 30_00).await;
        }
        assert_eq!(shop.balance_of(kept.id).await.available, 30, "order first: {order_first}");
    }
}

#[tokio::test]
async fn a_merge_may_come_before_either_is_known_and_chains_are_followed() {
    let shop = Shop::open(shared()).await;
    let (first, second, third) = (person(), person(), person());
    deliver(&shop, "customers/merge", merge(&second, &first, "completed")).await;
    deliver(&shop, "customers/merge", merge(&third, &second, "completed")).await;
    deliver(&shop, "customers/create", third.body()).await;
    for (who, minor) in [(&first, 10_00), (&second, 20_00), (&third, 30_00)] {
        buy(&shop, who, minor).await;
    }
    assert_eq!(shop.balance_of(third.id).await.available, 60);
    let never_known = shop.customer_id(first.id).await;
    shop.redeem(&never_known, 10).await.problem(409, "account-merged");
    let orders = shop.get(&format!("/v1/api/orders?customer_id={}", shop.customer_id(third.id).await)).await;
    assert_eq!(orders.expect(200)["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_merge_that_is_told_twice_or_turned_round_changes_nothing_more() {
    let shop = Shop::open(shared()).await;
    let (kept, gone) = (person(), person());
    buy(&shop, &kept, 20_00).await;
    buy(&shop, &gone, 30_00).await;
    deliver(&shop, "customers/merge", merge(&kept, &gone, "completed")).await;
    deliver(&shop, "customers/merge", merge(&kept, &gone, "COMPLETED")).await;
    let turned = shop.delivered("customers/merge", merge(&gone, &kept, "completed")).await;
    assert_eq!(
        (turned.status.as_str(), turned.reason.as_deref()),
        ("dead_lettered", Some("merge-into-itself"))
    );
    assert_eq!(shop.balance_of(kept.id).await.available, 50);
}

#[tokio::test]
async fn a_late_message_about_the_one_who_is_gone_changes_nobody() {
    let shop = Shop::open(shared()).await;
    let (kept, gone) = (person(), person());
    deliver(&shop, "customers/create", kept.body()).await;
    deliver(&shop, "customers/merge", merge(&kept, &gone, "completed")).await;
    let late = Person { first_name: "Late".to_owned(), ..gone.updated(9) };
    let outcome = shop.delivered("customers/update", late.body()).await;
    assert_eq!(outcome.reason.as_deref(), Some("customer-merged"));
    assert_eq!(shop.customer(kept.id).await["first_name"], kept.first_name);
}
