//! GET /v1/api/core/settings: the settings document as it is in force.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::merchant::ProgramSettings;
use http_edge::{Merchant, Problem, ProblemBody, Query};
use projections::program_settings;
use serde::Serialize;
use utoipa::ToSchema;

use super::REFERENCE_PARTITION;
use crate::{
    Reads,
    documented::{Fresh, Problems},
    failure::of_store,
};

/// The whole settings document and its version.
#[derive(Serialize, ToSchema)]
pub(crate) struct SettingsBody {
    /// Counts up by one at every change.
    version: u32,
    /// `earn`, `refund`, `expiry`, `redeem`, `processing` and `actions`, as PUT takes them.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    settings: ProgramSettings,
}

/// The shop's settings.
#[utoipa::path(
    get,
    path = "/v1/api/core/settings",
    operation_id = "settings",
    tag = "settings",
    params(Fresh),
    security(("merchant" = [])),
    responses(
        (status = 200, body = SettingsBody),
        Problems,
        (status = 404, description = "shop-not-found", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn settings(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Fresh>,
) -> Result<Json<SettingsBody>, Problem> {
    reads.fresh(REFERENCE_PARTITION, params.min_position.as_deref()).await?;
    let found = program_settings::find(&reads.store, scope).await.map_err(|error| of_store(&error))?;
    let found = found.ok_or_else(|| Problem::not_found("shop-not-found", "The shop has no settings"))?;
    Ok(Json(SettingsBody { version: found.version, settings: found.settings.0 }))
}
