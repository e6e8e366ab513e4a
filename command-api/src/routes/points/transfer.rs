//! POST /v1/api/points/transfer: points go from one customer to another, or come back. They are never lost on the way.
use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    Aggregate, StreamRef,
    points_account::{State as Ledger, TransferPointsOut, TransferStanding},
};
use event_log::PositionToken;
use event_schemas::{
    Code, CustomerId, EntryId, MerchantId, Personal, Points, TransferId, points_account::Balances,
};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Caller, canonical, check_note};
use crate::{
    app::App,
    commands::Outcome,
    idempotency::IdempotencyKey,
    policies::expiry,
    problem::rejected,
    routes::replies::{Balance, marked, reply},
};

const PATH: &str = "/v1/api/points/transfer";
/// How long the answer waits for the other side.
const ENDED_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A transfer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    #[schema(value_type = String, format = Uuid)]
    from_customer_id: CustomerId,
    #[schema(value_type = String, format = Uuid)]
    to_customer_id: CustomerId,
    /// Above zero.
    #[schema(value_type = i64)]
    points: Points,
    /// Kebab-case, up to 64 characters.
    #[schema(value_type = String)]
    reason_code: Code,
    /// What the customer who gives may read.
    note: Option<String>,
}

/// What became of a transfer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transferred {
    #[schema(value_type = String, format = Uuid)]
    transfer_id: TransferId,
    /// `completed`, `returned` because the other account refuses points, or `pending`.
    status: &'static str,
    #[schema(value_type = i64)]
    points: Points,
    /// The account that gives.
    #[serde(flatten)]
    balance: Balance,
    /// Opaque; a query may ask for at least this position.
    position: String,
}

/// Transfer points to another customer.
#[utoipa::path(
    post, path = PATH, tag = "points", request_body = Transfer,
    responses(
        (status = 200, body = Transferred),
        (status = 404, body = ProblemBody, description = "`customer-not-found`"),
        (status = 409, body = ProblemBody, description = "`insufficient-points`, `too-many-lots`, `account-frozen`, `account-merged`"),
        (status = 422, body = ProblemBody, description = "`transfer-to-self`")
    )
)]
pub(crate) async fn transfer(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Transfer>,
) -> Result<Response, Problem> {
    let (merchant, from, to) = (scope.merchant(), body.from_customer_id, body.to_customer_id);
    if !body.points.is_positive() {
        return Err(Problem::invalid_field("/points", "expected at least one point"));
    }
    check_note("/note", body.note.as_ref())?;
    let attempt = app.idempotency.begin(merchant, key, PATH, &raw).await?;
    if let Some(first) = attempt.answer {
        return Ok(reply(StatusCode::OK, first, true));
    }
    app.known_customer(merchant, from).await?;
    app.known_customer(merchant, to).await?;
    let shop = app.shop(merchant)?;
    let attempt = app.idempotency.keep(attempt.about([from, to])).await?;
    let transfer = TransferId(attempt.minted);
    let note = body.note.as_deref().unwrap_or_default();
    let reason = body.reason_code.as_str();
    let fields = canonical(&[&to.bytes(), &body.points.0.to_be_bytes(), reason.as_bytes(), note.as_bytes()]);
    let content = app.subject_digest(merchant, from, "transfer-points", &fields)?;
    let now = app.clock.now();
    let command = TransferPointsOut {
        transfer,
        from,
        to,
        points: body.points,
        reason: body.reason_code,
        note: body.note.map(Personal::Clear),
        entry: EntryId(Uuid::new_v5(&transfer.0, b"out")),
        at: now,
        expiry: expiry(&shop),
    };
    let caller = Caller { merchant, context, occurred_at: now };
    let stream = StreamRef::account(from);
    let answered = app.commander.send(caller.envelope(stream, attempt.command, command, content)).await?;
    if let Outcome::Rejected(rejection) = &answered.outcome {
        return Ok(marked(rejected(rejection), answered.replayed));
    }
    if let Some(made) = answered.made {
        app.policies.follow(caller.cause(&app, stream), made, answered.at).await;
    }
    let (at, (standing, balances)) = ended(&app, merchant, from, transfer).await?;
    let body = Transferred {
        transfer_id: transfer,
        status: standing.map_or("pending", TransferStanding::as_str),
        points: body.points,
        balance: balances.into(),
        position: at.to_string(),
    };
    let body = serde_json::to_value(body).map_err(|error| Problem::internal(&error))?;
    let first = app.idempotency.conclude(&attempt, body).await?;
    Ok(reply(StatusCode::OK, first, answered.replayed))
}

type Seen = (Option<TransferStanding>, Balances);

/// The account that gives, once the transfer has ended, which another task may be at.
async fn ended(
    app: &App,
    merchant: MerchantId,
    from: CustomerId,
    transfer: TransferId,
) -> Result<(PositionToken, Seen), Problem> {
    let stream = StreamRef::account(from);
    let look = move |account: &Ledger| (account.transfer(transfer), account.balances());
    let view = move |aggregate: &Aggregate| match aggregate {
        Aggregate::PointsAccount(account) => look(account),
        _ => (None, Balances::default()),
    };
    let deadline = Instant::now() + ENDED_WITHIN;
    loop {
        let (standing, _) = app.commander.glance(merchant, stream, view).await?;
        if standing.is_some_and(TransferStanding::is_ended) || Instant::now() >= deadline {
            return Ok(app.commander.read_at(merchant, stream, view).await?);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
