//! POST /v1/api/points/earn: an award by the merchant's own program, once per `source_id`.
use axum::{extract, response::Response};
use domain::{
    StreamRef,
    points_account::{EarnPoints, State},
};
use event_schemas::{
    Code, CustomerId, Money, Personal, Points, Timestamp, points_account::RuleUsed, record::Actor,
};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{canonical, entry, first_answer, move_points};
use crate::{
    app::{App, origin},
    commands::{Envelope, Lane},
    idempotency::IdempotencyKey,
    routes::replies::Movement,
    shops::Shop,
};

const PATH: &str = "/v1/api/points/earn";

/// An award. Either `points`, or an `amount` that earns by the programme's rate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Earn {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
    /// Above zero.
    #[schema(value_type = Option<i64>)]
    points: Option<Points>,
    amount: Option<Amount>,
    /// Kebab-case, up to 64 characters.
    #[schema(value_type = String)]
    reason: Code,
    /// The caller's own name of the occasion: the same one never earns twice.
    source_id: String,
    /// When it happened; now if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    occurred_at: Option<Timestamp>,
}

/// An amount of money.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amount {
    /// Decimal text such as `54.93`.
    amount: String,
    /// ISO 4217 code of the shop's currency.
    currency: String,
}

/// Award points once per `source_id`.
#[utoipa::path(
    post, path = PATH, tag = "points", request_body = Earn,
    responses(
        (status = 200, body = Movement),
        (status = 404, body = ProblemBody, description = "`customer-not-found`"),
        (status = 409, body = ProblemBody, description = "`source-conflict`"),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn earn(
    extract::State(app): extract::State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Earn>,
) -> Result<Response, Problem> {
    let (merchant, customer) = (scope.merchant(), body.customer_id);
    check(&body)?;
    let occurred_at = app.occurred_at(body.occurred_at)?;
    let attempt = app.idempotency.begin(merchant, key, PATH, &raw).await?;
    app.known_customer(merchant, customer).await?;
    let stream = StreamRef::account(customer);
    let source = app.subject_digest(merchant, customer, "api-source", body.source_id.as_bytes())?;
    let find = move |account: &State| account.entry_for_source(&source).copied();
    if let Some(first) = first_answer(&app, merchant, stream, &attempt, find).await? {
        return Ok(first);
    }
    let (points, rule) = award(&body, &*app.shop(merchant)?)?;
    let attempt = app.idempotency.keep(attempt).await?;
    let given = match &body.amount {
        Some(Amount { amount, currency }) => format!("{amount} {currency}"),
        None => points.to_string(),
    };
    let fields = canonical(&[given.as_bytes(), body.reason.as_str().as_bytes()]);
    let content = app.subject_digest(merchant, customer, "earn-points", &fields)?;
    let command = EarnPoints {
        entry: entry(&attempt),
        points,
        reason: body.reason,
        source,
        rule,
        reference: Some(Personal::Clear(body.source_id)),
        content,
    };
    let envelope = Envelope {
        merchant,
        stream,
        command: command.into(),
        key: attempt.command,
        content,
        occurred_at,
        origin: origin(context, Actor::Merchant),
        lane: Lane::Interactive,
    };
    move_points(&app, envelope, find).await
}

/// What is wrong whatever the shop's settings are.
fn check(body: &Earn) -> Result<(), Problem> {
    if !(1..=255).contains(&body.source_id.chars().count()) {
        return Err(Problem::invalid_field("/source_id", "expected 1 to 255 characters"));
    }
    match (body.points, &body.amount) {
        (Some(points), None) if points.is_positive() => Ok(()),
        (Some(_), None) => Err(Problem::invalid_field("/points", "expected at least one point")),
        (None, Some(_)) => Ok(()),
        _ => Err(Problem::invalid_field("/points", "expected either points or an amount")),
    }
}

/// How many points are meant, and the rule that says so.
fn award(body: &Earn, shop: &Shop) -> Result<(Points, Option<RuleUsed>), Problem> {
    let Some(amount) = &body.amount else { return Ok((body.points.unwrap_or_default(), None)) };
    let eligible = money(amount, shop)?;
    let rate = shop.rule.points_per_unit;
    let points = rate.points_for(eligible).ok().filter(|points| points.is_positive());
    let points = points.ok_or_else(|| {
        Problem::invalid_field(
            "/amount/amount",
            "expected an amount that earns at least one point, within 64 bits",
        )
    })?;
    let rule = RuleUsed { rule: Code::fixed("amount"), version: shop.rule.version, rate, eligible };
    Ok((points, Some(rule)))
}

fn money(Amount { amount, currency }: &Amount, shop: &Shop) -> Result<Money, Problem> {
    if currency != shop.currency.code() {
        return Err(Problem::unprocessable("currency-mismatch", "The currency is not the shop's")
            .field("/amount/currency", format!("expected {}", shop.currency)));
    }
    Money::parse(amount, shop.currency)
        .map_err(|invalid| Problem::invalid_field("/amount/amount", invalid.to_string()))
}
