//! POST /v1/api/points/adjust: points added or taken by hand, with a reason.
use axum::{extract, response::Response};
use domain::{
    StreamRef,
    points_account::{AdjustPoints, State},
};
use event_schemas::{Code, CustomerId, Personal, Points, Timestamp};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Caller, canonical, check_note, entry, move_points};
use crate::{app::App, idempotency::IdempotencyKey, policies::expiry, routes::replies::Movement};

const PATH: &str = "/v1/api/points/adjust";

/// An adjustment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Adjust {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
    /// Signed, never zero.
    #[schema(value_type = i64)]
    points: Points,
    /// Kebab-case, up to 64 characters.
    #[schema(value_type = String)]
    reason_code: Code,
    /// What the customer may read.
    public_note: Option<String>,
    /// What only staff may read.
    internal_note: Option<String>,
    /// Whether taking more than there is becomes debt.
    #[serde(default)]
    allow_negative: bool,
    /// When it happened; now if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    occurred_at: Option<Timestamp>,
}

/// Add or take points by hand.
#[utoipa::path(
    post, path = PATH, tag = "points", request_body = Adjust,
    responses(
        (status = 200, body = Movement),
        (status = 404, body = ProblemBody, description = "`customer-not-found`"),
        (status = 409, body = ProblemBody, description = "`insufficient-points`"),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn adjust(
    extract::State(app): extract::State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Adjust>,
) -> Result<Response, Problem> {
    let merchant = scope.merchant();
    if body.points.is_zero() {
        return Err(Problem::invalid_field("/points", "expected a number other than zero"));
    }
    check_note("/public_note", body.public_note.as_ref())?;
    check_note("/internal_note", body.internal_note.as_ref())?;
    let shop = app.shop(merchant)?;
    let occurred_at = app.occurred_at(body.occurred_at)?;
    let attempt = app.idempotency.begin(merchant, key, PATH, &raw).await?;
    app.known_customer(merchant, body.customer_id).await?;
    let attempt = app.idempotency.keep(attempt.about([body.customer_id])).await?;
    let fields = canonical(&[
        &body.points.0.to_be_bytes(),
        body.reason_code.as_str().as_bytes(),
        body.public_note.as_deref().unwrap_or_default().as_bytes(),
        body.internal_note.as_deref().unwrap_or_default().as_bytes(),
        &[u8::from(body.allow_negative)],
    ]);
    let content = app.subject_digest(merchant, body.customer_id, "adjust-points", &fields)?;
    let entry = entry(&attempt);
    let command = AdjustPoints {
        entry,
        points: body.points,
        reason: body.reason_code,
        public_note: body.public_note.map(Personal::Clear),
        internal_note: body.internal_note.map(Personal::Clear),
        allow_negative: body.allow_negative,
        at: app.clock.now(),
        expiry: expiry(&shop),
        content,
    };
    let caller = Caller { merchant, context, occurred_at };
    let envelope = caller.envelope(StreamRef::account(body.customer_id), attempt.command, command, content);
    move_points(&app, envelope, move |account: &State| account.entry(entry)).await
}
