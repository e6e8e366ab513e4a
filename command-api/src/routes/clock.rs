//! POST /admin/clock: moves the clock forward, in development only.
use axum::{Json, extract::State};
use event_schemas::Timestamp;
use http_edge::{Body, Operator, Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;

/// A time.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Now {
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
}

/// Move the clock forward (development only).
#[utoipa::path(
    post, path = "/admin/clock", tag = "admin", request_body = Now,
    responses(
        (status = 200, body = Now),
        (status = 403, body = ProblemBody, description = "`not-in-production`"),
        (status = 422, body = ProblemBody, description = "`clock-goes-forward`")
    )
)]
pub(crate) async fn advance(
    State(app): State<App>,
    _: Operator,
    Body(body, _): Body<Now>,
) -> Result<Json<Now>, Problem> {
    Ok(Json(Now { now: app.clock.advance_to(body.now).await? }))
}
