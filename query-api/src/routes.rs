//! Every route of the read side, one line each.
mod audit;
mod balance;
mod expiring;
mod health;
mod liability;
mod live;
mod lots;
mod metrics;
mod order;
mod orders;
mod overview;
mod page;
mod privacy;
mod products;
mod redemptions;
mod rewards;
mod settings;
mod statement;
mod sync;
mod user;

use std::sync::Arc;

use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::Reads;

/// Settings, rewards and products are reference data: all shops' live in the first partition.
const REFERENCE_PARTITION: u16 = 0;

/// All routes of the read side, served: those that answer for shops, and those that say how the process is.
#[must_use]
pub fn routers(reads: Reads) -> (OpenApiRouter, OpenApiRouter) {
    let reads = Arc::new(reads);
    (queries().with_state(Arc::clone(&reads)), health().with_state(reads))
}

/// The read side's part of the OpenAPI document. Bearer tokens are the security scheme `merchant`.
#[must_use]
pub fn document() -> OpenApi {
    queries().merge(health()).into_openapi()
}

fn queries() -> OpenApiRouter<Arc<Reads>> {
    OpenApiRouter::new()
        .routes(routes!(balance::balance))
        .routes(routes!(statement::statement))
        .routes(routes!(lots::lots))
        .routes(routes!(expiring::expiring))
        .routes(routes!(liability::liability))
        .routes(routes!(redemptions::redemptions))
        .routes(routes!(rewards::rewards))
        .routes(routes!(products::products))
        .routes(routes!(sync::sync))
        .routes(routes!(order::order))
        .routes(routes!(orders::orders))
        .routes(routes!(user::user))
        .routes(routes!(settings::settings))
        .routes(routes!(overview::overview))
        .routes(routes!(live::live))
        .routes(routes!(audit::logs))
        .routes(routes!(privacy::requests))
        .routes(routes!(privacy::request))
        .routes(routes!(privacy::certificate))
}

fn health() -> OpenApiRouter<Arc<Reads>> {
    OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
}
