//! The main job: a signed order becomes points that a merchant can see, whatever happens to the order afterwards.
use serde_json::json;

use crate::{
    harness::{Balance, Shop, shared},
    shopify::{Order, line, order, person},
};

/// Delivers a version of an order, waits, and gives where the order stands.
async fn observe(shop: &Shop, order: &Order) -> String {
    let outcome = shop.delivered("orders/updated", order.body(shop)).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None));
    shop.standing(order.id).await
}

#[tokio::test]
async fn a_signed_paid_order_becomes_points_that_the_merchant_sees() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(20_00, 2).with(line(16_00, 1).discount(1_07)).paid();
    let outcome = shop.delivered("orders/paid", order.body(&shop)).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None));

    let customer = shop.customer(ada.id).await;
    assert_eq!(customer["shopify_customer_id"], ada.id.to_string());
    assert_eq!(
        (&customer["email"], &customer["first_name"], &customer["last_name"]),
        (&json!(ada.email), &json!(ada.first_name), &json!(ada.last_name))
    );
    let id = customer["customer_id"].as_str().unwrap();
    let expected = Balance { available: 54, lifetime_earned: 54, ..Balance::default() };
    assert_eq!(shop.balance(id).await, expected);

    let seen = shop.order(order.id).await;
    assert_eq!(seen.standing(), "qualified");
    assert_eq!(seen.eligible_amount, json!({"amount": "54.93", "currency": "USD"}));
    assert_eq!((seen.points_granted, seen.points_clawed_back), (54, 0));

    let [entry] = <[_; 1]>::try_from(shop.statement(id).await).unwrap();
    assert_eq!((entry.r#type.as_str(), entry.points, entry.available_after), ("earn", 54, 54));
    assert_eq!(entry.source, json!({"kind": "order", "id": order.id.to_string()}));
    assert!(entry.why.contains("54.93"), "{}", entry.why);
    assert!(!entry.entry_id.is_empty() && entry.recorded_at >= entry.occurred_at, "{entry:?}");
}

#[tokio::test]
async fn a_customer_is_found_by_each_of_their_ids_and_by_nobody_elses() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    shop.delivered("customers/create", ada.body()).await;
    let by_shopify = shop.customer(ada.id).await;
    let id = by_shopify["customer_id"].as_str().unwrap();
    let upper = ada.email.to_uppercase();
    for (parameter, value) in [("customer_id", id), ("email", ada.email.as_str()), ("email", upper.as_str())]
    {
        assert_eq!(shop.ask("/v1/api/users/get", &[(parameter, value)]).await.expect(200), by_shopify);
    }
    assert_eq!(shop.balance(id).await, Balance::default());
    let nobody = "01900000-0000-7000-8000-00000000dead";
    for (parameter, value) in
        [("shopify_customer_id", "1"), ("email", "nobody@example.com"), ("customer_id", nobody)]
    {
        shop.ask("/v1/api/users/get", &[(parameter, value)]).await.problem(404, "customer-not-found");
    }
    shop.balance_with(nobody, &[]).await.problem(404, "customer-not-found");
}

#[tokio::test]
async fn an_order_that_arrives_before_its_customer_ends_as_if_it_had_come_after() {
    for customer_first in [false, true] {
        let shop = Shop::open(shared()).await;
        let ada = person().updated(30);
        let mut as_ordered = ada.clone();
        as_ordered.first_name = "A.".to_owned();
        let order = order().by(&as_ordered).line(12_00, 1).paid();
        let mut deliveries = [("orders/create", order.body(&shop)), ("customers/create", ada.body())];
        if customer_first {
            deliveries.reverse();
        }
        for (topic, body) in deliveries {
            assert_eq!(shop.delivered(topic, body).await.status, "processed");
        }
        assert_eq!(shop.balance_of(ada.id).await.available, 12);
        assert_eq!(shop.customer(ada.id).await["first_name"], ada.first_name);
    }
}

#[tokio::test]
async fn the_same_order_over_several_topics_earns_once() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let body = order().by(&ada).line(10_00, 1).paid().body(&shop);
    for topic in ["orders/create", "orders/paid", "orders/updated"] {
        assert_eq!(shop.delivered(topic, body.clone()).await.status, "processed", "{topic}");
    }
    let id = shop.customer_id(ada.id).await;
    assert_eq!(shop.balance(&id).await.lifetime_earned, 10);
    assert_eq!(shop.statement(&id).await.len(), 1);
}

