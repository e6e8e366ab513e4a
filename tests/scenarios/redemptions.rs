//! Points become a discount code and come back when the redemption is cancelled.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    harness::{Shop, shared},
    shopify::{Order, order, person, refund},
};

#[track_caller]
fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or_else(|| panic!("{field} in {answer}"))
}

#[tokio::test]
async fn redeeming_completes_with_a_code_within_the_request() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(1000).await;
    let first = shop.redeem(&customer, 300).await.expect(200);
    assert_eq!(first["status"], "completed", "{first}");
    assert_eq!(first["available"], 700);
    let second = shop.redeem(&customer, 300).await.expect(200);
    assert_ne!(text(&first, "code"), text(&second, "code"));
    assert_ne!(text(&first, "redemption_id"), text(&second, "redemption_id"));
    let balance = shop.balance(&customer).await;
    assert_eq!((balance.available, balance.reserved, balance.lifetime_redeemed), (400, 0, 600));
    let moves: Vec<_> =
        shop.statement(&customer).await.into_iter().map(|entry| (entry.r#type, entry.points)).collect();
    assert_eq!(moves, [("redeem".to_owned(), -300), ("redeem".to_owned(), -300), ("earn".to_owned(), 1000)]);
}

#[tokio::test]
async fn redeeming_more_than_there_is_moves_nothing() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(99).await;
    let refused = shop.redeem(&customer, 100).await.problem(409, "insufficient-points");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("100") && detail.contains("99"), "{detail}");
    assert_eq!(shop.balance(&customer).await.available, 99);
    assert_eq!(shop.statement(&customer).await.len(), 1);
}

#[tokio::test]
async fn points_that_give_no_whole_minor_unit_are_refused_with_the_next_number_that_does() {
    for (currency, per_unit, least, points, next) in [
        ("USD", 300, 1, 100, 99),
        ("USD", 300, 1, 2, 3),
        ("JPY", 100, 1, 150, 100),
        ("JPY", 100, 1, 99, 100),
        ("KWD", 7, 1, 8, 7),
        ("USD", 100, 500, 499, 500),
    ] {
        let shop = Shop::open_in(shared(), currency).await;
        shop.set(&json!({"redeem": {"points_per_unit": per_unit, "min_points": least}})).await;
        let customer = shop.enrol_with(1000).await;
        let refused = shop.redeem(&customer, points).await;
        let body = refused.problem(422, "not-redeemable-amount");
        let words = body["detail"].as_str().unwrap().replace(|c: char| !c.is_ascii_digit(), " ");
        assert!(words.split_whitespace().any(|word| word == next.to_string()), "{points}: {body}");
        assert_eq!(shop.redeem(&customer, next).await.expect(200)["status"], "completed");
        assert_eq!(shop.balance(&customer).await.available, 1000 - next);
    }
}

#[tokio::test]
async fn cancelling_a_redemption_gives_the_points_back_once() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(500).await;
    let redeemed = shop.redeem(&customer, 200).await.expect(200);
    let id = text(&redeemed, "redemption_id");
    let cancelled = shop.cancel(id).await.expect(200);
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    let again = shop.cancel(id).await;
    assert!(again.status == 200 || again.status == 409, "{}", again.text);
    let balance = shop.balance(&customer).await;
    assert_eq!((balance.available, balance.lifetime_redeemed), (500, 0));
    let kinds: Vec<_> = shop.statement(&customer).await.into_iter().map(|entry| entry.r#type).collect();
    assert_eq!(kinds, ["reinstate", "redeem", "earn"]);
}

#[tokio::test]
async fn points_given_back_repay_debt_first() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(500).await;
    let redeemed = shop.redeem(&customer, 500).await.expect(200);
    let body =
        json!({"customer_id": customer, "points": -80, "reason_code": "fraud", "allow_negative": true});
    shop.post("/v1/api/points/adjust", &body).await.expect(200);
    assert_eq!(shop.balance(&customer).await.debt, 80);
    shop.cancel(text(&redeemed, "redemption_id")).await.expect(200);
    let balance = shop.balance(&customer).await;
    assert_eq!((balance.available, balance.debt, balance.lifetime_redeemed), (420, 0, 0));
    shop.statement(&customer).await;
}

async fn tell(shop: &Shop, topic: &str, order: &Order) {
    let outcome = shop.delivered(topic, order.body(shop)).await;
    assert_eq!((outcome.status.as_str(), outcome.reason), ("processed", None));
}

