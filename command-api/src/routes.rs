//! Every call that changes something, one line each.
mod clock;
#[cfg(test)]
mod content_tests;
#[cfg(test)]
mod erased_tests;
#[cfg(test)]
mod ledger_tests;
mod merchants;
mod parked;
mod points;
mod pos;
mod privacy;
mod replies;
mod rewards;
mod settings;
#[cfg(test)]
mod tests;
mod users;

use axum::middleware::from_fn_with_state;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, idempotency::forgetting_refused, webhooks};

/// All routes of the write side, served.
#[must_use]
pub fn router(app: App) -> OpenApiRouter {
    command_router(app.clone()).merge(delivery_router(app))
}

/// Those that are not about deliveries.
#[must_use]
pub fn command_router(app: App) -> OpenApiRouter {
    let forgetting = from_fn_with_state(app.clone(), forgetting_refused);
    commands().layer(forgetting).with_state(app)
}

/// The door of deliveries, and what became of them.
#[must_use]
pub fn delivery_router(app: App) -> OpenApiRouter {
    deliveries().with_state(app)
}

/// The write side's part of the OpenAPI document.
#[must_use]
pub fn document() -> OpenApi {
    commands().merge(deliveries()).into_openapi()
}

fn commands() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(merchants::install))
        .routes(routes!(clock::advance))
        .routes(routes!(parked::list))
        .routes(routes!(parked::retry))
        .routes(routes!(parked::dismiss))
        .routes(routes!(settings::update))
        .routes(routes!(users::create))
        .routes(routes!(privacy::redact))
        .routes(routes!(privacy::export))
        .routes(routes!(privacy::file))
        .routes(routes!(points::earn::earn))
        .routes(routes!(points::adjust::adjust))
        .routes(routes!(points::redeem::redeem))
        .routes(routes!(points::cancel::cancel))
        .routes(routes!(points::actions::act))
        .routes(routes!(points::simulate::simulate))
        .routes(routes!(points::transfer::transfer))
        .routes(routes!(points::freeze::freeze))
        .routes(routes!(points::freeze::unfreeze))
        .routes(routes!(points::expiry::extend))
        .routes(routes!(pos::sync))
        .routes(routes!(rewards::define))
        .routes(routes!(rewards::change, rewards::retire))
}

fn deliveries() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(webhooks::door::receive))
        .routes(routes!(webhooks::deliveries::show))
        .routes(routes!(webhooks::dead_letters::list))
        .routes(routes!(webhooks::dead_letters::redrive))
}
