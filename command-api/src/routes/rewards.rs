//! /v1/api/rewards: what points can be exchanged for. Redemptions that run keep what they were promised.
use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    Aggregate, Command, StreamRef,
    reward::{self, DefineReward, RetireReward},
};
use event_schemas::{Digest, MerchantId, Points, RewardId, Title, record::Actor, reward::Benefit};
use http_edge::{Body, Merchant, Path, Problem, ProblemBody, RequestContext};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    points::earn::Amount,
    replies::{marked, reply},
};
use crate::{
    app::{App, origin},
    commands::{Envelope, Lane, Outcome},
    idempotency::{Attempt, IdempotencyKey},
    problem::{key_fault, rejected},
    shops::Shop,
};

const PATH: &str = "/v1/api/rewards";

/// A reward to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Define {
    /// The shop's name for it, 1 to 255 characters.
    name: String,
    benefit: Gives,
    /// What it costs, above zero.
    #[schema(value_type = i64)]
    points: Points,
}

/// What a reward gives.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Gives {
    /// This much off.
    FixedDiscount {
        /// How much, above zero.
        amount: Amount,
    },
    /// A part of the order off.
    Percentage {
        /// 1 to 100.
        percent: u8,
    },
    /// Shipping costs nothing.
    FreeShipping,
}

/// A reward of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reward {
    #[schema(value_type = String, format = Uuid)]
    reward_id: RewardId,
    /// `active` or `retired`.
    status: &'static str,
    name: String,
    /// Counts up by one at every change.
    version: u32,
    #[schema(value_type = i64)]
    points: Points,
    benefit: Given,
    /// Opaque; a query may ask for at least this position.
    position: String,
}

/// What a reward gives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Given {
    /// `fixed-discount`, `percentage` or `free-shipping`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<GivenAmount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
}

/// An amount of money.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GivenAmount {
    amount: String,
    currency: &'static str,
}

impl From<Benefit> for Given {
    fn from(benefit: Benefit) -> Self {
        match benefit {
            Benefit::FixedDiscount { amount } => Self {
                kind: "fixed-discount",
                amount: Some(GivenAmount { amount: amount.amount(), currency: amount.currency.code() }),
                percent: None,
            },
            Benefit::Percentage { percent } => {
                Self { kind: "percentage", amount: None, percent: Some(percent) }
            }
            Benefit::FreeShipping => Self { kind: "free-shipping", amount: None, percent: None },
        }
    }
}

/// Put a reward into the catalogue.
#[utoipa::path(
    post, path = PATH, tag = "rewards", request_body = Define,
    responses((status = 201, body = Reward), (status = 422, body = ProblemBody))
)]
pub(crate) async fn define(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Define>,
) -> Result<Response, Problem> {
    let merchant = scope.merchant();
    let command = command(body, &*app.living_shop(merchant).await?)?;
    let attempt = app.idempotency.begin(merchant, key, PATH, &raw).await?;
    let attempt = app.idempotency.keep(attempt).await?;
    let request = Request { app: &app, merchant, context, reward: RewardId(attempt.minted) };
    request.send(StatusCode::CREATED, &attempt, command, &raw).await
}

/// Change a reward, or offer a retired one again.
#[utoipa::path(
    post, path = "/v1/api/rewards/{id}", tag = "rewards", request_body = Define,
    params(("id" = String, Path, description = "The reward's id")),
    responses(
        (status = 200, body = Reward),
        (status = 404, body = ProblemBody, description = "`unknown-reward`"),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn change(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Path(reward): Path<RewardId>,
    Body(body, raw): Body<Define>,
) -> Result<Response, Problem> {
    let merchant = scope.merchant();
    let command = command(body, &*app.living_shop(merchant).await?)?;
    let request = Request { app: &app, merchant, context, reward };
    request.known().await?;
    let attempt = app.idempotency.begin(merchant, key, &format!("{PATH}/{reward}"), &raw).await?;
    let attempt = app.idempotency.keep(attempt).await?;
    request.send(StatusCode::OK, &attempt, command, &raw).await
}

/// Take a reward out of the catalogue. Codes that were issued stay good.
#[utoipa::path(
    delete, path = "/v1/api/rewards/{id}", tag = "rewards",
    params(("id" = String, Path, description = "The reward's id")),
    responses(
        (status = 200, body = Reward),
        (status = 404, body = ProblemBody, description = "`unknown-reward`")
    )
)]
pub(crate) async fn retire(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Path(reward): Path<RewardId>,
) -> Result<Response, Problem> {
    let merchant = scope.merchant();
    app.living_shop(merchant).await?;
    let request = Request { app: &app, merchant, context, reward };
    request.known().await?;
    let route = format!("DELETE {PATH}/{reward}");
    let attempt = app.idempotency.begin(merchant, key, &route, b"").await?;
    let attempt = app.idempotency.keep(attempt).await?;
    request.send(StatusCode::OK, &attempt, RetireReward {}, b"").await
}

