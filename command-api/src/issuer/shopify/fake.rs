//! A fake shop that keeps its discounts like Shopify does, and whose answers go wrong on demand.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, body::Body, extract::State, http::HeaderMap, response::Response, routing::post};
use serde_json::{Value, json};

use super::{
    Shopify,
    client::{Client, Pace},
};

pub(crate) const DOMAIN: &str = "demo-1.myshopify.com";
pub(crate) const ACCESS: &str = "shpat_test";
/// Short enough for a test to wait for an answer that never comes.
const PACE: Pace = Pace { try_within: Duration::from_millis(300), pause: Duration::from_millis(2) };

/// What goes wrong with one answer; its request may have had its effect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The effect, then no answer in time.
    SilentAfter,
    /// No effect, no answer in time.
    SilentBefore,
    /// The effect, then 502.
    BadGatewayAfter,
    /// 503 without effect.
    Unavailable,
    /// 429 without effect.
    TooMany,
    /// 200 with a throttled error, without effect.
    Throttled,
    /// 200 with an internal error, without effect.
    Internal,
    /// A user error of this code, without effect.
    User(&'static str),
    /// 401.
    Unauthorised,
    /// Something that is not JSON.
    Nonsense,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Discount {
    pub(crate) code: String,
    pub(crate) title: String,
    pub(crate) input: Value,
    pub(crate) active: bool,
    /// Orders that used it.
    pub(crate) used: u64,
}

#[derive(Default)]
pub(crate) struct Shop {
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) discounts: Vec<Discount>,
    pub(crate) requests: usize,
}

pub(crate) type Shared = Arc<Mutex<Shop>>;

/// The fake shop, and an issuer that talks to it.
pub(crate) async fn shop(faults: &[Fault]) -> (Shared, Shopify) {
    let shared = Shared::default();
    shared.lock().unwrap().faults = faults.iter().copied().collect();
    let routes =
        Router::new().route("/admin/api/2026-10/graphql.json", post(answer)).with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let credentials = [(DOMAIN.parse().unwrap(), ACCESS.to_owned())].into_iter().collect();
    let client = Client::new("2026-10", Some(&url), PACE).unwrap();
    (shared, Shopify { client, credentials })
}

async fn answer(State(shop): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let fault = {
        let mut shop = shop.lock().unwrap();
        shop.requests += 1;
        shop.faults.pop_front()
    };
    if headers["x-shopify-access-token"] != ACCESS {
        return status(401);
    }
    match fault {
        None => reply(&apply(&shop, &body)),
        Some(Fault::SilentAfter) => {
            apply(&shop, &body);
            std::future::pending().await
        }
        Some(Fault::SilentBefore) => std::future::pending().await,
        Some(Fault::BadGatewayAfter) => {
            apply(&shop, &body);
            status(502)
        }
        Some(Fault::Unavailable) => status(503),
        Some(Fault::TooMany) => status(429),
        Some(Fault::Throttled) => reply(&throttled()),
        Some(Fault::Internal) => {
            reply(&json!({ "errors": [{ "extensions": { "code": "INTERNAL_SERVER_ERROR" } }] }))
        }
        Some(Fault::User(code)) => reply(&refused(code)),
        Some(Fault::Unauthorised) => status(401),
        Some(Fault::Nonsense) => Response::new(Body::from("<html>")),
    }
}

fn status(status: u16) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

fn reply(body: &Value) -> Response {
    Response::new(Body::from(body.to_string()))
}

fn throttled() -> Value {
    json!({
        "errors": [{ "message": "Throttled", "extensions": { "code": "THROTTLED" } }],
        "extensions": { "cost": { "requestedQueryCost": 10, "throttleStatus": {
            "maximumAvailable": 2000.0, "currentlyAvailable": 10, "restoreRate": 100.0,
        } } },
    })
}

fn refused(code: &str) -> Value {
    let error = json!({ "code": code, "field": ["discount"], "message": "LN-SECRET" });
    let refused = json!({ "codeDiscountNode": null, "userErrors": [error] });
    json!({ "data": { "made": refused, "voided": refused } })
}

/// What the shop does: codes are unique whatever their case.
fn apply(shop: &Shared, body: &Value) -> Value {
    let (query, variables) = (body["query"].as_str().unwrap(), &body["variables"]);
    let mut shop = shop.lock().unwrap();
    if query.starts_with("mutation LoyalNestCreate") {
        let input = &variables["discount"];
        let text = |name: &str| input[name].as_str().unwrap().to_owned();
        let code = text("code");
        if shop.discounts.iter().any(|other| other.code.eq_ignore_ascii_case(&code)) {
            return refused("TAKEN");
        }
        let active = input["endsAt"].is_null();
        shop.discounts.push(Discount { code, title: text("title"), input: input.clone(), active, used: 0 });
        let id = shop.discounts.len().to_string();
        return json!({ "data": { "made": { "codeDiscountNode": { "id": id }, "userErrors": [] } } });
    }
    if query.starts_with("query LoyalNestFind") {
        let at = shop.discounts.iter().position(|discount| discount.code == variables["code"]);
        let found = at.map(|at| {
            let Discount { title, used, .. } = &shop.discounts[at];
            json!({ "id": (at + 1).to_string(), "codeDiscount": { "title": title, "asyncUsageCount": used } })
        });
        return json!({ "data": { "found": found } });
    }
    let number: usize = variables["id"].as_str().unwrap().parse().unwrap();
    shop.discounts[number - 1].active = false;
    json!({ "data": { "voided": { "codeDiscountNode": {}, "userErrors": [] } } })
}
