//! Health, metrics, settings, and the document of all routes.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use event_schemas::merchant::ProgramSettings;
use query_api::Probe;

use crate::shop::Shop;

#[derive(Default)]
struct Disk {
    full: AtomicBool,
}

impl Probe for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn check(&self) -> Result<(), String> {
        if self.full.load(Ordering::Relaxed) { Err("the disk is full".to_owned()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_part_that_fails_makes_the_process_unready_but_not_dead() {
    let disk = Arc::new(Disk::default());
    let shop = Shop::with_probes(vec![disk.clone()]).await;
    assert_eq!(shop.get("/health").await.body, serde_json::json!({ "status": "healthy" }));
    assert_eq!(shop.get("/readyz").await.status, 200);
    let checks = shop.get("/healthz").await.body;
    assert_eq!(checks["checks"][0], serde_json::json!({ "name": "projections", "status": "healthy" }));
    disk.full.store(true, Ordering::Relaxed);
    let answer = shop.get("/healthz").await;
    assert_eq!(answer.status, 503);
    let failing = serde_json::json!({ "name": "disk", "status": "unhealthy", "detail": "the disk is full" });
    assert_eq!(answer.body["checks"][1], failing);
    assert_eq!(shop.get("/readyz").await.status, 503);
    assert_eq!(shop.get("/livez").await.status, 200);
    assert_eq!(shop.get("/health").await.status, 200);
}

#[tokio::test]
async fn metrics_are_passed_on_as_they_are() {
    let answer = Shop::open().await.get("/metrics").await;
    assert_eq!(answer.body, "up 1\n");
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
}

#[tokio::test]
async fn settings_are_the_whole_document_and_its_version() {
    let shop = Shop::open().await;
    let body = shop.get("/v1/api/core/settings").await.body;
    let mut expected = serde_json::to_value(ProgramSettings::default()).unwrap();
    expected["version"] = 1.into();
    assert_eq!(body, expected);
}

#[tokio::test]
async fn nothing_lags_when_all_is_visible() {
    let mut shop = Shop::open().await;
    let customer = shop.registers("7001", "ada@example.com").await;
    shop.get(&format!("/v1/api/points/balance?customer_id={customer}")).await;
    for partition in 0..shop.log.partitions() {
        let end = shop.log.end(partition);
        assert!(shop.progress.wait_for(partition, end, std::time::Duration::from_secs(5)).await);
    }
    let report = shop.progress.report();
    assert!(report.iter().all(|line| line.lag_events == 0 && line.parked == 0), "{report:?}");
}

/// Everything about a shop wants the shop's token and names its errors.
#[test]
fn the_document_says_who_may_ask_and_what_can_go_wrong() {
    let document = serde_json::to_value(query_api::document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 24);
    // The live feed is no answer at a position; it goes on from one.
    let reads = |path: &str| path.starts_with("/v1/") && path != "/v1/api/live";
    for (path, methods) in paths.iter().filter(|(path, _)| reads(path)) {
        let get = &methods["get"];
        assert_eq!(get["security"], serde_json::json!([{ "merchant": [] }]), "{path}");
        // An empty list is an answer; one thing may not be there.
        let lists = [
            "/v1/api/orders",
            "/v1/api/rewards",
            "/v1/api/products",
            "/v1/api/points/expiring",
            "/v1/api/privacy/requests",
        ];
        let not_found = (!lists.contains(&path.as_str())).then_some("404");
        for status in ["200", "400", "401", "409", "503"].into_iter().chain(not_found) {
            assert!(get["responses"].get(status).is_some(), "{path} {status}");
        }
        let names: Vec<_> = get["parameters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert!(names.contains(&&serde_json::Value::from("min_position")), "{path}: {names:?}");
    }
}
