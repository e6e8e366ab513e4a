//! A client reads its own writes, and may demand a position.
use std::time::{Duration, Instant};

use event_log::{Hash, LogId, Position, PositionToken};
use projections::Projections;

use crate::shop::Shop;

#[tokio::test]
async fn what_was_appended_before_the_question_is_in_the_answer() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    for earned in 1..=50 {
        shop.earns(customer, 1, earned).await;
        let answer = shop.get(&format!("/v1/api/points/balance?customer_id={customer}")).await;
        assert_eq!(answer.body["available"], earned);
    }
}

#[tokio::test]
async fn a_demanded_position_is_waited_for() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    let position = shop.earns(customer, 9, 9).await;
    let path = format!("/v1/api/points/balance?customer_id={customer}&min_position={position}");
    let answer = shop.get(&path).await;
    assert_eq!((answer.status.as_u16(), &answer.body["available"]), (200, &9.into()));
    let again = answer.body["position"].as_str().unwrap();
    let path = format!("/v1/api/points/statement?customer_id={customer}&min_position={again}");
    assert_eq!(shop.get(&path).await.status, 200);
}

#[tokio::test]
async fn a_position_that_does_not_come_is_unavailable_after_two_seconds() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let ahead = PositionToken::new(shop.log.id(), 1, Position::new(1_000_000), Hash::ZERO);
    let started = Instant::now();
    let answer =
        shop.get(&format!("/v1/api/points/balance?customer_id={customer}&min_position={ahead}")).await;
    assert_eq!(answer.code(), (503, "not-caught-up"));
    assert_eq!(answer.headers["retry-after"], "1");
    let waited = started.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn a_position_of_another_history_is_a_conflict() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    let foreign = PositionToken::new(LogId::random(), 0, Position::new(1), Hash::ZERO);
    for path in ["points/balance", "points/statement", "points/redemptions", "users/get"] {
        let answer = shop.get(&format!("/v1/api/{path}?customer_id={customer}&min_position={foreign}")).await;
        assert_eq!(answer.code(), (409, "other-history"), "{path}");
    }
    let answer = shop.get(&format!("/v1/api/core/settings?min_position={foreign}")).await;
    assert_eq!(answer.code(), (409, "other-history"));
    let beyond = PositionToken::new(shop.log.id(), 99, Position::new(1), Hash::ZERO);
    let answer = shop.get(&format!("/v1/api/core/settings?min_position={beyond}")).await;
    assert_eq!(answer.code(), (400, "invalid-parameter"));
}

/// Catches: a node that looks only at whether it stopped itself.
#[tokio::test]
async fn rows_that_nobody_folds_any_more_are_not_shown_as_current() {
    let mut shop = Shop::folded_elsewhere(Duration::from_millis(200)).await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    let position = shop.earns(customer, 5, 5).await;
    let path = format!("/v1/api/points/balance?customer_id={customer}");
    let answer = shop.until(&format!("{path}&min_position={position}"), 200).await;
    assert_eq!(answer.body["available"], 5);
    drop(shop.projector.take());
    shop.earns(customer, 4, 9).await;
    let answer = shop.until(&path, 503).await;
    assert_eq!(answer.code(), (503, "projections-stopped"));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(shop.get("/v1/api/live").await.code(), (503, "projections-stopped"));
    let health = shop.get("/healthz").await.body;
    assert_eq!(health["checks"][0]["status"], "degraded", "{health}");
    assert_eq!(shop.get("/readyz").await.status, 200);
    assert!(shop.progress.report().iter().all(|report| report.error.is_some()));
    shop.projector = Some(Projections::start(shop.log.clone(), shop.store.clone()).await.unwrap());
    assert_eq!(shop.until(&path, 200).await.body["available"], 9);
    assert_eq!(shop.get("/healthz").await.body["status"], "healthy");
}

/// Catches: a program that reads what a newer one built, and one that calls itself ready for it.
#[tokio::test]
async fn read_models_of_a_newer_program_are_not_shown_by_an_older_one() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.opens_account(customer).await;
    let path = format!("/v1/api/points/balance?customer_id={customer}");
    assert_eq!(shop.get(&path).await.status, 200);
    projections::testing::upgrade(&shop.store, "points_balance").await.unwrap();
    let answer = shop.get(&path).await;
    assert_eq!(answer.code(), (503, "projections-stopped"));
    assert_eq!(answer.headers["retry-after"], "1");
    shop.earns(customer, 4, 9).await;
    shop.until("/readyz", 503).await;
    let detail = shop.get("/healthz").await.body["checks"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("update this node"), "{detail}");
    assert_eq!(shop.get(&path).await.code(), (503, "projections-stopped"));
}
