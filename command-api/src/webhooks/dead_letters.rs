//! Deliveries that ended without effect: the list, and driving one again as it is or edited.
#![expect(unused_qualifications, reason = "the macro that documents parameters writes paths in full")]
use axum::{Json, extract::State};
use bytes::Bytes;
use event_schemas::Timestamp;
use http_edge::{Body, Merchant, Path, Problem, ProblemBody, Query};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Webhooks, inbox::NotDriven};

const LIMIT_MAX: u32 = 200;
const LIMIT_DEFAULT: u32 = 50;

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// `next` of the page before.
    cursor: Option<Uuid>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
}

/// A part of the list, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetters {
    items: Vec<DeadLetter>,
    /// Cursor of the next page, if there may be one.
    next: Option<Uuid>,
}

/// A delivery that ended without effect. Its body stays sealed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetter {
    /// Names it in the call that drives it again.
    id: Uuid,
    /// The topic it came under.
    topic: String,
    /// The webhook id it came under first.
    webhook_id: String,
    /// Why, in kebab-case; names a field, never a value.
    reason: String,
    /// How often it met a fault before the last time.
    attempts: u32,
    /// Whether its body was replaced by an edited one.
    edited: bool,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
}

/// Lists a shop's dead letters.
#[utoipa::path(
    get,
    path = "/v1/api/webhooks/dead-letters",
    tag = "webhooks",
    params(Page),
    security(("merchant" = [])),
    responses(
        (status = 200, description = "A part of the list", body = DeadLetters),
        (status = 400, description = "A parameter is not as expected", body = ProblemBody),
        (status = 401, description = "No merchant's token", body = ProblemBody),
    )
)]
pub async fn list(
    State(webhooks): State<Webhooks>,
    Merchant(scope): Merchant,
    Query(page): Query<Page>,
) -> Result<Json<DeadLetters>, Problem> {
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request("invalid-parameter", "A parameter is not as expected")
            .field("limit", "expected 1 to 200"));
    }
    let after = page.cursor.unwrap_or_default();
    let rows =
        webhooks.side.inbox.dead_letters(scope.merchant(), after, limit).await.map_err(super::unavailable)?;
    let is_full = u32::try_from(rows.len()) == Ok(limit);
    let next = rows.last().filter(|_| is_full).map(|last| last.row);
    let items = rows.into_iter().map(|row| DeadLetter {
        id: row.row,
        topic: row.topic,
        webhook_id: row.webhook_id,
        reason: row.reason,
        attempts: row.attempts,
        edited: row.edited,
        received_at: row.received_at,
    });
    Ok(Json(DeadLetters { items: items.collect(), next }))
}

/// What to drive.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redrive {
    /// A body to take instead of the one that came; absent = as it came.
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
}

/// A delivery that is open again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Redriven {
    /// The delivery.
    id: Uuid,
    /// `accepted`: open again.
    status: &'static str,
}

/// Drives a dead letter again, as it came or with an edited body.
#[utoipa::path(
    post,
    path = "/v1/api/webhooks/dead-letters/{id}/redrive",
    tag = "webhooks",
    params(("id" = Uuid, Path, description = "The delivery's id in the list")),
    security(("merchant" = [])),
    request_body = Redrive,
    responses(
        (status = 200, description = "It is open again", body = Redriven),
        (status = 401, description = "No merchant's token", body = ProblemBody),
        (status = 404, description = "This shop has no such delivery", body = ProblemBody),
        (status = 409, description = "The delivery is open or done", body = ProblemBody),
    )
)]
pub async fn redrive(
    State(webhooks): State<Webhooks>,
    Merchant(scope): Merchant,
    Path(id): Path<Uuid>,
    Body(redrive, _): Body<Redrive>,
) -> Result<Json<Redriven>, Problem> {
    let edited = redrive.payload.map(|payload| Bytes::from(String::from(Box::<str>::from(payload))));
    match webhooks.redrive(scope.merchant(), id, edited).await? {
        Ok(()) => Ok(Json(Redriven { id, status: "accepted" })),
        Err(NotDriven::Unknown) => {
            Err(Problem::not_found("delivery-not-found", "This shop has no such delivery"))
        }
        Err(NotDriven::NotDead) => {
            Err(Problem::conflict("not-dead-lettered", "The delivery is open or done"))
        }
    }
}
