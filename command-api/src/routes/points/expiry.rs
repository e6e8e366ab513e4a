//! POST /v1/api/points/expiry/extend: points of a customer live longer.
use axum::{extract::State, response::Response};
use domain::{
    Aggregate, StreamRef,
    points_account::{self, ExtendPointsExpiry},
};
use event_schemas::{Code, CommandKey, CustomerId, EntryId, Personal, Timestamp};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Account, Caller, canonical, change_account, check_note, entry};
use crate::{
    app::App,
    commands::{Envelope, Outcome},
    idempotency::IdempotencyKey,
};

const PATH: &str = "/v1/api/points/expiry/extend";
const LOTS_MAX: usize = 1_000;

/// Points that shall live longer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extend {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
    /// The lots, by the entries that granted them; all that can be spent if absent.
    #[schema(value_type = Option<Vec<String>>)]
    lots: Option<Vec<EntryId>>,
    /// The new date, ahead of the clock. A lot that lives longer already keeps its date.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// Kebab-case, up to 64 characters.
    #[schema(value_type = String)]
    reason_code: Code,
    /// What only staff may read.
    internal_note: Option<String>,
}

/// Let points live longer.
#[utoipa::path(
    post, path = PATH, tag = "points", request_body = Extend,
    responses(
        (status = 200, body = Account),
        (status = 404, body = ProblemBody, description = "`customer-not-found`, `lot-unknown`"),
        (status = 409, body = ProblemBody, description = "`account-merged`"),
        (status = 422, body = ProblemBody, description = "`invalid-expiry`")
    )
)]
pub(crate) async fn extend(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Extend>,
) -> Result<Response, Problem> {
    let (merchant, customer) = (scope.merchant(), body.customer_id);
    check_note("/internal_note", body.internal_note.as_ref())?;
    if body.lots.as_ref().is_some_and(|lots| lots.is_empty() || lots.len() > LOTS_MAX) {
        return Err(Problem::invalid_field("/lots", "expected 1 to 1000 lots, or no such field for all"));
    }
    let now = app.clock.now();
    let attempt = app.idempotency.begin(merchant, key, PATH, &raw).await?;
    if !attempt.known && body.until <= now {
        return Err(Problem::unprocessable("invalid-expiry", "The expiry date is not valid")
            .field("/until", "expected a time ahead of the clock"));
    }
    app.known_customer(merchant, customer).await?;
    let attempt = app.idempotency.keep(attempt.about([customer])).await?;
    let lots: Vec<u8> = body.lots.iter().flatten().flat_map(|lot| lot.bytes()).collect();
    let note = body.internal_note.as_deref().unwrap_or_default();
    let reason = body.reason_code.as_str();
    let until = body.until.micros().to_be_bytes();
    let fields = canonical(&[&lots, &until, reason.as_bytes(), note.as_bytes()]);
    let content = app.subject_digest(merchant, customer, "extend-points-expiry", &fields)?;
    let command = ExtendPointsExpiry {
        lots: body.lots,
        until: body.until,
        reason: body.reason_code,
        note: body.internal_note.map(Personal::Clear),
        at: now,
        entry: entry(&attempt),
    };
    let caller = Caller { merchant, context, occurred_at: now };
    let envelope = caller.envelope(StreamRef::account(customer), attempt.command, command.clone(), content);
    if command.lots.is_none() {
        extend_in_parts(&app, &envelope, &command).await?;
    }
    change_account(&app, customer, envelope).await
}

/// All lots of a long account are more than a record says, so most of them are extended before the request's own record,
/// by others whose keys follow from its key: whoever sends it again goes on where this stopped.
async fn extend_in_parts(
    app: &App,
    envelope: &Envelope,
    command: &ExtendPointsExpiry,
) -> Result<(), Problem> {
    let is_long = |aggregate: &Aggregate| matches!(aggregate, Aggregate::PointsAccount(account) if account.lots().nth(points_account::LOTS_MAX).is_some());
    if !app.commander.glance(envelope.merchant, envelope.stream, is_long).await? {
        return Ok(());
    }
    for round in 0_u32.. {
        let key = Uuid::new_v5(&envelope.key.0, &round.to_be_bytes());
        let command = ExtendPointsExpiry { entry: EntryId(key), ..command.clone() }.into();
        let part = Envelope { key: CommandKey(key), command, ..envelope.clone() };
        let answered = app.commander.send(part).await?;
        let is_full = answered.made.is_none_or(|made| points_account::is_full(&made.events));
        if answered.outcome != Outcome::Accepted || !is_full {
            break;
        }
    }
    Ok(())
}
