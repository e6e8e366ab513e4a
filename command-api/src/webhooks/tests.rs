//! The webhook side over real owners, keys and work.db: what is posted at the door ends in balances, or says why not.
mod claims;
mod contents;
mod deliveries;
mod door;
mod erasure;
mod fairness;
mod faults;
mod foreign_shops;
mod merges;
mod model;
#[cfg(feature = "postgres")]
mod on_postgres;
mod payloads;
mod upkeep;

use std::time::{Duration, Instant};

use axum::{
    Router,
    body::Body,
    extract::FromRef,
    http::{Request, StatusCode},
    routing::{get, post},
};
use domain::{Aggregate, StreamRef, merchant};
use event_schemas::{
    CustomerId, MerchantId, OrderId,
    loyalty_order::Assessment,
    merchant::{Processing, ProgramSettings},
};
use group_commit::values;
use http_edge::{Auth, WithAuth};
use privacy::{Kind, MerchantScope};
use serde_json::Value;
use tower::ServiceExt as _;

use super::{
    Counts, Parts, Secrets, Webhooks, dead_letters, deliveries as deliveries_route, door as door_route,
};
use crate::testing::{Bench, PATIENCE};

pub(super) const SECRET: &str = "shpss_test";

/// The stack under test.
pub(super) struct Stack {
    pub(super) bench: Bench,
    pub(super) webhooks: Webhooks,
    router: Router,
}

#[derive(Clone)]
struct State {
    webhooks: Webhooks,
    keys: privacy::KeyStore,
}

impl FromRef<State> for Webhooks {
    fn from_ref(state: &State) -> Self {
        state.webhooks.clone()
    }
}

impl Auth for State {
    fn merchant(&self, token: &str) -> Option<MerchantScope> {
        self.keys.verify_token(token)
    }
    fn operator(&self, _: &str) -> bool {
        false
    }
}

impl WithAuth for State {
    fn auth(&self) -> &dyn Auth {
        self
    }
}

/// One delivery as it is posted.
#[derive(Clone)]
pub(super) struct Post {
    pub(super) topic: String,
    pub(super) header_topic: String,
    pub(super) shop: String,
    pub(super) webhook_id: String,
    pub(super) signature: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Post {
    pub(super) fn new(shop: &str, topic: &str, webhook_id: &str, body: &Value) -> Self {
        Self::raw(shop, topic, webhook_id, body.to_string().into_bytes())
    }

    pub(super) fn raw(shop: &str, topic: &str, webhook_id: &str, body: Vec<u8>) -> Self {
        let (topic, header_topic) = (topic.to_owned(), topic.to_owned());
        Self {
            topic,
            header_topic,
            shop: shop.to_owned(),
            webhook_id: webhook_id.to_owned(),
            signature: None,
            body,
        }
    }

    pub(super) fn request(&self) -> Request<Body> {
        let signature = self.signature.clone().unwrap_or_else(|| Secrets::new(SECRET, None).sign(&self.body));
        Request::post(format!("/v1/api/webhooks/{}", self.topic))
            .header("x-shopify-topic", &self.header_topic)
            .header("X-Shopify-Hmac-SHA256", signature)
            .header("X-Shopify-Shop-Domain", &self.shop)
            .header("X-Shopify-Webhook-Id", &self.webhook_id)
            .body(Body::from(self.body.clone()))
            .unwrap()
    }
}

impl Stack {
    pub(super) async fn start() -> Self {
        Self::over(Bench::start().await)
    }

    /// The webhook side over what is there, as after a restart.
    pub(super) fn over(bench: Bench) -> Self {
        let (webhooks, router) = Self::side(&bench, bench.work.clone());
        Self { bench, webhooks, router }
    }

    /// The door of another node, whose workers share the inbox.
    #[cfg(feature = "postgres")]
    pub(super) async fn beside(&self) -> Router {
        let root = privacy::RootKey::from_bytes(crate::testing::ROOT);
        let (folder, log) = (self.bench.folder.path(), *self.bench.log.id().as_bytes());
        let (_, work) = crate::testing::stores(folder, &root, log).await;
        Self::side(&self.bench, work).1
    }

    fn side(bench: &Bench, work: group_commit::Store) -> (Webhooks, Router) {
        let webhooks = Webhooks::start(Parts {
            commander: bench.commander.clone(),
            shops: bench.shops.clone(),
            clock: bench.clock.clone(),
            keys: bench.keys.clone(),
            work,
            secrets: Secrets::new(SECRET, Some("shpss_before")),
        });
        let router = Router::new()
            .route("/v1/api/webhooks/{resource}/{event}", post(door_route::receive))
            .route("/v1/api/webhooks/deliveries/{webhook_id}", get(deliveries_route::show))
            .route("/v1/api/webhooks/dead-letters", get(dead_letters::list))
            .route("/v1/api/webhooks/dead-letters/{id}/redrive", post(dead_letters::redrive))
            .with_state(State { webhooks: webhooks.clone(), keys: bench.keys.clone() });
        (webhooks, router)
    }

    pub(super) async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        Self::send_to(&self.router, request).await
    }

