//! Calls about somebody who was erased, or in a shop that was: what is refused leaves nothing behind.
use axum::http::Method;
use event_schemas::CustomerId;
use group_commit::values;
use privacy::Whom;
use serde_json::{Value, json};
use uuid::Uuid;

use super::tests::Api;

/// What is left of the person whom calls are about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    /// They are there.
    Everything,
    /// Their key is fenced, and nothing else knows of it yet.
    BehindAFence,
    /// They are erased.
    Nothing,
    /// The shop is, with everybody in it.
    NotTheShop,
}

/// A customer whom Shopify knows, with points and a redemption; somebody with points to give away; a reward.
struct World {
    api: Api,
    customer: CustomerId,
    giver: CustomerId,
    redemption: String,
    reward: String,
}

impl World {
    async fn start() -> Self {
        let api = Api::start().await;
        let settings = json!({"actions": {"birthday": {"points": 5}}});
        assert_eq!(api.put_settings(settings).await.code(), (200, ""));
        let created = api.post("/v1/api/users/create", json!({"shopify_customer_id": "7"})).await;
        let customer: CustomerId = created.body["customer_id"].as_str().unwrap().parse().unwrap();
        for whose in [customer, api.customer] {
            let earn = json!({"customer_id": whose, "points": 100, "reason": "visit", "source_id": "first"});
            api.post("/v1/api/points/earn", earn).await;
        }
        let redeem = json!({"customer_id": customer, "points": 10});
        let redeemed = api.post("/v1/api/points/redeem", redeem).await;
        let defined = api.post("/v1/api/rewards", reward()).await;
        let id = |of: &Value| of.as_str().unwrap().to_owned();
        let (redemption, reward) = (id(&redeemed.body["redemption_id"]), id(&defined.body["reward_id"]));
        Self { customer, giver: api.customer, redemption, reward, api }
    }

    /// The body of a call that is about the person or, where that cannot be, about the shop; nothing of one that keeps
    /// nothing or, for people's data, keeps it under their names.
    fn body(&self, call: &str) -> Option<Value> {
        let (customer, reason) = (self.customer, "gift");
        Some(match call {
            "post /v1/api/points/actions" => {
                json!({"customer_id": customer, "action": "birthday", "source_id": "r"})
            }
            "post /v1/api/points/adjust" => {
                json!({"customer_id": customer, "points": 1, "reason_code": reason})
            }
            "post /v1/api/points/earn" => {
                json!({"customer_id": customer, "points": 1, "reason": reason, "source_id": "s"})
            }
            "post /v1/api/points/expiry/extend" => {
                json!({"customer_id": customer, "until": "2999-01-01T00:00:00Z", "reason_code": reason})
            }
            "post /v1/api/points/freeze" | "post /v1/api/points/unfreeze" => {
                json!({"customer_id": customer, "reason_code": reason})
            }
            "post /v1/api/points/redeem" => json!({"customer_id": customer, "points": 10}),
            "post /v1/api/points/sync" => {
                let entry = json!({"sequence": 1, "type": "earn", "customer_id": customer, "points": 1,
                    "occurred_at": "2026-01-01T00:00:00Z"});
                json!({"device_id": Uuid::from_u128(3), "entries": [entry]})
            }
            "post /v1/api/points/transfer" => {
                json!({"from_customer_id": self.giver, "to_customer_id": customer, "points": 1,
                    "reason_code": reason})
            }
            "post /v1/api/users/create" => json!({"shopify_customer_id": "7"}),
            "post /v1/api/rewards" | "post /v1/api/rewards/{id}" => reward(),
            "post /v1/api/points/redemptions/{id}/cancel" | "delete /v1/api/rewards/{id}" => json!({}),
            "post /v1/api/points/simulate"
            | "post /v1/api/privacy/export"
            | "post /v1/api/privacy/redact"
            | "post /v1/api/webhooks/dead-letters/{id}/redrive"
            | "post /v1/api/webhooks/{resource}/{event}"
            | "put /v1/api/core/settings" => return None,
            _ => panic!("{call}: what is it about, and is anything kept of it?"),
        })
    }

