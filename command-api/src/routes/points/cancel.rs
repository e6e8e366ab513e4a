//! POST /v1/api/points/redemptions/{id}/cancel: a completed redemption is undone, its points come back to their lots.
use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    Aggregate, StreamRef,
    points_account::Phase,
    redemption::{CancelRedemption, CodeUse, Status},
};
use event_log::PositionToken;
use event_schemas::{Code, CustomerId, MerchantId, RedemptionId, points_account::Balances, record::Actor};
use http_edge::{Merchant, Path, Problem, ProblemBody, RequestContext};
use privacy::Kind;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::{
    app::{App, origin},
    commands::{Envelope, Lane, Outcome},
    idempotency::IdempotencyKey,
    policies::Cause,
    problem::{key_fault, rejected},
    routes::replies::{Balance, marked, reply},
};

/// How long the answer waits for the points to be back.
const BACK_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the answer waits for the issuer.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// A cancelled redemption.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cancelled {
    #[schema(value_type = String, format = Uuid)]
    redemption_id: RedemptionId,
    /// `cancelled`.
    status: &'static str,
    #[serde(flatten)]
    balance: Balance,
    /// Opaque; a query may ask for at least this position.
    position: String,
}

/// Cancel a redemption and give its points back.
#[utoipa::path(
    post, path = "/v1/api/points/redemptions/{id}/cancel", tag = "points",
    params(("id" = String, Path, description = "The redemption's id")),
    responses(
        (status = 200, body = Cancelled),
        (status = 404, body = ProblemBody, description = "`redemption-not-found`"),
        (
            status = 409, body = ProblemBody,
            description = "`redemption-not-cancellable`, such as `code-used`: an order used the code"
        ),
        (status = 503, body = ProblemBody, description = "`issuer-unavailable`: nobody says whether it was")
    )
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Path(redemption): Path<RedemptionId>,
) -> Result<Response, Problem> {
    let merchant = scope.merchant();
    let found = app.keys.find(merchant, Kind::Redemption, &redemption.to_string()).await;
    let customer = found
        .map_err(|error| key_fault(&error))?
        .and_then(|entry| entry.subject)
        .ok_or_else(|| Problem::not_found("redemption-not-found", "The redemption is unknown"))?;
    let route = format!("/v1/api/points/redemptions/{redemption}/cancel");
    let attempt = app.idempotency.begin(merchant, key, &route, b"").await?;
    if let Some(first) = attempt.answer {
        return Ok(reply(StatusCode::OK, first, true));
    }
    let stream = StreamRef::redemption(redemption, customer);
    let code = code_use(&app, merchant, redemption, stream).await?;
    let attempt = app.idempotency.keep(attempt.about([customer])).await?;
    let occurred_at = app.clock.now();
    let envelope = Envelope {
        merchant,
        stream,
        command: CancelRedemption { reason: Code::fixed("requested"), code }.into(),
        key: attempt.command,
        content: app.subject_digest(merchant, customer, "cancel-redemption", &redemption.bytes())?,
        occurred_at,
        origin: origin(context, Actor::Merchant),
        lane: Lane::Interactive,
    };
    let answered = app.commander.send(envelope).await?;
    if let Outcome::Rejected(rejection) = &answered.outcome {
        return Ok(marked(rejected(rejection), answered.replayed));
    }
    if let Some(made) = answered.made {
        let RequestContext { correlation, trace } = context;
        let cause = Cause { merchant, stream, occurred_at, recorded_at: occurred_at, correlation, trace };
        app.policies.follow(cause, made, answered.at).await;
    }
    let (at, balances) = reinstated(&app, merchant, customer, redemption).await?;
    let body = Cancelled {
        redemption_id: redemption,
        status: "cancelled",
        balance: balances.into(),
        position: at.to_string(),
    };
    let body = serde_json::to_value(body).map_err(|error| Problem::internal(&error))?;
    let first = app.idempotency.conclude(&attempt, body).await?;
    Ok(reply(StatusCode::OK, first, answered.replayed))
}

/// Whether an order used the code. It is made void before the issuer is asked, so that what it says stays true.
async fn code_use(
    app: &App,
    merchant: MerchantId,
    redemption: RedemptionId,
    stream: StreamRef,
) -> Result<CodeUse, Problem> {
    let completed_by = |aggregate: &Aggregate| match aggregate {
        Aggregate::Redemption(state) if state.status() == Some(Status::Completed) && !state.at_till() => {
            state.issuer().cloned()
        }
        _ => None,
    };
    let made_by = app.commander.glance(merchant, stream, completed_by).await?;
    let order = app.issuers.order(merchant, redemption).map_err(|error| key_fault(&error))?;
    let (Some(made_by), Some(order)) = (made_by, order) else { return Ok(CodeUse::Unused) };
    // Without credentials nobody can be asked; making the code void waits for them, and the points with it.
    let Some(issuer) = app.issuers.named(&made_by, &order.shop) else { return Ok(CodeUse::Unused) };
    let asked = async {
        issuer.void(&order).await?;
        issuer.is_used(&order).await
    };
    let answer = tokio::time::timeout(ASK_WITHIN, asked).await.map_err(|late| unavailable(&late))?;
    let used = answer.map_err(|error| unavailable(&error))?;
    Ok(if used { CodeUse::Used } else { CodeUse::Unused })
}

fn unavailable(error: &dyn std::error::Error) -> Problem {
    Problem::unavailable("issuer-unavailable", "The issuer of the code cannot be reached").fault(error)
}

/// The account that goes on, once the points are back there, which another task may be at.
async fn reinstated(
    app: &App,
    merchant: MerchantId,
    customer: CustomerId,
    redemption: RedemptionId,
) -> Result<(PositionToken, Balances), Problem> {
    let mut stream = StreamRef::account(customer);
    let view = move |aggregate: &Aggregate| match aggregate {
        Aggregate::PointsAccount(account) => {
            let phase = account.reservation(redemption).map(|reservation| reservation.phase);
            (phase == Some(Phase::Reinstated), account.merged_into())
        }
        _ => (false, None),
    };
    let deadline = Instant::now() + BACK_WITHIN;
    loop {
        let (is_back, into) = app.commander.glance(merchant, stream, view).await?;
        if is_back || Instant::now() >= deadline {
            break;
        }
        match into {
            Some(into) => stream = StreamRef::account(into),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    let balances = |aggregate: &Aggregate| match aggregate {
        Aggregate::PointsAccount(account) => account.balances(),
        _ => Balances::default(),
    };
    Ok(app.commander.read_at(merchant, stream, balances).await?)
}
