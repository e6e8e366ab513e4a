//! GET /admin/policies/parked and what can be done about a step there: try it again, or give it up.
#![expect(unused_qualifications, reason = "the macro that documents parameters writes paths in full")]
use axum::{Json, extract::State};
use event_schemas::{CommandKey, Timestamp};
use http_edge::{Operator, Path, Problem, ProblemBody, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::App,
    policies::{NoPlace, ParkedStep, Place, Retried},
    problem::work_fault,
};

const LIMIT_MAX: u32 = 200;
const LIMIT_DEFAULT: u32 = 50;

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// `next` of the page before.
    cursor: Option<String>,
    /// 1 to 200, 50 if absent.
    limit: Option<u32>,
}

/// Steps of policies that are stuck, in the order of the events that set them off.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParkedSteps {
    items: Vec<Parked>,
    /// Cursor of the next page, if there is one.
    next: Option<String>,
}

/// A step that is stuck.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Parked {
    /// Names it in the calls that retry or dismiss it.
    id: String,
    /// The policy.
    policy: String,
    /// What it wanted to do.
    step: String,
    /// The event that set it off: its record and its place there.
    event_id: String,
    /// The shop.
    merchant_id: String,
    /// The event's stream. Steps of one policy and stream wait for each other.
    stream_id: String,
    /// Why, in kebab-case: the rejection's code, or what could not be reached.
    reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    parked_at: Timestamp,
}

impl From<ParkedStep> for Parked {
    fn from(step: ParkedStep) -> Self {
        Self {
            id: step.key.to_string(),
            event_id: step.event.to_string(),
            merchant_id: step.merchant.to_string(),
            stream_id: step.stream.to_string(),
            policy: step.policy,
            step: step.step,
            reason: step.reason,
            parked_at: step.parked_at,
        }
    }
}

/// What became of a step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Settled {
    /// The step.
    id: String,
    /// `done`, `parked` (still) or `dismissed`.
    status: &'static str,
    /// Why it is still stuck.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// List the steps of policies that are stuck.
#[utoipa::path(
    get, path = "/admin/policies/parked", tag = "operator", params(Page),
    responses(
        (status = 200, body = ParkedSteps), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody)
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _: Operator,
    Query(page): Query<Page>,
) -> Result<Json<ParkedSteps>, Problem> {
    let wrong = |field, expected: String| {
        Problem::bad_request("invalid-parameter", "A parameter is not as expected").field(field, expected)
    };
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(wrong("limit", "expected 1 to 200".to_owned()));
    }
    let after = page.cursor.as_deref().unwrap_or_default();
    let after = match after {
        "" => Place::default(),
        cursor => cursor.parse().map_err(|error: NoPlace| wrong("cursor", error.to_string()))?,
    };
    // One more than asked for tells whether there is another page.
    let mut steps = app.policies.parked_steps(&after, limit + 1).await.map_err(|error| work_fault(&error))?;
    let more = steps.len() > limit as usize;
    steps.truncate(limit as usize);
    let next = steps.last().filter(|_| more).map(|last| last.place().to_string());
    Ok(Json(ParkedSteps { items: steps.into_iter().map(Parked::from).collect(), next }))
}

/// Try a stuck step again now, after those of its stream that came before it.
#[utoipa::path(
    post, path = "/admin/policies/parked/{id}/retry", tag = "operator",
    params(("id" = String, Path, description = "The step's id in the list")),
    responses(
        (status = 200, body = Settled), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "`step-not-parked`")
    )
)]
pub(crate) async fn retry(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<CommandKey>,
) -> Result<Json<Settled>, Problem> {
    let retried = app.policies.retry_parked_step(id).await.map_err(|error| work_fault(&error))?;
    let (status, reason) = match retried.map_err(|_| not_parked())? {
        Retried::Done => ("done", None),
        Retried::Parked(reason) => ("parked", Some(reason)),
    };
    Ok(Json(Settled { id: id.to_string(), status, reason }))
}

/// Give a stuck step up for good: what it wanted never happens, and those behind it go on.
#[utoipa::path(
    post, path = "/admin/policies/parked/{id}/dismiss", tag = "operator",
    params(("id" = String, Path, description = "The step's id in the list")),
    responses(
        (status = 200, body = Settled), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "`step-not-parked`")
    )
)]
pub(crate) async fn dismiss(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<CommandKey>,
) -> Result<Json<Settled>, Problem> {
    let dismissed = app.policies.dismiss_parked_step(id).await.map_err(|error| work_fault(&error))?;
    dismissed.map_err(|_| not_parked())?;
    Ok(Json(Settled { id: id.to_string(), status: "dismissed", reason: None }))
}

fn not_parked() -> Problem {
    Problem::not_found("step-not-parked", "No such step is stuck")
}