fn command(body: Define, shop: &Shop) -> Result<DefineReward, Problem> {
    let name = Title::try_new(body.name).ok().filter(|name| !name.as_str().contains(char::is_control));
    let name = name.ok_or_else(|| {
        Problem::invalid_field("/name", "expected a text of 1 to 255 characters without control characters")
    })?;
    if !body.points.is_positive() {
        return Err(Problem::invalid_field("/points", "expected at least one point"));
    }
    let benefit = match body.benefit {
        Gives::FixedDiscount { amount } => {
            let amount = amount.in_currency_of(shop).map_err(|(field, expected)| {
                Problem::invalid_field(format!("/benefit/amount/{field}"), expected)
            })?;
            if amount.minor <= 0 {
                return Err(Problem::invalid_field("/benefit/amount/amount", "expected more than zero"));
            }
            Benefit::FixedDiscount { amount }
        }
        Gives::Percentage { percent: percent @ 1..=100 } => Benefit::Percentage { percent },
        Gives::Percentage { .. } => {
            return Err(Problem::invalid_field("/benefit/percent", "expected 1 to 100"));
        }
        Gives::FreeShipping => Benefit::FreeShipping,
    };
    Ok(DefineReward { name, benefit, points: body.points })
}

struct Request<'a> {
    app: &'a App,
    merchant: MerchantId,
    context: RequestContext,
    reward: RewardId,
}

impl Request<'_> {
    /// Checks that this shop has the reward.
    async fn known(&self) -> Result<(), Problem> {
        let stream = StreamRef::reward(self.reward);
        let known =
            self.app.commander.read(self.merchant, stream, |aggregate| seen(aggregate).is_some()).await?;
        known.then_some(()).ok_or_else(|| rejected(&domain::Rejection::UnknownReward))
    }

    async fn send(
        &self,
        status: StatusCode,
        attempt: &Attempt,
        command: impl Into<Command>,
        raw: &[u8],
    ) -> Result<Response, Problem> {
        let Self { app, merchant, context, reward } = *self;
        let content: Result<Digest, _> = app.keys.digest(merchant, "reward", raw);
        let envelope = Envelope {
            merchant,
            stream: StreamRef::reward(reward),
            command: command.into(),
            key: attempt.command,
            content: content.map_err(|error| key_fault(&error))?,
            occurred_at: app.clock.now(),
            origin: origin(context, Actor::Merchant),
            lane: Lane::Interactive,
        };
        let (answered, now) = app.commander.ask(envelope, seen).await?;
        if let Outcome::Rejected(rejection) = &answered.outcome {
            return Ok(marked(rejected(rejection), answered.replayed));
        }
        app.shops.wait_until(answered.at).await?;
        let now = now.ok_or_else(|| Problem::internal(&NoReward))?;
        let defined = now.defined().ok_or_else(|| Problem::internal(&NoReward))?;
        let body = Reward {
            reward_id: reward,
            status: if now.retired() { "retired" } else { "active" },
            name: defined.name.to_string(),
            version: defined.version,
            points: defined.points,
            benefit: defined.benefit.into(),
            position: answered.at.to_string(),
        };
        Ok(reply(status, body, answered.replayed))
    }
}

fn seen(aggregate: &Aggregate) -> Option<reward::State> {
    match aggregate {
        Aggregate::Reward(state) if state.defined().is_some() => Some(state.clone()),
        _ => None,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a reward was changed, but it is not there")]
struct NoReward;