    async fn send_to(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    pub(super) async fn post(&self, post: &Post) {
        Self::post_at(&self.router, post).await;
    }

    pub(super) async fn post_at(router: &Router, post: &Post) {
        let (status, body) = Self::send_to(router, post.request()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }

    /// A merchant's own call.
    pub(super) async fn call(
        &self,
        merchant: MerchantId,
        method: &str,
        path: &str,
        body: &str,
    ) -> (StatusCode, Value) {
        let token = self.bench.token(merchant);
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/api/webhooks/{path}"))
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/json");
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(super) async fn standing(&self, merchant: MerchantId, webhook_id: &str) -> Value {
        self.call(merchant, "GET", &format!("deliveries/{webhook_id}"), "").await.1
    }

    pub(super) async fn counts(&self) -> Counts {
        self.webhooks.probe().await.unwrap()
    }

    /// Waits until every delivery is done.
    pub(super) async fn worked_off(&self) -> Counts {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = self.counts().await;
            if counts.pending == 0 {
                return counts;
            }
            assert!(Instant::now() < deadline, "still {counts:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn customer(&self, merchant: MerchantId, shopify_id: &str) -> Option<CustomerId> {
        let found = self.bench.keys.find(merchant, Kind::ShopifyCustomer, shopify_id).await.unwrap();
        found.map(|entry| CustomerId(entry.id))
    }

    /// Who a customer was merged into.
    pub(super) async fn merged_into(&self, merchant: MerchantId, shopify_id: &str) -> Option<CustomerId> {
        let stream = StreamRef::customer(self.customer(merchant, shopify_id).await?);
        let read = self.bench.commander.read(merchant, stream, |customer| match customer {
            Aggregate::Customer(customer) => customer.merged_into(),
            other => panic!("{other:?}"),
        });
        read.await.unwrap()
    }

    /// What an order comes to.
    pub(super) async fn assessment(&self, merchant: MerchantId, shopify_id: &str) -> Option<Assessment> {
        let found = self.bench.keys.find(merchant, Kind::Order, shopify_id).await.unwrap()?;
        let stream = StreamRef::order(OrderId(found.id));
        let read = self.bench.commander.read(merchant, stream, |order| match order {
            Aggregate::LoyaltyOrder(order) => order.assessment().cloned(),
            other => panic!("{other:?}"),
        });
        read.await.unwrap()
    }

    /// What a customer has: available less owed.
    pub(super) async fn balance(&self, merchant: MerchantId, shopify_id: &str) -> i64 {
        let Some(customer) = self.customer(merchant, shopify_id).await else { return 0 };
        let read =
            self.bench.commander.read(merchant, StreamRef::account(customer), |account| match account {
                Aggregate::PointsAccount(account) => {
                    account.balances().available.0 - account.balances().debt.0
                }
                other => panic!("{other:?}"),
            });
        read.await.unwrap()
    }

    /// Waits until the policies have brought the balance there.
    pub(super) async fn balance_becomes(&self, merchant: MerchantId, shopify_id: &str, expected: i64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let balance = self.balance(merchant, shopify_id).await;
            if balance == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{balance} points, not {expected}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the merchant's deliveries be worked off as fast as they come.
    pub(super) async fn unthrottle(&self, merchant: MerchantId) {
        self.throttle(merchant, 1_000_000, 1_000_000).await;
    }

    /// Opens a delivery that was done, with this body, as if its end had never been written.
    pub(super) async fn reopen(&self, merchant: MerchantId, webhook_id: &str, body: &str) {
        const ROW: &str = "SELECT id FROM inbox WHERE merchant = ?1 AND webhook_id = ?2";
        const DEAD: &str = "UPDATE inbox SET status = 'dead_lettered', reason = 'x' WHERE id = ?1";
        const BODY: &str = "INSERT INTO inbox_body SELECT seq, ?2 FROM inbox WHERE id = ?1";
        let (webhook_id, shop) = (webhook_id.to_owned(), merchant.bytes());
        let row = self.bench.work.run(move |work| {
            let row: [u8; 16] = work.one(ROW, values![&shop, &*webhook_id], |row| row.at(0))?;
            work.execute(DEAD, values![&row])?;
            work.execute(BODY, values![&row, &[1, 2, 3]])?;
            Ok(row)
        });
        let row = uuid::Uuid::from_bytes(row.await.unwrap());
        let payload: &serde_json::value::RawValue = serde_json::from_str(body).unwrap();
        let edited = serde_json::json!({ "payload": payload }).to_string();
        let (status, answer) =
            self.call(merchant, "POST", &format!("dead-letters/{row}/redrive"), &edited).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    pub(super) async fn throttle(&self, merchant: MerchantId, per_second: u32, burst: u32) {
        self.set(merchant, |settings| settings.processing = Processing { per_second, burst }).await;
    }

    /// Sets how many points a unit of money earns.
    pub(super) async fn rate(&self, merchant: MerchantId, rate: &str) {
        self.set(merchant, |settings| settings.earn.points_per_unit = rate.parse().unwrap()).await;
    }

    async fn set(&self, merchant: MerchantId, change: impl FnOnce(&mut ProgramSettings)) {
        let shop = self.bench.shops.by_id(merchant).unwrap();
        let mut settings = ProgramSettings::clone(&shop.settings);
        change(&mut settings);
        let (stream, update) =
            (StreamRef::merchant(merchant), merchant::UpdateProgramSettings { settings, based_on: None });
        let answered =
            self.bench.commander.send(self.bench.envelope(merchant, stream, update)).await.unwrap();
        self.bench.shops.wait_until(answered.at).await.unwrap();
    }
}