#[tokio::test]
async fn an_unpaid_order_waits_until_it_is_paid() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(10_00, 1);
    assert_eq!(observe(&shop, &order.clone().status("pending")).await, "waiting unpaid");
    assert_eq!(observe(&shop, &order.clone().at(1).status("authorized")).await, "waiting unpaid");
    assert_eq!(observe(&shop, &order.clone().at(2).status("partially_paid")).await, "waiting unpaid");
    assert_eq!(shop.balance_of(ada.id).await, Balance::default());
    assert_eq!(observe(&shop, &order.at(3).paid()).await, "qualified");
    assert_eq!(shop.balance_of(ada.id).await.available, 10);
}

#[tokio::test]
async fn an_order_that_earns_nothing_says_why() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = || order().by(&ada).line(10_00, 1);
    for (order, standing) in [
        (order().paid().test(), "disqualified test"),
        (order().status("voided"), "disqualified voided"),
        (order().edited([line(25_00, 1).gift_card()]).paid(), "disqualified nothing-eligible"),
        (order().paid().cancelled(), "cancelled"),
    ] {
        assert_eq!(observe(&shop, &order).await, standing);
        let seen = shop.order(order.id).await;
        assert_eq!((seen.points_granted, seen.points_clawed_back), (0, 0), "{seen:?}");
    }
    assert_eq!(shop.balance_of(ada.id).await, Balance::default());
}

#[tokio::test]
async fn an_order_nobody_has_heard_of_is_not_found() {
    let shop = Shop::open(shared()).await;
    shop.get("/v1/api/orders/820982911946154508").await.problem(404, "order-not-found");
}

#[tokio::test]
async fn cancelling_takes_the_points_back() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(10_00, 3).paid();
    observe(&shop, &order).await;
    let outcome = shop.delivered("orders/cancelled", order.clone().at(5).cancelled().body(&shop)).await;
    assert_eq!(outcome.status, "processed");
    let seen = shop.order(order.id).await;
    assert_eq!(
        (seen.standing().as_str(), seen.points_granted, seen.points_clawed_back),
        ("cancelled", 30, 30)
    );
    let id = shop.customer_id(ada.id).await;
    let expected = Balance { lifetime_earned: 30, lifetime_clawed_back: 30, ..Balance::default() };
    assert_eq!(shop.balance(&id).await, expected);
    let kinds: Vec<_> =
        shop.statement(&id).await.into_iter().map(|entry| (entry.r#type, entry.points)).collect();
    assert_eq!(kinds, [("claw_back".to_owned(), -30), ("earn".to_owned(), 30)]);
}

#[tokio::test]
async fn points_that_were_spent_become_debt_and_the_next_order_repays_it() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let first = order().by(&ada).line(50_00, 1).paid();
    observe(&shop, &first).await;
    let id = shop.customer_id(ada.id).await;
    shop.redeem(&id, 40).await.expect(200);
    observe(&shop, &first.clone().at(5).cancelled()).await;
    let indebted = Balance {
        debt: 40,
        lifetime_earned: 50,
        lifetime_redeemed: 40,
        lifetime_clawed_back: 50,
        ..Balance::default()
    };
    assert_eq!(shop.balance(&id).await, indebted);
    shop.redeem(&id, 1).await.problem(409, "insufficient-points");

    observe(&shop, &order().by(&ada).line(30_00, 1).paid()).await;
    let balance = shop.balance(&id).await;
    assert_eq!((balance.available, balance.debt), (0, 10));
    observe(&shop, &order().by(&ada).line(80_00, 1).paid()).await;
    let balance = shop.balance(&id).await;
    assert_eq!((balance.available, balance.debt, balance.lifetime_earned), (70, 0, 160));
    assert_eq!(shop.statement(&id).await[0].points, 80);
}

#[tokio::test]
async fn an_edited_order_is_settled_to_what_it_is_worth_now() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(10_00, 3).paid();
    observe(&shop, &order).await;
    let id = shop.customer_id(ada.id).await;
    let lines = order.lines.clone();
    let more = order.clone().at(1).edited([lines[0].clone(), line(7_50, 1)]);
    assert_eq!(observe(&shop, &more).await, "qualified");
    assert_eq!(shop.balance(&id).await.available, 37);
    let less = order.clone().at(2).edited([line(12_99, 1)]);
    assert_eq!(observe(&shop, &less).await, "qualified");
    let balance = shop.balance(&id).await;
    assert_eq!((balance.available, balance.lifetime_earned, balance.lifetime_clawed_back), (12, 37, 25));
    assert_eq!(shop.order(order.id).await.eligible_amount["amount"], "12.99");
    assert_eq!(shop.statement(&id).await.len(), 3);
}

#[tokio::test]
async fn a_version_older_than_the_newest_seen_changes_nothing() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada);
    observe(&shop, &order.clone().line(30_00, 1).paid().at(10)).await;
    for older in
        [order.clone().line(50_00, 1).paid().at(5), order.clone().line(30_00, 1).paid().cancelled().at(9)]
    {
        assert_eq!(observe(&shop, &older).await, "qualified");
    }
    let balance = shop.balance_of(ada.id).await;
    assert_eq!((balance.available, balance.lifetime_earned), (30, 30));
}

