//! Actions, transfers, freezes, merges and rewards over the API, from the call to what every account shows then.
use reqwest::Method;
use serde_json::json;

use crate::{
    harness::{Answer, Balance, Shop, shared},
    shopify::{merge, order, person, refund},
};

const ACTIONS: &str = "/v1/api/points/actions";
const REDEEM: &str = "/v1/api/points/redeem";
const REWARDS: &str = "/v1/api/rewards";

async fn transfer(shop: &Shop, from: &str, to: &str, points: i64) -> Answer {
    let body = json!({
        "from_customer_id": from, "to_customer_id": to, "points": points, "reason_code": "gift"
    });
    shop.post("/v1/api/points/transfer", &body).await
}

async fn freeze(shop: &Shop, customer: &str, word: &str) -> Answer {
    let body = json!({"customer_id": customer, "reason_code": "suspected-fraud"});
    shop.post(&format!("/v1/api/points/{word}"), &body).await
}

async fn act(shop: &Shop, customer: &str, source: &str) -> Answer {
    let body = json!({"customer_id": customer, "action": "product-review", "source_id": source});
    shop.post(ACTIONS, &body).await
}

/// The statement's newest entry.
async fn newest(shop: &Shop, customer: &str) -> (String, i64) {
    let entry = shop.statement(customer).await.swap_remove(0);
    (entry.r#type, entry.points)
}

#[tokio::test]
async fn a_transfer_moves_points_once_and_keeps_their_sum() {
    let shop = Shop::open(shared()).await;
    let (ada, bea) = (shop.enrol_with(100).await, shop.enrol_with(5).await);
    let done = transfer(&shop, &ada, &bea, 30).await.expect(200);
    assert_eq!((&done["status"], done["available"].as_i64()), (&json!("completed"), Some(70)), "{done}");
    shop.door.until_idle().await;
    let (gave, got) = (shop.balance(&ada).await, shop.balance(&bea).await);
    assert_eq!((gave.available, gave.lifetime_transferred), (70, -30));
    assert_eq!((got.available, got.lifetime_transferred), (35, 30));
    assert_eq!(newest(&shop, &ada).await, ("transfer".to_owned(), -30));
    assert_eq!(newest(&shop, &bea).await, ("transfer".to_owned(), 30));
}

#[tokio::test]
async fn a_transfer_that_the_other_side_refuses_comes_back_whole() {
    let shop = Shop::open(shared()).await;
    let (ada, bea) = (shop.enrol_with(100).await, shop.enrol().await);
    freeze(&shop, &bea, "freeze").await.expect(200);
    let back = transfer(&shop, &ada, &bea, 30).await.expect(200);
    assert_eq!((&back["status"], back["available"].as_i64()), (&json!("returned"), Some(100)), "{back}");
    shop.door.until_idle().await;
    let expected = Balance { available: 100, lifetime_earned: 100, ..Balance::default() };
    assert_eq!(shop.balance(&ada).await, expected);
    assert_eq!(shop.balance(&bea).await, Balance::default());
}

#[tokio::test]
async fn points_for_somebody_who_was_merged_reach_the_one_who_stays() {
    let shop = Shop::open(shared()).await;
    let (kept, gone) = (person(), person());
    for who in [&kept, &gone] {
        shop.delivered("customers/create", who.body()).await;
    }
    let (kept_id, gone_id) = (shop.customer_id(kept.id).await, shop.customer_id(gone.id).await);
    shop.delivered("customers/merge", merge(&kept, &gone, "completed")).await;
    let ada = shop.enrol_with(100).await;
    assert_eq!(transfer(&shop, &ada, &gone_id, 30).await.expect(200)["status"], "completed");
    shop.door.until_idle().await;
    assert_eq!((shop.balance(&kept_id).await.available, shop.balance(&gone_id).await.net()), (30, 0));
}

#[tokio::test]
async fn a_frozen_account_refuses_what_is_asked_and_settles_what_must_be() {
    let shop = Shop::open(shared()).await;
    shop.set(&json!({"actions": {"product-review": {"points": 5}}})).await;
    let (ada, bea) = (person(), shop.enrol_with(10).await);
    let first = order().by(&ada).line(80_00, 1).paid();
    shop.delivered("orders/paid", first.body(&shop)).await;
    let customer = shop.customer_id(ada.id).await;
    let redeemed = shop.redeem(&customer, 30).await.expect(200);
    freeze(&shop, &customer, "freeze").await.expect(200);

    for refused in [
        shop.redeem(&customer, 10).await,
        shop.earn(&customer, 10, "frozen").await,
        act(&shop, &customer, "frozen").await,
        transfer(&shop, &customer, &bea, 10).await,
    ] {
        refused.problem(409, "account-frozen");
    }
    assert_eq!(shop.balance(&customer).await.available, 50);

    let second = order().by(&ada).line(7_00, 1).paid();
    shop.delivered("orders/paid", second.body(&shop)).await;
    assert_eq!(shop.balance(&customer).await.available, 57);
    let back = refund(&first).part(&first.lines[0], 1, 20_00, 0);
    shop.delivered("refunds/create", back.body(&shop)).await;
    assert_eq!(shop.balance(&customer).await.available, 37);
    shop.cancel(redeemed["redemption_id"].as_str().unwrap()).await.expect(200);
    shop.adjust(&customer, -7).await.expect(200);
    shop.door.until_idle().await;
    assert_eq!(shop.balance(&customer).await.available, 60);

    freeze(&shop, &customer, "unfreeze").await.expect(200);
    shop.redeem(&customer, 60).await.expect(200);
}

#[tokio::test]
async fn a_merge_takes_along_debt_limits_freezes_and_what_can_still_be_given_back() {
    let shop = Shop::open(shared()).await;
    let reviews = json!({"points": 5, "limit": {"count": 2, "per": "year"}});
    shop.set(&json!({"actions": {"product-review": reviews}})).await;
    let (kept, gone) = (person(), person());
    for who in [&kept, &gone] {
        shop.delivered("customers/create", who.body()).await;
    }
    let (kept_id, gone_id) = (shop.customer_id(kept.id).await, shop.customer_id(gone.id).await);
    act(&shop, &kept_id, "one").await.expect(200);
    act(&shop, &gone_id, "two").await.expect(200);
    shop.earn(&gone_id, 95, "visit").await.expect(200);
    let redeemed = shop.redeem(&gone_id, 100).await.expect(200);
    let owes = json!({
        "customer_id": gone_id, "points": -40, "reason_code": "mistake", "allow_negative": true
    });
    shop.post("/v1/api/points/adjust", &owes).await.expect(200);
    shop.delivered("customers/merge", merge(&kept, &gone, "completed")).await;

    let balance = shop.balance(&kept_id).await;
    assert_eq!((balance.available, balance.debt), (0, 35), "five points repay five of forty");
    act(&shop, &kept_id, "three").await.problem(409, "action-limit-reached");
    assert_eq!(act(&shop, &kept_id, "two").await.expect(200)["points"], 5, "told again, not earned again");
    shop.earn(&kept_id, 95, "visit").await.expect(200);
    assert_eq!(shop.balance(&kept_id).await.debt, 35, "the source was honoured before the merge");
    shop.cancel(redeemed["redemption_id"].as_str().unwrap()).await.expect(200);
    shop.door.until_idle().await;
    let balance = shop.balance(&kept_id).await;
    assert_eq!((balance.available, balance.debt), (65, 0));
    for refused in [shop.redeem(&gone_id, 10).await, shop.earn(&gone_id, 1, "new").await] {
        let body = refused.problem(409, "account-merged");
        assert!(body["detail"].as_str().unwrap().contains(&kept_id), "{body}");
    }
    assert_eq!(shop.balance(&gone_id).await.net(), 0);
}

#[tokio::test]
async fn every_kind_of_reward_is_redeemed_at_its_price_and_a_retired_one_no_more() {
    let shop = Shop::open(shared()).await;
    let customer = shop.enrol_with(1000).await;
    let mut left = 1000;
    for (benefit, points) in [
        (json!({"kind": "fixed-discount", "amount": {"amount": "5.00", "currency": "USD"}}), 400),
        (json!({"kind": "percentage", "percent": 15}), 150),
        (json!({"kind": "free-shipping"}), 50),
    ] {
        let define = json!({"name": "A reward", "benefit": benefit, "points": points});
        let reward = shop.post(REWARDS, &define).await.expect(201);
        let redeem = json!({"customer_id": customer, "reward_id": reward["reward_id"]});
        let done = shop.post(REDEEM, &redeem).await.expect(200);
        left -= points;
        assert_eq!(
            (&done["status"], done["available"].as_i64()),
            (&json!("completed"), Some(left)),
            "{done}"
        );
        assert!(done["code"].is_string(), "{done}");
        let path = format!("{REWARDS}/{}", reward["reward_id"].as_str().unwrap());
        let retired = shop.request(Method::DELETE, &path).send().await.unwrap();
        let retired = Answer::read(retired).await.unwrap();
        assert_eq!(retired.expect(200)["status"], "retired");
        let refused = shop.post(REDEEM, &redeem).await.problem(409, "reward-retired");
        assert_eq!(refused["errors"][0]["pointer"], "/reward_id", "{refused}");
        // A code that was issued can still be given back.
        shop.cancel(done["redemption_id"].as_str().unwrap()).await.expect(200);
        left += points;
        shop.door.until_idle().await;
        assert_eq!(shop.balance(&customer).await.available, left);
    }
    let unknown = json!({"customer_id": customer, "reward_id": "01900000-0000-7000-8000-00000000dead"});
    let refused = shop.post(REDEEM, &unknown).await.problem(404, "unknown-reward");
    assert_eq!(refused["errors"][0]["pointer"], "/reward_id", "{refused}");
}

#[tokio::test]
async fn whoever_is_not_there_is_not_found_by_any_call() {
    let (shop, elsewhere) = (Shop::open(shared()).await, Shop::open(shared()).await);
    let (customer, stranger) = (shop.enrol_with(100).await, elsewhere.enrol_with(100).await);
    for refused in [
        shop.earn(&stranger, 1, "s").await,
        shop.adjust(&stranger, 1).await,
        shop.redeem(&stranger, 1).await,
        act(&shop, &stranger, "s").await,
        transfer(&shop, &stranger, &customer, 1).await,
        transfer(&shop, &customer, &stranger, 1).await,
        freeze(&shop, &stranger, "freeze").await,
        freeze(&shop, &stranger, "unfreeze").await,
    ] {
        refused.problem(404, "customer-not-found");
    }
    assert_eq!(shop.balance(&customer).await.available, 100);
    assert_eq!(elsewhere.balance(&stranger).await.available, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_clients_at_the_last_points_never_make_a_point_and_never_lose_one() {
    let shop = Shop::open(shared()).await;
    let (customer, other) = (shop.enrol_with(1000).await, shop.enrol().await);
    let asked: Vec<_> = (0..64)
        .map(|number| {
            let (shop, customer, other) = (shop.clone(), customer.clone(), other.clone());
            tokio::spawn(async move {
                // Three in four redeem, the others give points away; 64 times 30 is nearly twice what there is.
                let answer = match number % 4 {
                    0 => transfer(&shop, &customer, &other, 30).await,
                    _ => shop.redeem(&customer, 30).await,
                };
                if answer.status != 200 {
                    answer.problem(409, "insufficient-points");
                    return (0, 0);
                }
                if number % 4 == 0 { (0, 30) } else { (30, 0) }
            })
        })
        .collect();
    let (mut redeemed, mut given) = (0, 0);
    for answer in asked {
        let (one, two) = answer.await.unwrap();
        (redeemed, given) = (redeemed + one, given + two);
    }
    shop.door.until_idle().await;
    let (left, got) = (shop.balance(&customer).await, shop.balance(&other).await);
    assert_eq!((redeemed + given, left.available), (990, 10), "33 of them are served");
    assert_eq!((left.lifetime_redeemed, left.lifetime_transferred), (redeemed, -given));
    assert_eq!((got.available, got.lifetime_transferred, left.reserved), (given, given, 0));
    shop.statement(&customer).await;
}
