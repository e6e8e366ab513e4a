//! Keys that do not open or are missing: looked for at the start and now and then, told by `/healthz` and `/metrics`, and
//! named by `GET /admin/keys`.
use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use http_edge::{Auth, Operator, Problem, WithAuth};
use privacy::{DamagedKey, KeyStore};
use query_api::Probe;
use serde::Serialize;
use tokio::time::sleep;
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::contact::Local;

/// How often the whole store is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// Looks at the store, now and then.
async fn watch(keys: KeyStore) {
    loop {
        if let Err(error) = keys.look_for_damage().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "The keys could not be looked at; they will be in an hour"
            );
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Whether the key store serves, and all of it.
pub(crate) fn probe(keys: &KeyStore) -> Arc<dyn Probe> {
    Arc::new(Keys(keys.clone()))
}

struct Keys(KeyStore);

impl Probe for Keys {
    fn name(&self) -> &'static str {
        "keys"
    }

    fn check(&self) -> Result<(), String> {
        if self.0.is_open() { Ok(()) } else { Err("the key store has ended".to_owned()) }
    }

    fn trouble(&self) -> Option<String> {
        let damaged = self.0.known_damage().len();
        let named = "do not open or are missing, the others serve; `loyalnest privacy status` names them";
        (damaged > 0).then(|| format!("{damaged} keys {named}"))
    }
}

/// What the route is asked of.
#[derive(Clone)]
pub(crate) struct Page {
    keys: KeyStore,
    auth: Arc<Local>,
}

impl Page {
    /// For the operator, or whoever can read the data folder. Begins to look; that ends with the runtime.
    pub(crate) fn new(keys: &KeyStore, auth: &Arc<Local>) -> Self {
        tokio::spawn(watch(keys.clone()));
        Self { keys: keys.clone(), auth: Arc::clone(auth) }
    }
}

impl WithAuth for Page {
    fn auth(&self) -> &dyn Auth {
        &*self.auth
    }
}

/// The one route.
fn routes() -> OpenApiRouter<Page> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The route with its state.
pub(crate) fn router(page: Page) -> OpenApiRouter {
    routes().with_state(page)
}

/// The route's part of the OpenAPI document.
pub(crate) fn document() -> OpenApi {
    routes().into_openapi()
}

/// Keys that nobody can use although nobody destroyed them.
#[derive(Serialize, ToSchema)]
#[schema(as = DamagedKeys)]
pub(crate) struct KeysBody {
    damaged: Vec<KeyBody>,
}

/// One of them.
#[derive(Serialize, ToSchema)]
#[schema(as = DamagedKey)]
pub(crate) struct KeyBody {
    #[schema(format = Uuid)]
    merchant_id: String,
    /// `merchant`, `subject` or `day`.
    kind: &'static str,
    /// The merchant's or the subject's id, or the day of deliveries.
    whose: String,
    /// The epoch that its row hangs under; not there if there is no row.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    /// `does-not-open`, `missing` or `there-again`.
    fault: &'static str,
}

impl From<DamagedKey> for KeyBody {
    fn from(key: DamagedKey) -> Self {
        let DamagedKey { merchant, kind, whose, epoch, fault } = key;
        Self { merchant_id: merchant.to_string(), kind, whose, epoch, fault: fault.name() }
    }
}

/// Names the keys that do not open or are missing, as they were found when the store was last looked at, and since in
/// somebody's way. What hangs under them is answered with errors, everything else is served.
#[utoipa::path(get, path = "/admin/keys", operation_id = "keys", tag = "operator", security(("operator" = [])),
    responses(
        (status = 200, body = KeysBody),
        (status = 401, description = "unauthenticated", body = http_edge::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(_: Operator, State(page): State<Page>) -> Result<Json<KeysBody>, Problem> {
    Ok(Json(KeysBody { damaged: page.keys.known_damage().into_iter().map(KeyBody::from).collect() }))
}
