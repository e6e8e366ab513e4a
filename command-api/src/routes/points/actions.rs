//! POST /v1/api/points/actions: something a customer did that the programme rewards, as often as its limit allows.
use axum::{extract, response::Response};
use domain::{
    Rejection, StreamRef,
    points_account::{RecordAction, State},
};
use event_schemas::{Code, CustomerId, Personal, Timestamp};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Caller, canonical, entry, first_answer, former, move_points};
use crate::{
    actions, app::App, idempotency::IdempotencyKey, policies::expiry, problem::rejected,
    routes::replies::Movement,
};

const PATH: &str = "/v1/api/points/actions";
/// What a digest of the caller's `source_id` is for.
const SOURCE: &str = "action-source";

/// Something that a customer did.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Act {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
    /// The action's name in the settings, such as `birthday` or `product-review`.
    #[schema(value_type = String)]
    action: Code,
    /// The caller's own name of the occasion, such as the review's id: the same one never earns twice.
    source_id: String,
    /// When it happened; now if absent. It says in which day, month or year it counts.
    #[schema(value_type = Option<String>, format = DateTime)]
    occurred_at: Option<Timestamp>,
}

/// Award the points of an action.
#[utoipa::path(
    post, path = PATH, tag = "points", request_body = Act,
    responses(
        (status = 200, body = Movement),
        (status = 404, body = ProblemBody, description = "`customer-not-found`"),
        (status = 409, body = ProblemBody,
            description = "`action-not-configured`, `action-limit-reached`, `source-conflict`, `account-frozen`"),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn act(
    extract::State(app): extract::State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Act>,
) -> Result<Response, Problem> {
    let (merchant, customer) = (scope.merchant(), body.customer_id);
    if !(1..=255).contains(&body.source_id.chars().count()) {
        return Err(Problem::invalid_field("/source_id", "expected 1 to 255 characters"));
    }
    let occurred_at = app.occurred_at(body.occurred_at)?;
    let attempt = app.idempotency.begin(merchant, key, PATH, &raw).await?;
    app.known_customer(merchant, customer).await?;
    let stream = StreamRef::account(customer);
    let action = body.action;
    let told = (SOURCE, body.source_id.as_bytes());
    let honours = {
        let action = action.clone();
        move |account: &State, id| account.entry_for_action(&action, &id).is_some()
    };
    let told_for = former::told_for(&app, merchant, customer, told, honours).await?;
    let source = app.subject_digest(merchant, told_for, SOURCE, body.source_id.as_bytes())?;
    let find = {
        let action = action.clone();
        move |account: &State| account.entry_for_action(&action, &source)
    };
    if let Some(first) = first_answer(&app, merchant, stream, &attempt, find.clone()).await? {
        return Ok(first);
    }
    let shop = app.shop(merchant)?;
    let award = actions::award(&shop, &action, occurred_at)
        .ok_or_else(|| rejected(&Rejection::ActionNotConfigured))?;
    let attempt = app.idempotency.keep(attempt.about([body.customer_id])).await?;
    let fields = canonical(&[action.as_str().as_bytes(), body.source_id.as_bytes()]);
    let content = app.subject_digest(merchant, told_for, "record-action", &fields)?;
    let command = RecordAction {
        entry: entry(&attempt),
        action,
        points: award.points,
        limit: award.limit,
        period: award.period,
        source,
        at: app.clock.now(),
        expiry: expiry(&shop),
        reference: Some(Personal::Clear(body.source_id)),
        content,
    };
    let caller = Caller { merchant, context, occurred_at };
    move_points(&app, caller.envelope(stream, attempt.command, command, content), find).await
}
