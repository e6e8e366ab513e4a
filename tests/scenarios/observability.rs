//! Request ids, traces, health, metrics, and the document that describes the routes.
use reqwest::Method;
use serde_json::Value;

use crate::{
    harness::{Door, Server, Shop, shared},
    shopify::{order, person},
};

#[tokio::test]
async fn a_request_id_is_taken_if_it_is_an_id_and_given_otherwise() {
    let door = Door::of(shared());
    let ask = async |id: Option<&str>| {
        let mut request = door.request(Method::GET, "/livez");
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let response = request.send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    let own = "0190a000-0000-7000-8000-000000000001";
    assert_eq!(ask(Some(own)).await, own);
    assert_eq!(ask(Some(&own.replace('-', ""))).await.replace('-', ""), own.replace('-', ""));
    for foreign in [None, Some("jon@example.com"), Some("42")] {
        let given = ask(foreign).await;
        assert!(given.len() == 36 && Some(given.as_str()) != foreign, "{foreign:?}: {given}");
    }
}

#[tokio::test]
async fn the_trace_of_a_request_is_in_its_log_lines() {
    let server = Server::start_on(&crate::harness::Folder::new(), &[("LOYALNEST_LOG_FILTER", "debug")]);
    let shop = Shop::open(&server).await;
    let customer = shop.enrol().await;
    let id = "0190a000-0000-7000-8000-00000000beef";
    let body =
        serde_json::json!({"customer_id": customer, "points": 5, "reason": "goodwill", "source_id": "x"});
    let request = shop.request(Method::POST, "/v1/api/points/earn").header("x-request-id", id).json(&body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let printed = server.last_printed();
    let lines: Vec<_> = printed.lines().filter(|line| line.contains(id)).collect();
    assert!(lines.iter().any(|line| line.contains("/v1/api/points/earn")), "{printed}");
    assert!(!printed.contains(&shop.token), "a token stands in the log");
}

/// How often these bytes stand in the log's files.
fn in_the_log(server: &Server, bytes: &[u8]) -> usize {
    let files = ["log.db", "log.db-wal"]
        .map(|name| std::fs::read(server.folder.data().join(name)).unwrap_or_default());
    files.iter().map(|file| file.windows(bytes.len()).filter(|window| *window == bytes).count()).sum()
}

#[tokio::test]
async fn request_id_and_trace_reach_every_record_that_a_delivery_causes() {
    let server = Server::start();
    let shop = Shop::open(&server).await;
    let (id, trace) = (uuid::Uuid::now_v7(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128);
    let webhook = shop
        .webhook("orders/paid", order().by(&person()).line(5_00, 1).paid().body(&shop))
        .with("x-request-id", &id.to_string())
        .with("traceparent", &format!("00-{trace:032x}-00f067aa0ba902b7-01"));
    shop.accept(&webhook).await;
    shop.door.until_idle().await;
    // Customer, order, account: registered, observed, opened and settled, each a record at least.
    for bytes in [id.into_bytes(), trace.to_be_bytes()] {
        assert!(
            in_the_log(&server, &bytes) >= 3,
            "{} records have {bytes:02x?}",
            in_the_log(&server, &bytes)
        );
    }
}

#[tokio::test]
async fn health_is_told_to_people_machines_and_balancers() {
    let door = Door::of(shared());
    assert_eq!(door.get("/health").await.expect(200), serde_json::json!({"status": "healthy"}));
    for path in ["/livez", "/readyz"] {
        assert_eq!(door.get(path).await.status, 200, "{path}");
    }
    let checks = door.get("/healthz").await.expect(200).to_string();
    for part in ["log", "keys", "work"] {
        assert!(checks.contains(part), "{part} in {checks}");
    }
}

#[tokio::test]
async fn metrics_are_in_prometheus_form_and_name_routes_not_paths() {
    let shop = Shop::open(shared()).await;
    let ada = person();
    let order = order().by(&ada).line(5_00, 1).paid();
    shop.delivered("orders/paid", order.body(&shop)).await;
    shop.order(order.id).await;
    let answer = shop.door.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{:?}", answer.headers);
    let text = answer.text;
    assert!(text.contains("http_requests_total{"), "{text}");
    assert!(text.contains("/v1/api/webhooks/{resource}/{event}"), "{text}");
    assert!(!text.contains(&order.id.to_string()), "an order's id is in the metrics");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn queues_name_every_policy_and_projection() {
    let door = Door::of(shared());
    door.until_idle().await;
    let queues = door.queues().await;
    let names = |part: &str| -> Vec<String> {
        let items = queues[part].as_array().unwrap_or_else(|| panic!("{part} in {queues}"));
        assert!(items.iter().all(|item| item["lag_events"].is_u64()), "{queues}");
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(names("policies").iter().any(|name| name == "order-settlement"), "{queues}");
    for name in ["merchants", "program_settings", "points_balance", "points_statement", "orders", "customers"]
    {
        assert!(names("projections").iter().any(|found| found == name), "{name} in {queues}");
    }
    assert!(queues["projections"].as_array().unwrap().iter().all(|item| item["parked"] == 0), "{queues}");
    assert!(queues["inbox"]["pending"].is_u64() && queues["inbox"]["dead_lettered"].is_u64(), "{queues}");
}

#[tokio::test]
async fn the_served_document_is_the_committed_one_and_describes_every_route_of_the_contract() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let committed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let served = Door::of(shared()).get("/openapi.json").await.expect(200);
    assert!(served == committed, "docs/openapi.json has drifted; `cargo xtask generate` writes it");
    for (method, path) in [
        ("post", "/admin/merchants"),
        ("get", "/admin/queues"),
        ("post", "/admin/clock"),
        ("post", "/v1/api/webhooks/{resource}/{event}"),
        ("get", "/v1/api/webhooks/deliveries/{webhook_id}"),
        ("get", "/v1/api/core/settings"),
        ("put", "/v1/api/core/settings"),
        ("get", "/v1/api/users/get"),
        ("post", "/v1/api/users/create"),
        ("get", "/v1/api/points/balance"),
        ("get", "/v1/api/points/statement"),
        ("post", "/v1/api/points/earn"),
        ("post", "/v1/api/points/adjust"),
        ("post", "/v1/api/points/redeem"),
    ] {
        assert!(committed["paths"][path][method].is_object(), "{method} {path}");
    }
}