    /// The status and code of a call under a key of its own.
    async fn call(&self, call: &str, left: Left, body: &Value) -> (u16, String) {
        let (method, path) = call.split_once(' ').unwrap();
        let id = if path.contains("redemptions") { &self.redemption } else { &self.reward };
        let (path, key) = (path.replace("{id}", id), format!("{left:?} {call}"));
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let token = self.api.bench.token(self.api.merchant);
        let reply = self.api.call(method, &path, &token, Some(&key), body).await;
        let (status, code) = reply.code();
        (status, code.to_owned())
    }

    /// Rows that are kept of calls, and their names.
    async fn kept(&self) -> (u64, u64) {
        const KEPT: &str =
            "SELECT (SELECT count(*) FROM idempotency), (SELECT count(*) FROM idempotency_subject)";
        let work = &self.api.bench.work;
        work.read(|work| work.one(KEPT, values![], |row| Ok((row.at(0)?, row.at(1)?)))).await.unwrap()
    }

    async fn lose(&self, left: Left) {
        let (bench, merchant) = (&self.api.bench, self.api.merchant);
        let (request, people) = (event_schemas::sample::REQUEST, [self.customer].into());
        match left {
            Left::Everything => {}
            Left::BehindAFence => {
                let whom = Whom::Person(vec![self.customer]);
                bench.keys.fence(merchant, &whom, request.0).await.unwrap();
            }
            Left::Nothing => {
                bench.erase(merchant, request, &people).await;
            }
            Left::NotTheShop => {
                bench.keys.fence(merchant, &Whom::Shop, Uuid::nil()).await.unwrap();
                bench.keys.destroy(merchant, &Whom::Shop, Uuid::nil()).await.unwrap();
            }
        }
    }
}

fn reward() -> Value {
    json!({"name": "5 off", "benefit": {"kind": "free-shipping"}, "points": 40})
}

/// Every call that changes something, by the OpenAPI document.
fn calls() -> Vec<String> {
    let document = serde_json::to_value(super::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let calls = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.filter(|method| *method != "get").map(move |method| format!("{method} {path}"))
    });
    calls.filter(|call| !call.contains(" /admin/")).collect()
}

/// What a call is refused with; 200 where only part of it is.
fn refusal(call: &str, left: Left) -> (u16, &'static str) {
    match left {
        _ if call.ends_with("/sync") => (200, ""),
        Left::Nothing | Left::NotTheShop if call.ends_with("/cancel") => (404, "redemption-not-found"),
        Left::NotTheShop if call.contains("/rewards") || call.ends_with("/create") => (409, "shop-redacted"),
        _ => (409, "account-redacted"),
    }
}

/// Tried without what forgets refused calls, and without the look at the person, or at the shop, before one is kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_any_call_that_is_refused_because_the_person_or_the_shop_is_erased() {
    let world = World::start().await;
    for left in [Left::Everything, Left::BehindAFence, Left::Nothing, Left::NotTheShop] {
        world.lose(left).await;
        for call in calls() {
            let Some(body) = world.body(&call) else { continue };
            let is_about_the_shop = call.contains("/rewards");
            // Behind a fence the points come back, and the call has its name until the erasure comes to it.
            let goes_on = left == Left::BehindAFence && call.ends_with("/transfer");
            if left != Left::Everything && (goes_on || is_about_the_shop && left != Left::NotTheShop) {
                continue;
            }
            let before = world.kept().await;
            let said = world.call(&call, left, &body).await;
            let after = world.kept().await;
            if left == Left::Everything {
                assert_eq!(after.0, before.0 + 1, "{call} is kept: {said:?}");
                continue;
            }
            let (status, code) = refusal(&call, left);
            assert_eq!((said.0, said.1.as_str()), (status, code), "{call}, {left:?}");
            assert_eq!(after, before, "{call}, {left:?}");
        }
    }
}
