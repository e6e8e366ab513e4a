//! The server of the log goes away under a running process and comes back: what is written is refused meanwhile, what is
//! read is not, health says so, and it all goes on by itself.
use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::verify::verified;
use crate::{
    harness::{Folder, OwnServer, Server, Shop, run},
    shopify::{order, person},
};

/// Long enough for every time-out on the way, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until health says whether all is well, and gives what it said.
async fn until_healthy(shop: &Shop, is_healthy: bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (health, ready) = (shop.door.get("/healthz").await, shop.door.get("/readyz").await);
        if (health.status == 200) == is_healthy && (ready.status == 200) == is_healthy {
            return serde_json::from_str(&health.text).unwrap();
        }
        assert!(Instant::now() < deadline, "{is_healthy}: {} {}", health.text, ready.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is answered on the sending is seen to be taken while nobody can keep it; whether it is lost with the server is seen
/// under several nodes.
async fn outlasted(folder: &Folder, away: impl FnOnce(), back: impl FnOnce()) {
    let bug = "answered-on-sending";
    let server = Server::start_on(folder, &[("LOYALNEST_PLANTED_BUG", bug)]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    #[cfg(feature = "planted-bugs")]
    let struck = shop.enrol_with(1000).await;
    shop.door.until_idle().await;
    until_healthy(&shop, true).await;

    away();
    #[cfg(feature = "planted-bugs")]
    {
        let adjust = json!({"customer_id": struck, "points": 11, "reason_code": bug});
        shop.post("/v1/api/points/adjust", &adjust).await.expect(200);
    }
    let redeem = json!({"customer_id": customer, "points": 300});
    let refused = shop.post_keyed("/v1/api/points/redeem", "meanwhile", &redeem).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(shop.balance(&customer).await.available, 1000, "what is read goes on");
    let said = until_healthy(&shop, false).await;
    let log = said["checks"].as_array().unwrap().iter().find(|check| check["name"] == "store").unwrap();
    assert_eq!(log["status"], "unhealthy", "{said:#}");

    back();
    until_healthy(&shop, true).await;
    for _ in 0..2 {
        let asked = shop.post_keyed("/v1/api/points/redeem", "meanwhile", &redeem).await;
        asked.expect(200);
        assert_eq!(shop.balance(&customer).await.available, 700, "once, however often it is asked");
    }
    shop.redeem(&customer, 700).await.expect(200);
    shop.door.until_idle().await;
    assert!(server.end_by("TERM").0.success());
    let (code, report) = verified(folder);
    assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("sound")), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_crashes_and_comes_back() {
    let database = RefCell::new(OwnServer::postgres());
    let folder = Folder::with_log(&database.borrow().url);
    outlasted(&folder, || database.borrow().signal(1, "QUIT"), || database.borrow_mut().restart(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_stands_still_and_goes_on() {
    let (database, standing) = (OwnServer::postgres(), RefCell::new(None));
    let folder = Folder::with_log(&database.url);
    let stop = || *standing.borrow_mut() = Some(database.stand_still());
    outlasted(&folder, stop, || drop(standing.take())).await;
}

/// Only keys and inbox are away: nothing is taken that could not be kept, and what needs neither goes on. With a connection
/// that is never made anew the node was seen to stay unhealthy.
async fn outlasted_by_stores(url: &str, away: impl FnOnce(), back: impl FnOnce()) {
    let server = Server::start_on(&Folder::with_stores(url), &[]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    shop.door.until_idle().await;

    away();
    let redeem = json!({"customer_id": customer, "points": 300});
    let refused = shop.post_keyed("/v1/api/points/redeem", "meanwhile", &redeem).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let ada = person();
    let delivery = shop.webhook("orders/paid", order().by(&ada).line(50_00, 1).paid().body(&shop));
    assert_eq!(delivery.send(&shop.door).await.status, 503);
    assert_eq!(shop.balance(&customer).await.available, 1000, "what is read goes on");
    let said = until_healthy(&shop, false).await;
    let of = |name| said["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned();
    assert_eq!(of("work").unwrap()["status"], "unhealthy", "{said:#}");
    assert_eq!(of("log").unwrap()["status"], "healthy", "{said:#}");

    back();
    until_healthy(&shop, true).await;
    for _ in 0..2 {
        shop.post_keyed("/v1/api/points/redeem", "meanwhile", &redeem).await.expect(200);
        assert_eq!(shop.balance(&customer).await.available, 700, "once, however often it is asked");
    }
    shop.accept(&delivery).await;
    shop.door.until_idle().await;
    assert_eq!(shop.balance_of(ada.id).await.available, 50);
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    assert_eq!(verified(&folder).0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_of_keys_and_inbox_that_crashes_and_comes_back() {
    let database = RefCell::new(OwnServer::postgres());
    let url = database.borrow().url.clone();
    outlasted_by_stores(&url, || database.borrow().signal(1, "QUIT"), || database.borrow_mut().restart(1))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_of_keys_and_inbox_that_stands_still_and_goes_on() {
    let (database, standing) = (OwnServer::postgres(), RefCell::new(None));
    let stop = || *standing.borrow_mut() = Some(database.stand_still());
    outlasted_by_stores(&database.url, stop, || drop(standing.take())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_is_killed_and_comes_back() {
    let broker = RefCell::new(OwnServer::kafka(1));
    let folder = Folder::with_log(&broker.borrow().url);
    outlasted(&folder, || broker.borrow().signal(1, "KILL"), || broker.borrow_mut().restart(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_stands_still_and_goes_on() {
    let broker = OwnServer::kafka(1);
    let folder = Folder::with_log(&broker.url);
    outlasted(&folder, || broker.signal(1, "STOP"), || broker.signal(1, "CONT")).await;
}

/// The log and the rest are files; only the read models are away. With a projector that gives up at the first failure the
/// last balance was seen to stay behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_of_the_read_models_that_crashes_and_comes_back_under_projectors() {
    let mut database = OwnServer::postgres();
    let server = Server::start_on(&Folder::with_reads(&database.url), &[]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    shop.door.until_idle().await;
    assert_eq!(shop.balance(&customer).await.available, 1000);

    database.signal(1, "QUIT");
    shop.redeem(&customer, 300).await.expect(200);
    let refused = shop.balance_with(&customer, &[]).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let said = until_healthy(&shop, false).await;
    let of = |name| said["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned();
    assert_eq!(of("projections").unwrap()["status"], "unhealthy", "{said:#}");
    assert_eq!(of("store").unwrap()["status"], "healthy", "{said:#}");

    database.restart(1);
    until_healthy(&shop, true).await;
    shop.door.until_idle().await;
    assert_eq!(shop.balance(&customer).await.available, 700);
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    let rebuilt = run(&folder, &["rebuild", "--dry-run", "--json", "--data", "data"], &[]);
    assert_eq!(rebuilt.status.code(), Some(0), "{rebuilt:?}");
}

/// Only the read models stand still, under projectors and readers: who asks is told to come again, what is written goes on,
/// and all of it is seen once they go on. With readers that wait for as long as it takes, the question was seen to have no
/// answer for half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_of_the_read_models_that_stands_still_and_goes_on() {
    let database = OwnServer::postgres();
    let server = Server::start_on(&Folder::with_reads(&database.url), &[]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol_with(1000).await;
    shop.door.until_idle().await;

    let standing = database.stand_still();
    shop.redeem(&customer, 300).await.expect(200);
    let refused = shop.balance_with(&customer, &[]).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.header("retry-after").is_some() && !refused.text.contains("timed-out"), "{refused:?}");
    shop.redeem(&customer, 100).await.expect(200);

    drop(standing);
    until_healthy(&shop, true).await;
    shop.door.until_idle().await;
    assert_eq!(shop.balance(&customer).await.available, 600);
    let (status, folder) = server.end_by("TERM");
    assert!(status.success());
    let rebuilt = run(&folder, &["rebuild", "--dry-run", "--json", "--data", "data"], &[]);
    assert_eq!(rebuilt.status.code(), Some(0), "{rebuilt:?}");
}
