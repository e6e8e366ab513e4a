//! A body captured at one shop and posted under another's name.
use serde_json::json;

use super::{
    Post, Stack,
    payloads::{customer, merge, order, refund, shop},
};

const TRUE: &str = "demo-1.myshopify.com";
const OTHER: &str = "demo-2.myshopify.com";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_counts_at_the_shop_that_it_names_whichever_comes_first() {
    for forged_first in [true, false] {
        let stack = Stack::start().await;
        let (own, other) = (stack.bench.install(TRUE).await, stack.bench.install(OTHER).await);
        let body = order(TRUE, 1).of_customer(7).0;
        let mut posts = vec![
            Post::new(OTHER, "orders/create", "forged", &body),
            Post::new(TRUE, "orders/create", "true", &body),
        ];
        if !forged_first {
            posts.reverse();
        }
        for post in &posts {
            stack.post(post).await;
            stack.worked_off().await;
        }
        stack.balance_becomes(own, "7", 20).await;
        assert_eq!(stack.standing(other, "forged").await["reason"], "names-another-shop");
        assert_eq!(stack.customer(other, "7").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_numeric_shop_id_names_its_shop_once_a_body_has_bound_it() {
    let stack = Stack::start().await;
    let (own, other) = (stack.bench.install(TRUE).await, stack.bench.install(OTHER).await);
    stack.post(&Post::new(TRUE, "shop/update", "bind", &shop(TRUE, 7001, "USD", "UTC"))).await;
    stack.worked_off().await;
    let url = json!("https://shop.example.com/7001/orders/abc/authenticate");
    let body = order(TRUE, 1).of_customer(7).with("order_status_url", url).0;
    stack.post(&Post::new(OTHER, "orders/create", "forged", &body)).await;
    stack.post(&Post::new(TRUE, "orders/create", "true", &body)).await;
    stack.worked_off().await;
    assert_eq!(stack.standing(other, "forged").await["reason"], "names-another-shop");
    stack.balance_becomes(own, "7", 20).await;
    // The same holds for the shop's own bodies.
    let unnamed = json!({ "id": 7001, "myshopify_domain": null });
    stack.post(&Post::new(OTHER, "app/uninstalled", "gone", &unnamed)).await;
    stack.worked_off().await;
    assert!(stack.bench.shops.by_id(other).unwrap().installed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_acts_on_an_order_of_its_own_shop_only() {
    let stack = Stack::start().await;
    let (own, other) = (stack.bench.install(TRUE).await, stack.bench.install(OTHER).await);
    stack.post(&Post::new(TRUE, "orders/create", "o", &order(TRUE, 1).of_customer(7).0)).await;
    let body = refund(5, 1, "5.00");
    stack.post(&Post::new(OTHER, "refunds/create", "forged", &body)).await;
    stack.worked_off().await;
    stack.post(&Post::new(TRUE, "refunds/create", "true", &body)).await;
    stack.balance_becomes(own, "7", 15).await;
    assert_eq!(stack.worked_off().await.dead_lettered, 0);
    let waiting = stack.assessment(other, "1").await.unwrap();
    assert_eq!(waiting.reason.map(|reason| reason.to_string()).as_deref(), Some("order-unknown"));
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_body_without_a_name_under_two_shops_is_suspect_under_both() {
    let stack = Stack::start().await;
    let (own, other) = (stack.bench.install(TRUE).await, stack.bench.install(OTHER).await);
    let body = customer(7, "ada@example.com", true);
    stack.post(&Post::new(OTHER, "customers/create", "first", &body)).await;
    stack.worked_off().await;
    stack.post(&Post::new(TRUE, "customers/create", "second", &body)).await;
    stack.worked_off().await;
    assert_eq!(stack.standing(own, "second").await["reason"], "shop-ambiguous");
    assert_eq!(stack.standing(other, "first").await["status"], "processed");

    // Whom only the doubtful body vouches for gets no guest's order …
    for (shop, webhook_id, id) in [(OTHER, "g-1", 1), (TRUE, "g-2", 2)] {
        let of_guest = order(shop, id).of_guest("ada@example.com").0;
        stack.post(&Post::new(shop, "orders/create", webhook_id, &of_guest)).await;
    }
    stack.worked_off().await;
    assert_eq!((stack.balance(own, "7").await, stack.balance(other, "7").await), (0, 0));

    // … until an order of that shop confirms them.
    let person = json!({ "id": 7, "email": "ada@example.com", "verified_email": true });
    stack.post(&Post::new(TRUE, "orders/create", "o", &order(TRUE, 3).with("customer", person).0)).await;
    stack.balance_becomes(own, "7", 40).await;
    assert_eq!(stack.balance(other, "7").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_counts_where_its_people_are_known_whichever_comes_first() {
    for forged_first in [true, false] {
        let stack = Stack::start().await;
        let (own, other) = (stack.bench.install(TRUE).await, stack.bench.install(OTHER).await);
        for (id, customer) in [(1, 7), (2, 8)] {
            let body = order(TRUE, id).of_customer(customer).0;
            stack.post(&Post::new(TRUE, "orders/create", &format!("o-{id}"), &body)).await;
        }
        stack.worked_off().await;
        let mut posts = vec![
            Post::new(OTHER, "customers/merge", "forged", &merge(7, 8)),
            Post::new(TRUE, "customers/merge", "true", &merge(7, 8)),
        ];
        if !forged_first {
            posts.reverse();
        }
        for post in &posts {
            stack.post(post).await;
            stack.worked_off().await;
        }
        assert_eq!(stack.merged_into(own, "8").await, stack.customer(own, "7").await);
        assert_eq!(stack.standing(own, "true").await["status"], "processed");
        if !forged_first {
            assert_eq!(stack.standing(other, "forged").await["reason"], "shop-ambiguous");
            assert_eq!(stack.customer(other, "8").await, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_under_another_shop_leaves_the_order_as_it_is() {
    let stack = Stack::start().await;
    let (own, other) = (stack.bench.install(TRUE).await, stack.bench.install(OTHER).await);
    stack.post(&Post::new(TRUE, "orders/create", "o", &order(TRUE, 1).of_customer(7).0)).await;
    stack.post(&Post::new(OTHER, "orders/delete", "forged", &json!({ "id": 1 }))).await;
    stack.worked_off().await;
    stack.balance_becomes(own, "7", 20).await;
    assert_eq!(stack.assessment(other, "1").await.unwrap().status.as_str(), "cancelled");
    // The true one counts, although the same body was seen elsewhere first.
    stack.post(&Post::new(TRUE, "orders/delete", "true", &json!({ "id": 1 }))).await;
    stack.balance_becomes(own, "7", 0).await;
}
