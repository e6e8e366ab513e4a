//! What became of a delivery, by the id under which it came.
use axum::{Json, extract::State};
use http_edge::{Merchant, Path, Problem, ProblemBody};
use serde::Serialize;
use utoipa::ToSchema;

use super::Webhooks;

/// Where a delivery stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// `accepted`, `processed`, `duplicate` or `dead_lettered`.
    status: String,
    /// Why, in kebab-case, where the status alone does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Position of the last record it led to directly.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
}

/// Shows what became of the first body under a webhook id.
#[utoipa::path(
    get,
    path = "/v1/api/webhooks/deliveries/{webhook_id}",
    tag = "webhooks",
    params(("webhook_id" = String, Path, description = "The delivery's X-Shopify-Webhook-Id")),
    security(("merchant" = [])),
    responses(
        (status = 200, description = "Where it stands", body = Delivery),
        (status = 401, description = "No merchant's token", body = ProblemBody),
        (status = 404, description = "This shop has no such delivery", body = ProblemBody),
    )
)]
pub async fn show(
    State(webhooks): State<Webhooks>,
    Merchant(scope): Merchant,
    Path(webhook_id): Path<String>,
) -> Result<Json<Delivery>, Problem> {
    let standing =
        webhooks.side.inbox.standing(scope.merchant(), webhook_id).await.map_err(super::unavailable)?;
    let standing =
        standing.ok_or_else(|| Problem::not_found("delivery-not-found", "This shop has no such delivery"))?;
    Ok(Json(Delivery { status: standing.status, reason: standing.reason, position: standing.position }))
}
