//! Guest orders find their customer, whichever comes first, and never by anything but a verified address.
use serde_json::json;

use privacy::Kind;

use super::{
    Post, Stack,
    payloads::{customer, order, refund},
};

const SHOP: &str = "demo-1.myshopify.com";

async fn waits_as_guest(stack: &Stack, merchant: event_schemas::MerchantId, order: &str) {
    let assessment = stack.assessment(merchant, order).await.unwrap();
    assert_eq!(assessment.reason.map(|reason| reason.to_string()).as_deref(), Some("guest"));
}

/// Catches, tried: refunds of guests' orders that nobody is given with the order, and of later states of such an order.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_order_is_claimed_with_its_refunds_by_the_customer_that_comes_before_or_after_it() {
    for customer_first in [true, false] {
        let stack = Stack::start().await;
        let merchant = stack.bench.install(SHOP).await;
        let of_guest = || order(SHOP, 1).of_guest("Ada@Example.com ");
        let mut posts = [
            Post::new(SHOP, "customers/create", "c", &customer(7, "ada@example.com", true)),
            Post::new(SHOP, "orders/create", "o", &of_guest().0),
            Post::new(SHOP, "refunds/create", "r", &refund(31, 1, "5.00")),
        ];
        if !customer_first {
            posts.rotate_left(1);
        }
        for post in &posts {
            stack.post(post).await;
            stack.worked_off().await;
        }
        stack.balance_becomes(merchant, "7", 15).await;
        let refunds = [refund(31, 1, "5.00"), refund(32, 1, "5.00")];
        let later = of_guest().updated(1).with("refunds", json!(refunds));
        stack.post(&Post::new(SHOP, "orders/updated", "l", &later.0)).await;
        stack.balance_becomes(merchant, "7", 10).await;
        stack.worked_off().await;
        let ada = stack.customer(merchant, "7").await.unwrap();
        for (kind, count) in [(Kind::Order, 1), (Kind::GuestEmail, 1), (Kind::Refund, 2)] {
            let hers = stack.bench.keys.ids_of(merchant, vec![ada], kind).await.unwrap();
            assert_eq!(hers.len(), count, "{kind:?}, {customer_first}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_address_or_a_phone_number_claims_nothing() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    let of_guest = order(SHOP, 1).of_guest("ada@example.com").with("phone", json!("+44 20 7946 0000"));
    stack.post(&Post::new(SHOP, "orders/create", "o", &of_guest.0)).await;
    stack.post(&Post::new(SHOP, "customers/create", "c", &customer(7, "ada@example.com", false))).await;
    stack.post(&Post::new(SHOP, "customers/create", "d", &customer(8, "grace@example.com", true))).await;
    stack.worked_off().await;
    waits_as_guest(&stack, merchant, "1").await;
    // The address is verified later.
    let mut verified = customer(7, "ada@example.com", true);
    verified["updated_at"] = json!("2026-02-02T10:00:00Z");
    stack.post(&Post::new(SHOP, "customers/update", "v", &verified)).await;
    stack.balance_becomes(merchant, "7", 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_customers_with_one_address_claim_nothing() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    for id in [7, 8] {
        let webhook_id = format!("c-{id}");
        stack
            .post(&Post::new(SHOP, "customers/create", &webhook_id, &customer(id, "ada@example.com", true)))
            .await;
    }
    stack.worked_off().await;
    stack.post(&Post::new(SHOP, "orders/create", "o", &order(SHOP, 1).of_guest("ada@example.com").0)).await;
    stack.worked_off().await;
    waits_as_guest(&stack, merchant, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_with_a_customer_claims_and_the_first_customer_stays() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    stack.post(&Post::new(SHOP, "orders/create", "o-1", &order(SHOP, 1).of_guest("ada@example.com").0)).await;
    stack.worked_off().await;
    stack.post(&Post::new(SHOP, "orders/updated", "o-2", &order(SHOP, 1).of_customer(7).updated(1).0)).await;
    stack.balance_becomes(merchant, "7", 20).await;
    stack.post(&Post::new(SHOP, "orders/updated", "o-3", &order(SHOP, 1).of_customer(8).updated(2).0)).await;
    stack.post(&Post::new(SHOP, "customers/create", "c", &customer(9, "ada@example.com", true))).await;
    assert_eq!(stack.worked_off().await.dead_lettered, 0);
    assert_eq!(stack.balance(merchant, "7").await, 20);
    assert_eq!((stack.balance(merchant, "8").await, stack.balance(merchant, "9").await), (0, 0));
}
