//! Guest orders find their customer, whichever comes first, and never by anything but a verified address.
use serde_json::json;

use event_schemas::MerchantId;
use privacy::Kind;

use super::{
    Post, Stack,
    payloads::{customer, order, refund},
};

const SHOP: &str = "demo-1.myshopify.com";

async fn waits_as_guest(stack: &Stack, merchant: MerchantId, order: &str) {
    let assessment = stack.assessment(merchant, order).await.unwrap();
    assert_eq!(assessment.reason.map(|reason| reason.to_string()).as_deref(), Some("guest"));
}

/// How many rows of the directory lead to her orders, by themselves, by a guest's address and by refunds.
async fn rows_of_ada(stack: &Stack, merchant: MerchantId) -> [usize; 3] {
    let ada = stack.customer(merchant, "7").await.unwrap();
    let mut rows = [0; 3];
    for (place, kind) in [Kind::Order, Kind::GuestEmail, Kind::Refund].into_iter().enumerate() {
        rows[place] = stack.bench.keys.ids_of(merchant, vec![ada], kind).await.unwrap().len();
    }
    rows
}

/// Catches, tried: refunds that stay nobody's when their order is given, and those of later states of such an order.
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
        assert_eq!(rows_of_ada(&stack, merchant).await, [1, 1, 1], "{customer_first}");
        let mut moved = customer(7, "moved@example.com", true);
        moved["updated_at"] = json!("2026-02-02T10:00:00Z");
        stack.post(&Post::new(SHOP, "customers/update", "m", &moved)).await;
        stack.worked_off().await;
        let refunds = [refund(31, 1, "5.00"), refund(32, 1, "5.00")];
        let later = of_guest().updated(1).with("refunds", json!(refunds));
        stack.post(&Post::new(SHOP, "orders/updated", "l", &later.0)).await;
        stack.balance_becomes(merchant, "7", 10).await;
        assert_eq!(rows_of_ada(&stack, merchant).await, [1, 1, 2], "{customer_first}");
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

/// Catches, tried: the guest's address and a refund that came first, both nobody's still when the order is somebody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_with_a_customer_claims_and_the_first_customer_stays() {
    let stack = Stack::start().await;
    let merchant = stack.bench.install(SHOP).await;
    stack.post(&Post::new(SHOP, "refunds/create", "r", &refund(31, 1, "5.00"))).await;
    stack.worked_off().await;
    stack.post(&Post::new(SHOP, "orders/create", "o-1", &order(SHOP, 1).of_guest("ada@example.com").0)).await;
    stack.worked_off().await;
    stack.post(&Post::new(SHOP, "orders/updated", "o-2", &order(SHOP, 1).of_customer(7).updated(1).0)).await;
    stack.balance_becomes(merchant, "7", 15).await;
    stack.post(&Post::new(SHOP, "orders/updated", "o-3", &order(SHOP, 1).of_customer(8).updated(2).0)).await;
    stack.post(&Post::new(SHOP, "customers/create", "c", &customer(9, "ada@example.com", true))).await;
    assert_eq!(stack.worked_off().await.dead_lettered, 0);
    assert_eq!((stack.balance(merchant, "7").await, rows_of_ada(&stack, merchant).await), (15, [1, 1, 1]));
    assert_eq!((stack.balance(merchant, "8").await, stack.balance(merchant, "9").await), (0, 0));
}
