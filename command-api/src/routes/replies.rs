//! What the answers of commands have in common.
use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use event_schemas::{EntryId, Points, points_account::Balances};
use serde::Serialize;
use utoipa::ToSchema;

/// The balances of an account behind the command.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Balance {
    /// Points that can be spent; the same as `available`.
    #[schema(value_type = i64)]
    balance: Points,
    /// Points that can be spent.
    #[schema(value_type = i64)]
    available: Points,
    /// Points that cannot be spent yet.
    #[schema(value_type = i64)]
    pending: Points,
    /// Points held for a reward.
    #[schema(value_type = i64)]
    reserved: Points,
    /// Points owed.
    #[schema(value_type = i64)]
    debt: Points,
}

impl From<Balances> for Balance {
    fn from(after: Balances) -> Self {
        let Balances { available, pending, reserved, debt, .. } = after;
        Self { balance: available, available, pending, reserved, debt }
    }
}

/// A movement of points.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Movement {
    /// The entry on the statement.
    #[schema(value_type = String)]
    pub(super) entry_id: EntryId,
    /// Points moved, signed.
    #[schema(value_type = i64)]
    pub(super) points: Points,
    #[serde(flatten)]
    pub(super) balance: Balance,
    /// Opaque; a query may ask for at least this position.
    pub(super) position: String,
}

/// An answer, marked if it repeats an earlier one.
pub(super) fn reply(status: StatusCode, body: impl Serialize, replayed: bool) -> Response {
    marked((status, Json(body)).into_response(), replayed)
}

/// Marks an answer that repeats an earlier one to the same idempotency key.
pub(super) fn marked(answer: impl IntoResponse, replayed: bool) -> Response {
    let mut response = answer.into_response();
    if replayed {
        let header = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(header, HeaderValue::from_static("true"));
    }
    response
}
