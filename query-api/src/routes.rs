//! Every route of the read side, one line each.
mod audit;
mod balance;
mod health;
mod live;
mod metrics;
mod order;
mod overview;
mod page;
mod redemptions;
mod settings;
mod statement;
mod user;

use std::sync::Arc;

use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::Reads;

/// All routes of the read side, served.
#[must_use]
pub fn router(reads: Reads) -> OpenApiRouter {
    all().with_state(Arc::new(reads))
}

/// The read side's part of the OpenAPI document. Bearer tokens are the security scheme `merchant`.
#[must_use]
pub fn document() -> OpenApi {
    all().into_openapi()
}

fn all() -> OpenApiRouter<Arc<Reads>> {
    OpenApiRouter::new()
        .routes(routes!(balance::balance))
        .routes(routes!(statement::statement))
        .routes(routes!(redemptions::redemptions))
        .routes(routes!(order::order))
        .routes(routes!(user::user))
        .routes(routes!(settings::settings))
        .routes(routes!(overview::overview))
        .routes(routes!(live::live))
        .routes(routes!(audit::logs))
        .routes(routes!(health::health))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
}