/// What can be spent, and what was spent for good.
async fn spent(shop: &Shop, customer: &str) -> (i64, i64) {
    let balance = shop.balance(customer).await;
    (balance.available, balance.lifetime_redeemed)
}

/// Catches: codes that the translator drops; a used code that is taken for one that somebody asks to cancel.
#[tokio::test]
async fn an_order_that_used_a_code_and_is_cancelled_gives_its_points_back_once() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(1000).await;
    let redeemed = shop.redeem(&customer, 300).await.expect(200);
    let (used, kept) =
        (text(&redeemed, "code").to_lowercase(), shop.redeem(&customer, 100).await.expect(200));
    let paid = order().by(&person()).line(20_00, 1).code("SUMMER").code(&used).paid().at(1);
    tell(&shop, "orders/paid", &paid).await;
    assert_eq!(spent(&shop, &customer).await, (600, 400));
    for (topic, minute, status) in [
        ("orders/cancelled", 2, "processed"),
        ("orders/cancelled", 2, "duplicate"),
        ("orders/updated", 2, "processed"),
        ("orders/updated", 3, "processed"),
    ] {
        let over = paid.clone().cancelled().at(minute);
        assert_eq!(shop.delivered(topic, over.body(&shop)).await.status, status);
        assert_eq!(spent(&shop, &customer).await, (900, 100));
    }
    let statement = shop.statement(&customer).await;
    let kinds: Vec<_> = statement.iter().map(|entry| entry.r#type.as_str()).collect();
    assert_eq!(kinds, ["reinstate", "redeem", "redeem", "earn"]);
    let why = &statement[0].why;
    assert_eq!(why, "300 points given back because the redemption was cancelled (order-cancelled).");
    assert_eq!(shop.cancel(text(&redeemed, "redemption_id")).await.status, 200, "it is cancelled already");
    shop.cancel(text(&kept, "redemption_id")).await.expect(200);
    assert_eq!(spent(&shop, &customer).await, (1000, 0));
}

#[tokio::test]
async fn an_order_that_used_a_code_gives_its_points_back_once_all_of_it_is_refunded() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(500).await;
    let code = |redeemed: Value| text(&redeemed, "code").to_owned();
    let first = code(shop.redeem(&customer, 200).await.expect(200));
    let paid = order().by(&person()).line(20_00, 2).code(&first).paid().at(1);
    tell(&shop, "orders/paid", &paid).await;
    for left in [(300, 200), (500, 0)] {
        let part = refund(&paid).part(&paid.lines[0], 1, 20_00, 0);
        assert_eq!(shop.delivered("refunds/create", part.body(&shop)).await.status, "processed");
        assert_eq!(spent(&shop, &customer).await, left);
    }
    let second = code(shop.redeem(&customer, 200).await.expect(200));
    let told = order().by(&person()).line(20_00, 1).code(&second);
    for (status, left) in [("partially_refunded", (300, 200)), ("refunded", (500, 0))] {
        tell(&shop, "orders/updated", &told.clone().status(status)).await;
        assert_eq!(spent(&shop, &customer).await, left, "{status}");
    }
}

#[tokio::test]
async fn a_redemption_nobody_made_is_not_found() {
    let shop = Shop::open(shared()).await;
    for id in ["01900000-0000-7000-8000-00000000dead", "nonsense"] {
        assert_eq!(shop.cancel(id).await.status, 404, "{id}");
    }
}

#[tokio::test]
async fn the_last_points_are_redeemed_once_however_many_ask_at_once() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(350).await;
    let asked: Vec<_> = (0..24)
        .map(|_| {
            let (shop, customer) = (shop.clone(), customer.clone());
            tokio::spawn(async move { shop.redeem(&customer, 100).await })
        })
        .collect();
    let mut codes = BTreeSet::new();
    for answer in asked {
        let answer = answer.await.unwrap();
        if answer.status == 200 {
            assert!(codes.insert(text(&answer.json(), "code").to_owned()), "a code was given twice");
        } else {
            answer.problem(409, "insufficient-points");
        }
    }
    assert_eq!(codes.len(), 3);
    let balance = shop.balance(&customer).await;
    assert_eq!((balance.available, balance.reserved, balance.lifetime_redeemed), (50, 0, 300));
}
