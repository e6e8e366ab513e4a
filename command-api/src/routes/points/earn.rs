//! POST /v1/api/points/earn: an award by the merchant's own program, once per `source_id`.
use axum::{extract, response::Response};
use domain::{
    StreamRef,
    points_account::{EarnPoints, EarnSource, State},
};
use event_schemas::{Code, CustomerId, Money, Personal, Points, Timestamp, points_account::RuleUsed};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Caller, canonical, entry, first_answer, former, move_points};
use crate::{
    app::App, idempotency::IdempotencyKey, policies::expiry, routes::replies::Movement, shops::Shop,
};

const PATH: &str = "/v1/api/points/earn";
/// What a digest of the caller's `source_id` is for.
const SOURCE: &str = "api-source";

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
#[derive(Clone, Debug, Deserialize, ToSchema)]
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
    let told = (SOURCE, body.source_id.as_bytes());
    let honours = |account: &State, id| account.entry_for_source(&EarnSource::Api(id)).is_some();
    let told_for = former::told_for(&app, merchant, customer, told, honours).await?;
    let source =
        EarnSource::Api(app.subject_digest(merchant, told_for, SOURCE, body.source_id.as_bytes())?);
    let find = move |account: &State| account.entry_for_source(&source);
    if let Some(first) = first_answer(&app, merchant, stream, &attempt, find).await? {
        return Ok(first);
    }
    let shop = app.shop(merchant)?;
    let (points, rule) = award(&body, &shop)?;
    let attempt = app.idempotency.keep(attempt.about([customer])).await?;
    let given = match &body.amount {
        Some(amount) => amount.to_string(),
        None => points.to_string(),
    };
    let fields = canonical(&[given.as_bytes(), body.reason.as_str().as_bytes()]);
    let content = app.subject_digest(merchant, told_for, "earn-points", &fields)?;
    let command = EarnPoints {
        entry: entry(&attempt),
        points,
        reason: body.reason,
        source,
        rule,
        release: None,
        at: app.clock.now(),
        expiry: expiry(&shop),
        reference: Some(Personal::Clear(body.source_id)),
        content,
    };
    let caller = Caller { merchant, context, occurred_at };
    let envelope = caller.envelope(stream, attempt.command, command, content);
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
    let (points, rule) = by_amount(money(amount, shop)?, shop)
        .map_err(|expected| Problem::invalid_field("/amount/amount", expected))?;
    Ok((points, Some(rule)))
}

/// The points that an amount earns by the programme's rule of today, and that rule; or what was expected of it.
pub(in crate::routes) fn by_amount(eligible: Money, shop: &Shop) -> Result<(Points, RuleUsed), &'static str> {
    let rate = shop.rule.points_per_unit;
    let points = rate.points_for(eligible).ok().filter(|points| points.is_positive());
    let points = points.ok_or("expected an amount that earns at least one point, within 64 bits")?;
    let (rule, version) = (Code::fixed("amount"), shop.rule.version);
    Ok((points, RuleUsed { rule, version, rate, eligible, multiplier: None }))
}

fn money(amount: &Amount, shop: &Shop) -> Result<Money, Problem> {
    amount.in_currency_of(shop).map_err(|(field, expected)| match field {
        "currency" => Problem::unprocessable("currency-mismatch", "The currency is not the shop's")
            .field("/amount/currency", expected),
        field => Problem::invalid_field(format!("/amount/{field}"), expected),
    })
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

impl Amount {
    /// The amount, or the field that is wrong and what was expected of it.
    pub(in crate::routes) fn in_currency_of(&self, shop: &Shop) -> Result<Money, (&'static str, String)> {
        if self.currency != shop.currency.code() {
            return Err(("currency", format!("expected {}", shop.currency)));
        }
        Money::parse(&self.amount, shop.currency).map_err(|invalid| ("amount", invalid.to_string()))
    }
}
