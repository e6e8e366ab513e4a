//! Customers as Shopify tells of them: changed, late, at once, under another address.
use serde_json::json;

use crate::{
    harness::{Shop, shared},
    shopify::{Person, order, person},
};

#[tokio::test]
async fn an_older_message_about_a_customer_changes_nothing() {
    let shop = Shop::open(shared()).await;
    let newest = person().updated(10);
    let older = Person { first_name: "Maiden".to_owned(), ..newest.clone().updated(5) };
    shop.delivered("customers/update", newest.body()).await;
    assert_eq!(shop.delivered("customers/create", older.body()).await.status, "processed");
    assert_eq!(shop.customer(newest.id).await["first_name"], newest.first_name);
    // Nor does an order that brings along what was known when it was made.
    shop.delivered("orders/paid", order().by(&older).line(5_00, 1).paid().body(&shop)).await;
    assert_eq!(shop.customer(newest.id).await["first_name"], newest.first_name);
}

#[tokio::test]
async fn a_new_address_is_found_and_the_old_one_is_not() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let moved = Person { email: format!("new-{}", ada.email), ..ada.clone().updated(5) };
    shop.delivered("customers/create", ada.body()).await;
    shop.delivered("customers/update", moved.body()).await;
    let found = shop.ask("/v1/api/users/get", &[("email", &moved.email)]).await.expect(200);
    assert_eq!(found["shopify_customer_id"], ada.id.to_string());
    shop.ask("/v1/api/users/get", &[("email", &ada.email)]).await.problem(404, "customer-not-found");
}

#[tokio::test]
async fn an_address_that_was_given_up_claims_no_new_orders() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let moved = Person { email: format!("new-{}", ada.email), ..ada.clone().updated(5) };
    shop.delivered("customers/create", ada.body()).await;
    shop.delivered("customers/update", moved.body()).await;
    let order = order().by_guest(&ada.email).line(25_00, 1).paid();
    shop.delivered("orders/paid", order.body(&shop)).await;
    assert_eq!(shop.standing(order.id).await, "waiting guest");
}

#[tokio::test]
async fn a_customer_that_comes_through_every_door_at_once_is_one_person() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let mut doors = Vec::new();
    for number in 0..8 {
        let (shop, ada) = (shop.clone(), ada.clone());
        doors.push(tokio::spawn(async move {
            match number % 4 {
                0 => drop(shop.deliver("customers/create", ada.body()).await),
                1 => drop(shop.deliver("customers/update", ada.clone().updated(number).body()).await),
                2 => {
                    let body = order().by(&ada).line(5_00, 1).paid().body(&shop);
                    shop.deliver("orders/paid", body).await;
                }
                _ => {
                    let id = format!("00{}", ada.id);
                    let body = json!({"shopify_customer_id": id, "email": ada.email});
                    shop.post("/v1/api/users/create", &body).await.expect(201);
                }
            }
        }));
    }
    for door in doors {
        door.await.unwrap();
    }
    shop.door.until_idle().await;
    assert_eq!(shop.balance_of(ada.id).await.available, 10);
    let by_email = shop.ask("/v1/api/users/get", &[("email", &ada.email)]).await.expect(200);
    assert_eq!(by_email, shop.customer(ada.id).await);
    let id = format!("00{}", ada.id);
    assert_eq!(by_email, shop.ask("/v1/api/users/get", &[("shopify_customer_id", &id)]).await.expect(200));
}

#[tokio::test]
async fn fields_of_a_new_customer_are_checked() {
    let shop = Shop::open(shared()).await;
    for (body, field) in [
        (json!({"shopify_customer_id": "12x"}), "/shopify_customer_id"),
        (json!({"shopify_customer_id": 12}), "/shopify_customer_id"),
        (json!({"shopify_customer_id": "18446744073709551616"}), "/shopify_customer_id"),
        (json!({"email": "nowhere"}), "/email"),
        (json!({"first_name": "x".repeat(256)}), "/first_name"),
        (json!({"nickname": "x"}), "/nickname"),
    ] {
        let refused = shop.post("/v1/api/users/create", &body).await;
        assert_eq!(refused.refused_field("invalid-field"), field, "{body}");
    }
}

/// Where a guest's order stands behind messages about a new person: minute, whether under the address that the guest
/// has, whether it is verified.
async fn standing_after(messages: &[(i64, bool, bool)]) -> String {
    let (shop, ada) = (Shop::open(shared()).await, person());
    for (minute, same, verified) in messages {
        let email = if *same { ada.email.clone() } else { format!("new-{}", ada.email) };
        let told = Person { email, verified: *verified, ..ada.clone().updated(*minute) };
        assert_eq!(shop.delivered("customers/update", told.body()).await.status, "processed");
    }
    let order = order().by_guest(&ada.email).line(25_00, 1).paid();
    shop.delivered("orders/paid", order.body(&shop)).await;
    shop.standing(order.id).await
}

#[tokio::test]
async fn only_the_newest_word_about_an_address_counts() {
    for (messages, standing, case) in [
        (&[(0, true, true)][..], "qualified", "known"),
        (&[(5, false, true), (0, true, true)], "waiting guest", "a late message"),
        (&[(0, true, true), (5, false, true), (9, true, true)], "qualified", "taken up again"),
        (&[(0, true, true), (5, true, false)], "waiting guest", "no longer verified"),
        (&[(0, true, false), (5, true, true)], "qualified", "verified since"),
    ] {
        assert_eq!(standing_after(messages).await, standing, "{case}");
    }
}
