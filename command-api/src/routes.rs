//! Every call that changes something, one line each.
mod clock;
mod merchants;
mod points;
mod replies;
mod settings;
#[cfg(test)]
mod tests;
mod users;

use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, webhooks};

/// All routes of the write side, served.
#[must_use]
pub fn router(app: App) -> OpenApiRouter {
    all().with_state(app)
}

/// The write side's part of the OpenAPI document.
#[must_use]
pub fn document() -> OpenApi {
    all().into_openapi()
}

fn all() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(merchants::install))
        .routes(routes!(clock::advance))
        .routes(routes!(settings::update))
        .routes(routes!(users::create))
        .routes(routes!(points::earn::earn))
        .routes(routes!(points::adjust::adjust))
        .routes(routes!(points::redeem::redeem))
        .routes(routes!(points::cancel::cancel))
        .routes(routes!(webhooks::door::receive))
        .routes(routes!(webhooks::deliveries::show))
        .routes(routes!(webhooks::dead_letters::list))
        .routes(routes!(webhooks::dead_letters::redrive))
}
