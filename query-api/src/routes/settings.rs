//! GET /v1/api/core/settings: the settings document as it is in force.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::merchant::ProgramSettings;
use http_edge::{Merchant, Problem, ProblemBody, Query};
use projections::program_settings;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Reads, failure::of_store};

/// Settings are reference data: all shops' live in the first partition.
const REFERENCE_PARTITION: u16 = 0;

/// How fresh the answer must be.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// The whole settings document and its version.
#[derive(Serialize, ToSchema)]
pub(crate) struct SettingsBody {
    /// Counts up by one at every change.
    version: u32,
    /// `earn`, `refund`, `expiry`, `redeem` and `processing`, as PUT takes them.
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
    params(Params),
    security(("merchant" = [])),
    responses(
        (status = 200, body = SettingsBody),
        (status = 400, description = "invalid-parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "unauthenticated", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "shop-not-found", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "other-history", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "not-caught-up", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn settings(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<SettingsBody>, Problem> {
    reads.fresh(REFERENCE_PARTITION, params.min_position.as_deref()).await?;
    let found = program_settings::find(&reads.store, scope).await.map_err(|error| of_store(&error))?;
    let found = found.ok_or_else(|| Problem::not_found("shop-not-found", "The shop has no settings"))?;
    Ok(Json(SettingsBody { version: found.version, settings: found.settings.0 }))
}
