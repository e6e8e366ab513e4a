//! Orders without a customer wait, and are claimed by a newer version or a verified e-mail address; by nothing else.
use crate::{
    harness::{Balance, Shop, shared},
    shopify::{Person, order, person, refund},
};

/// Delivers and expects it to be worked off without objection.
async fn deliver(shop: &Shop, topic: &str, body: Vec<u8>) {
    let outcome = shop.delivered(topic, body).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None), "{topic}");
}

async fn guest_order(shop: &Shop, email: &str) -> u64 {
    let order = order().by_guest(email).line(25_00, 1).paid();
    deliver(shop, "orders/paid", order.body(shop)).await;
    order.id
}

#[tokio::test]
async fn a_guests_order_waits_and_registers_nobody() {
    let shop = Shop::open(shared()).await;
    let order = guest_order(&shop, "guest@example.com").await;
    assert_eq!(shop.standing(order).await, "waiting guest");
    let asked = shop.ask("/v1/api/users/get", &[("email", "guest@example.com")]).await;
    asked.problem(404, "customer-not-found");
}

#[tokio::test]
async fn a_newer_version_with_a_customer_claims_the_order() {
    let shop = Shop::open(shared()).await;
    let ada = person().unverified();
    let order = order().by_guest(&ada.email).line(25_00, 1).paid();
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    deliver(&shop, "orders/updated", order.clone().by(&ada).at(5).body(&shop)).await;
    assert_eq!(shop.standing(order.id).await, "qualified");
    assert_eq!(shop.balance_of(ada.id).await.available, 25);
}

#[tokio::test]
async fn a_verified_address_claims_the_order_whichever_comes_first() {
    for customer_first in [false, true] {
        let shop = Shop::open(shared()).await;
        let ada = person();
        let written_otherwise = ada.email.to_uppercase();
        if customer_first {
            deliver(&shop, "customers/create", ada.body()).await;
        }
        let order = guest_order(&shop, &written_otherwise).await;
        if !customer_first {
            assert_eq!(shop.standing(order).await, "waiting guest");
            deliver(&shop, "customers/create", ada.body()).await;
        }
        assert_eq!(shop.standing(order).await, "qualified", "customer first: {customer_first}");
        assert_eq!(shop.balance_of(ada.id).await.available, 25);
    }
}

#[tokio::test]
async fn an_unverified_address_claims_nothing_until_it_is_verified() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    deliver(&shop, "customers/create", ada.clone().unverified().body()).await;
    let order = guest_order(&shop, &ada.email).await;
    assert_eq!(shop.standing(order).await, "waiting guest");
    assert_eq!(shop.balance_of(ada.id).await, Balance::default());
    deliver(&shop, "customers/update", ada.clone().updated(5).body()).await;
    assert_eq!(shop.standing(order).await, "qualified");
    assert_eq!(shop.balance_of(ada.id).await.available, 25);
}

#[tokio::test]
async fn a_phone_number_never_claims_an_order() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by_guest("other@example.com").phone(&ada.phone).line(25_00, 1).paid();
    deliver(&shop, "orders/paid", order.body(&shop)).await;
    deliver(&shop, "customers/create", ada.body()).await;
    assert_eq!(shop.standing(order.id).await, "waiting guest");
    assert_eq!(shop.balance_of(ada.id).await, Balance::default());
}

#[tokio::test]
async fn an_address_of_another_shop_claims_nothing_here() {
    let (here, there) = (Shop::open(shared()).await, Shop::open(shared()).await);
    let ada = person();
    deliver(&there, "customers/create", ada.body()).await;
    let order = guest_order(&here, &ada.email).await;
    assert_eq!(here.standing(order).await, "waiting guest");
}

#[tokio::test]
async fn all_waiting_orders_of_an_address_are_claimed_at_once_less_their_refunds() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let orders = [1, 2, 3].map(|_| order().by_guest(&ada.email).line(10_00, 2).paid());
    for order in &orders {
        deliver(&shop, "orders/paid", order.body(&shop)).await;
    }
    let back = refund(&orders[1]).part(&orders[1].lines[0], 1, 10_00, 0);
    deliver(&shop, "refunds/create", back.body(&shop)).await;
    deliver(&shop, "customers/create", ada.body()).await;
    assert_eq!(shop.balance_of(ada.id).await.available, 50);
}

#[tokio::test]
async fn an_address_that_several_customers_have_is_ambiguous() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let ben = Person { email: ada.email.clone(), ..person() };
    deliver(&shop, "customers/create", ada.body()).await;
    deliver(&shop, "customers/create", ben.body()).await;
    shop.ask("/v1/api/users/get", &[("email", &ada.email)]).await.problem(409, "ambiguous");
}
