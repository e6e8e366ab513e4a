//! Sums beyond 64 bits are refused and seen; they neither wrap, nor loop, nor hold up anybody else.
use serde_json::json;

use crate::{
    harness::{Server, Shop},
    shopify::{order, person},
};

#[tokio::test]
async fn an_award_that_no_account_can_hold_is_parked_in_sight_and_the_rest_goes_on() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    shop.set(&json!({"earn": {"points_per_unit": "1000000"}})).await;
    let (ada, ben) = (person(), person());
    // 5.5e14 cents at a million points per dollar: 5.5e18 points, and twice that is too much.
    let huge = || order().by(&ada).line(550_000_000_000_000, 1).paid();
    assert_eq!(shop.delivered("orders/paid", huge().body(&shop)).await.status, "processed");
    let points = 5_500_000_000_000_000_000;
    assert_eq!(shop.balance_of(ada.id).await.available, points);
    shop.delivered("orders/paid", huge().body(&shop)).await;
    assert_eq!(shop.balance_of(ada.id).await.available, points);

    let outcome =
        shop.delivered("orders/paid", order().by(&ada).line(i64::MAX / 2, 1).paid().body(&shop)).await;
    assert_eq!(outcome.status, "dead_lettered", "{outcome:?}");
    let queues = shop.door.queues().await;
    assert_eq!(queues["parked_tasks"], 1, "{queues}");

    shop.delivered("orders/paid", order().by(&ben).line(1, 1).paid().body(&shop)).await;
    assert_eq!(shop.balance_of(ben.id).await.available, 10_000);
}
