//! What calls about people's data leave in the store of the inbox.
use axum::{Router, body::Body, http::Request as Call};
use group_commit::values;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{ends::keys_used, *};
use crate::{exports::Exports, upkeep::Upkeep};

/// Calls of one shop's program.
pub(super) struct Caller {
    router: Router,
    token: String,
}

impl Caller {
    pub(super) fn of(world: &World) -> Self {
        Self { router: world.bench.router(), token: world.bench.token(world.merchant) }
    }

    /// The id of the request that the call made.
    pub(super) async fn ask(&self, path: &str, key: &str, body: &Value) -> RequestId {
        let (status, answer) = self.post(&format!("privacy/{path}"), key, body).await;
        assert_eq!(status, 202);
        serde_json::from_value(answer["request_id"].clone()).unwrap()
    }

    pub(super) async fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let call = Call::post(format!("/v1/api/{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()));
        let answer = self.router.clone().oneshot(call.unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let answer = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&answer).unwrap())
    }
}

impl World {
    /// Rows of requests, and of what is to be handed over.
    pub(super) async fn kept(&self) -> (u64, u64) {
        const KEPT: &str = "SELECT (SELECT count(*) FROM privacy_request), (SELECT count(*) FROM export WHERE status = 'waiting')";
        let kept = self.bench.work.read(|work| work.one(KEPT, values![], |row| Ok((row.at(0)?, row.at(1)?))));
        kept.await.unwrap()
    }
}

/// Tried: without the names of a call's row it stays, a fingerprint of an address that whoever has the shop's key can guess.
#[tokio::test(flavor = "multi_thread")]
async fn what_privacy_calls_leave_goes_with_whom_they_were_about() {
    let world = World::start().await;
    let caller = Caller::of(&world);
    let ada = world.person().await;
    let number = json!({ "shopify_customer_id": "4" });
    caller.ask("export", "theirs", &json!({ "customer_id": ada })).await;
    caller.ask("export", "nobodys", &number).await;
    let body = json!({ "customer_id": ada });
    let id = caller.ask("redact", "erase", &body).await;
    let request = Request { merchant: world.merchant, id, stream: StreamRef::privacy_request(id, ada.0) };
    world.certified(&request).await;
    assert_eq!(keys_used(&world.bench).await, 1);
    // What nobody is held under goes with its own erasure; asked for once more, a person is certified once more.
    let id = caller.ask("redact", "unknown", &number).await;
    world.certified(&Request { id, stream: StreamRef::privacy_request(id, id.0), ..request }).await;
    let again = caller.ask("redact", "erase", &body).await;
    assert_ne!(again, request.id);
    world
        .certified(&Request { id: again, stream: StreamRef::privacy_request(again, ada.0), ..request })
        .await;
    assert_eq!(keys_used(&world.bench).await, 1);

    // And the rest when its request is forgotten.
    Exports::new(&world.bench.parts()).work_off().await.unwrap();
    let upkeep = Upkeep::new(&world.bench.parts());
    // What was made is not asked for any more. Tried: each look costs a record for each request that named an address.
    let before = records(&world.bench.log).await.len();
    upkeep.forget_unasked(later(&world.bench.clock, 2)).await.unwrap();
    assert_eq!(records(&world.bench.log).await.len(), before);
    for days in [8, 129] {
        upkeep.tick(later(&world.bench.clock, days)).await.unwrap();
        assert_eq!(keys_used(&world.bench).await, 1);
    }
    upkeep.tick(later(&world.bench.clock, 131)).await.unwrap();
    assert_eq!((keys_used(&world.bench).await, world.kept().await), (0, (0, 0)));
}

/// Catches, tried: a request that waits for ever for a record that never comes, and is looked for every half second.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_reached_the_log_is_forgotten_after_a_day_and_others_are_not() {
    let world = World::start().await;
    let caller = Caller::of(&world);
    let ada = world.person().await;
    caller.ask("export", "asked", &json!({ "customer_id": ada })).await;
    let (merchant, now) = (world.merchant, world.bench.clock.now());
    let lost =
        requests::Kept { request: RequestId(Uuid::now_v7()), merchant, route: ada.0, subjects: vec![ada] };
    let kept = world.bench.work.run(move |work| requests::keep_export(work, &lost, now));
    kept.await.unwrap();
    let exports = Exports::new(&world.bench.parts());
    assert_eq!(exports.work_off().await.unwrap(), 1);
    let before = records(&world.bench.log).await.len();
    // Whether it is known is asked of the owner, who writes a record for that: not at every look.
    assert_eq!(exports.work_off().await.unwrap(), 0);
    assert_eq!(records(&world.bench.log).await.len(), before);
    let upkeep = Upkeep::new(&world.bench.parts());
    upkeep.tick(world.bench.clock.now()).await.unwrap();
    assert_eq!(world.kept().await, (2, 1));
    upkeep.tick(later(&world.bench.clock, 2)).await.unwrap();
    assert_eq!(world.kept().await, (1, 0));
}

/// As after an older copy of the inbox was restored. Tried: a start that looks for erasures alone leaves the person waiting.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_asked_to_have_is_handed_over_although_the_inbox_forgot_it() {
    let world = World::start().await;
    let ada = world.person().await;
    Caller::of(&world).ask("export", "asked", &json!({ "customer_id": ada })).await;
    for table in ["export", "privacy_request"] {
        let forget = format!("DELETE FROM {table}");
        world.bench.work.run(move |work| work.execute(&forget, values![])).await.unwrap();
    }
    let _next = erasures(&world.bench, Ports::default(), &[]);
    within("what was forgotten is kept again", async {
        while world.kept().await != (1, 1) {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    assert_eq!(Exports::new(&world.bench.parts()).work_off().await.unwrap(), 1);
}