#[tokio::test]
async fn of_two_versions_with_one_time_the_later_stage_wins_and_other_content_is_applied() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(30_00, 1);
    assert_eq!(observe(&shop, &order.clone().paid()).await, "qualified");
    assert_eq!(observe(&shop, &order.clone().status("pending")).await, "qualified");
    assert_eq!(observe(&shop, &order.clone().edited([line(20_00, 1)]).paid()).await, "qualified");
    assert_eq!(shop.balance_of(ada.id).await.available, 20);
    assert_eq!(observe(&shop, &order.clone().cancelled().paid()).await, "cancelled");
    assert_eq!(observe(&shop, &order.line(1_00, 1).paid()).await, "cancelled");
    assert_eq!(shop.balance_of(ada.id).await.available, 0);
}

#[tokio::test]
async fn another_customer_on_a_later_version_moves_no_points() {
    let shop = Shop::open(shared()).await;
    let (ada, ben) = (person(), person());
    let order = order().by(&ada).line(30_00, 1).paid();
    observe(&shop, &order).await;
    assert_eq!(observe(&shop, &order.clone().by(&ben).at(5)).await, "qualified");
    assert_eq!(observe(&shop, &order.by(&ben).line(5_00, 1).at(6)).await, "qualified");
    assert_eq!(shop.balance_of(ada.id).await.available, 35);
    let bens = shop.ask("/v1/api/users/get", &[("shopify_customer_id", &ben.id.to_string())]).await;
    if bens.status == 200 {
        let id = bens.json()["customer_id"].as_str().unwrap().to_owned();
        assert_eq!(shop.balance(&id).await, Balance::default());
    }
}

#[tokio::test]
async fn a_shop_that_left_keeps_its_history() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    observe(&shop, &order().by(&ada).line(30_00, 1).paid()).await;
    let body = json!({"id": shop.number, "myshopify_domain": shop.domain, "currency": "USD"});
    assert_eq!(shop.delivered("app/uninstalled", body.to_string()).await.status, "processed");
    assert_eq!(shop.balance_of(ada.id).await.available, 30);
}

#[tokio::test]
async fn a_shop_that_changes_its_currency_counts_new_orders_in_it() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    observe(&shop, &order().by(&ada).line(30_00, 1).paid()).await;
    let body = json!({
        "id": shop.number, "myshopify_domain": shop.domain, "currency": "JPY", "iana_timezone": "Asia/Tokyo"
    });
    assert_eq!(shop.delivered("shop/update", body.to_string()).await.status, "processed");
    let in_yen = Shop { currency: "JPY", places: 0, ..shop };
    observe(&in_yen, &order().by(&ada).line(700, 1).paid()).await;
    assert_eq!(in_yen.balance_of(ada.id).await.available, 730);
}

#[tokio::test]
async fn ids_may_be_texts_and_amounts_may_be_numbers() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(54_93, 1).paid();
    let mut body = order.json(&shop);
    body["id"] = json!(order.id.to_string());
    body["customer"]["id"] = json!(ada.id.to_string());
    for name in ["price", "price_set"] {
        body["line_items"][0][name].take();
    }
    body["line_items"][0]["price"] = json!(54.93);
    let outcome = shop.delivered("orders/paid", body.to_string()).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None));
    assert_eq!(shop.order(order.id).await.eligible_amount["amount"], "54.93");
    assert_eq!(shop.balance_of(ada.id).await.available, 54);
}

#[tokio::test]
async fn a_time_ahead_of_the_clock_is_taken_for_now() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let mut body = order().by(&ada).line(54_00, 1).paid().json(&shop);
    body["updated_at"] = json!("2099-01-01T00:00:00Z");
    assert_eq!(shop.delivered("orders/paid", body.to_string()).await.status, "processed");
    let id = shop.customer_id(ada.id).await;
    let [entry] = <[_; 1]>::try_from(shop.statement(&id).await).unwrap();
    assert!(entry.occurred_at <= entry.recorded_at, "{entry:?}");
}

#[tokio::test]
async fn an_order_of_thousands_of_lines_counts_to_the_cent() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let mut order = order().by(&ada).paid();
    for cents in 1..=2_000 {
        order = order.line(cents, 1);
    }
    assert_eq!(observe(&shop, &order).await, "qualified");
    assert_eq!(shop.order(order.id).await.eligible_amount["amount"], "20010.00");
    assert_eq!(shop.balance_of(ada.id).await.available, 20_010);
}
