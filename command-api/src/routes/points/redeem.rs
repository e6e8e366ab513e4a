//! POST /v1/api/points/redeem: points for a discount code. The reward is issued within the request if it can be.
use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    Aggregate, Rejection, StreamRef,
    points_account::{ReservePoints, State as Account},
    redemption::{Status, quote},
};
use event_schemas::{
    CustomerId, MerchantId, Money, Points, RedemptionId, RewardId,
    points_account::Balances,
    record::Actor,
    reward::{Benefit, RewardUsed},
};
use http_edge::{Body, Merchant, Problem, ProblemBody, RequestContext};
use privacy::{Kind, Reference};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::canonical;
use crate::{
    app::{App, origin},
    commands::{Answered, Envelope, Lane, Outcome},
    idempotency::{Attempt, IdempotencyKey},
    policies::{Cause, Followed, expiry},
    problem::{key_fault, not_redeemable, rejected},
    routes::replies::{Balance, marked, reply},
    shops::Shop,
};

const PATH: &str = "/v1/api/points/redeem";
/// How long the answer waits for a reward that another task is at.
const COMPLETE_WITHIN: Duration = Duration::from_secs(2);
const COMPLETED: &str = "completed";
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What to redeem.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redeem {
    #[schema(value_type = String, format = Uuid)]
    customer_id: CustomerId,
    /// Points to spend on a discount.
    #[schema(value_type = Option<i64>)]
    points: Option<Points>,
    /// A reward of the catalogue, for the points that it costs.
    #[schema(value_type = Option<String>, format = Uuid)]
    reward_id: Option<RewardId>,
}

/// A redemption.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Redeemed {
    #[schema(value_type = String, format = Uuid)]
    redemption_id: RedemptionId,
    /// `completed`, `pending`, `failed`, or `expired` if no code came in time.
    status: &'static str,
    /// The discount code, once it is issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Points spent.
    #[schema(value_type = i64)]
    points: Points,
    discount: Discount,
    #[serde(flatten)]
    balance: Balance,
    /// Opaque; a query may ask for at least this position.
    position: String,
}

/// An amount of money.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Discount {
    amount: String,
    currency: &'static str,
}

impl From<Money> for Discount {
    fn from(money: Money) -> Self {
        Self { amount: money.amount(), currency: money.currency.code() }
    }
}

/// Redeem points for a discount code.
#[utoipa::path(
    post, path = PATH, tag = "points", request_body = Redeem,
    responses(
        (status = 200, body = Redeemed),
        (status = 404, body = ProblemBody, description = "`customer-not-found`, `unknown-reward`"),
        (status = 409, body = ProblemBody,
            description = "`insufficient-points`, `too-many-lots`, `reward-retired`, `account-frozen`, `account-merged`"),
        (status = 422, body = ProblemBody, description = "`not-redeemable-amount`")
    )
)]
pub(crate) async fn redeem(
    State(app): State<App>,
    Merchant(scope): Merchant,
    context: RequestContext,
    key: IdempotencyKey,
    Body(body, raw): Body<Redeem>,
) -> Result<Response, Problem> {
    let (merchant, customer) = (scope.merchant(), body.customer_id);
    let wanted = Wanted::read(&body)?;
    let attempt = app.idempotency.begin(merchant, key, PATH, &raw).await?;
    app.known_customer(merchant, customer).await?;
    let stream = StreamRef::account(customer);
    let mut request = Request { app: &app, merchant, customer, context, attempt };
    if let Some(first) = request.first_answer().await? {
        return Ok(first);
    }
    let shop = app.shop(merchant)?;
    let Priced { points, discount, reward } = wanted.price(&app, &shop)?;
    request.attempt = app.idempotency.keep(request.attempt.about([customer])).await?;
    let redemption = request.redemption();
    note_owner(&app, merchant, redemption, customer).await?;
    let reward_id = reward.map(|used| used.reward.bytes());
    let fields = canonical(&[&points.0.to_be_bytes(), reward_id.as_ref().map_or(&[], |id| id)]);
    let command = ReservePoints {
        redemption,
        points,
        discount,
        rule_version: shop.settings_version,
        reward,
        pos: None,
        at: app.clock.now(),
        expiry: expiry(&shop),
    };
    let envelope = Envelope {
        merchant,
        stream,
        command: command.into(),
        key: request.attempt.command,
        content: app.subject_digest(merchant, customer, "redeem-points", &fields)?,
        occurred_at: app.clock.now(),
        origin: origin(context, Actor::Merchant),
        lane: Lane::Interactive,
    };
    let (answered, seen) = app.commander.ask(envelope, reserved(redemption)).await?;
    request.answer(answered, seen).await
}

/// What is to be redeemed.
#[derive(Clone, Copy)]
enum Wanted {
    Points(Points),
    Reward(RewardId),
}

/// What is redeemed, frozen.
struct Priced {
    points: Points,
    discount: Money,
    reward: Option<RewardUsed>,
}

impl Wanted {
    fn read(body: &Redeem) -> Result<Self, Problem> {
        match (body.points, body.reward_id) {
            (Some(points), None) if points.is_positive() => Ok(Self::Points(points)),
            (Some(_), None) => Err(Problem::invalid_field("/points", "expected at least one point")),
            (None, Some(reward)) => Ok(Self::Reward(reward)),
            _ => Err(Problem::invalid_field("/points", "expected either points or a reward")),
        }
    }

    fn price(self, app: &App, shop: &Shop) -> Result<Priced, Problem> {
        let (settings, currency) = (&shop.settings.redeem, shop.currency);
        let wanted = match self {
            Self::Points(points) => {
                let discount = quote(points, settings, currency).map_err(|not| not_redeemable(&not))?;
                return Ok(Priced { points, discount, reward: None });
            }
            Self::Reward(reward) => reward,
        };
        let expected = |rejection: Rejection| {
            rejected(&rejection).field("/reward_id", "expected a reward that the catalogue offers")
        };
        let reward = app.shops.reward(shop.merchant, wanted);
        let reward = reward.ok_or_else(|| expected(Rejection::UnknownReward))?;
        let defined = reward.defined().ok_or_else(|| expected(Rejection::UnknownReward))?;
        let (benefit, points) = reward.offered().ok_or_else(|| expected(Rejection::RewardRetired))?;
        let discount = match benefit {
            Benefit::FixedDiscount { amount } if amount.currency == currency => amount,
            Benefit::FixedDiscount { amount } => {
                return Err(expected(Rejection::CurrencyMismatch {
                    expected: currency,
                    found: amount.currency,
                }));
            }
            Benefit::Percentage { .. } | Benefit::FreeShipping => Money { minor: 0, currency },
        };
        let used = RewardUsed { reward: wanted, version: defined.version, benefit };
        Ok(Priced { points, discount, reward: Some(used) })
    }
}

/// Remembers whose redemption it is, so that its id alone finds it, and so does its code in an order that uses it.
async fn note_owner(
    app: &App,
    merchant: MerchantId,
    redemption: RedemptionId,
    customer: CustomerId,
) -> Result<(), Problem> {
    let code = app.issuers.code(merchant, redemption).map_err(|error| key_fault(&error))?;
    let names = [(Kind::Redemption, redemption.to_string()), (Kind::DiscountCode, code)];
    let rows = names.map(|(kind, name)| Reference::new(kind, name, redemption.0, Some(customer)));
    app.keys.resolve_many(merchant, rows.into()).await.map(drop).map_err(|error| key_fault(&error))
}

/// What an account says of a redemption.
#[derive(Clone, Copy, Debug)]
struct Reserved {
    points: Points,
    discount: Money,
    after: Balances,
    /// Behind the redemption, once the points are spent.
    spent: Option<Balances>,
    now: Balances,
}

fn reserved(redemption: RedemptionId) -> impl Fn(&Aggregate) -> Option<Reserved> + Send + 'static {
    let look = move |account: &Account| {
        let reservation = account.reservation(redemption)?;
        Some(Reserved {
            points: reservation.points,
            discount: reservation.discount,
            after: reservation.after,
            spent: account.entry_for_redemption(redemption).map(|entry| entry.after),
            now: account.balances(),
        })
    };
    move |aggregate| match aggregate {
        Aggregate::PointsAccount(account) => look(account),
        _ => None,
    }
}

/// One request, from its reservation to its answer.
struct Request<'a> {
    app: &'a App,
    merchant: MerchantId,
    customer: CustomerId,
    context: RequestContext,
    attempt: Attempt,
}

impl Request<'_> {
    fn redemption(&self) -> RedemptionId {
        RedemptionId(self.attempt.minted)
    }

    /// The answer to the same request, if it was made before.
    async fn first_answer(&self) -> Result<Option<Response>, Problem> {
        if let Some(first) = &self.attempt.answer {
            return self.with_code(first.clone(), true).map(Some);
        }
        if !self.attempt.known {
            return Ok(None);
        }
        let stream = StreamRef::account(self.customer);
        let view = reserved(self.redemption());
        let first = self.app.commander.recall(self.merchant, stream, self.attempt.command, view).await?;
        match first {
            Some((answered, seen)) => self.answer(answered, seen).await.map(Some),
            None => Ok(None),
        }
    }

    /// Sees the redemption through, as far as it goes, and answers.
    async fn answer(&self, answered: Answered, seen: Option<Reserved>) -> Result<Response, Problem> {
        let replayed = answered.replayed;
        if let Outcome::Rejected(rejection) = &answered.outcome {
            return Ok(marked(rejected(rejection), replayed));
        }
        let reserved = seen.ok_or_else(|| Problem::internal(&NoReservation))?;
        let (status, at) = self.see_through(answered).await?;
        let stream = StreamRef::account(self.customer);
        let account =
            self.app.commander.glance(self.merchant, stream, self::reserved(self.redemption())).await?;
        let after = match (status, account) {
            // The points are back by then, or on their way.
            (Some(Status::Failed | Status::Expired), Some(account)) => account.now,
            (_, account) => account.and_then(|account| account.spent).unwrap_or(reserved.after),
        };
        let body = Redeemed {
            redemption_id: self.redemption(),
            status: match status {
                // One that was cancelled since was completed when it was first answered.
                Some(Status::Completed | Status::Cancelled) => COMPLETED,
                Some(Status::Failed) => "failed",
                Some(Status::Expired) => "expired",
                Some(Status::Requested | Status::CodeIssued) | None => "pending",
            },
            code: None,
            points: reserved.points,
            discount: reserved.discount.into(),
            balance: after.into(),
            position: at.to_string(),
        };
        let body = serde_json::to_value(body).map_err(|error| Problem::internal(&error))?;
        let first = self.app.idempotency.conclude(&self.attempt, body).await?;
        self.with_code(first, replayed)
    }

    /// Does what the reservation sets off and waits for what another task is at. Gives the redemption's status, and a
    /// position that is as new as that.
    async fn see_through(
        &self,
        answered: Answered,
    ) -> Result<(Option<Status>, event_log::PositionToken), Problem> {
        let stream = StreamRef::redemption(self.redemption(), self.customer);
        let at = answered.at;
        let followed = match answered.made {
            Some(made) => Some(self.app.policies.follow(self.cause(), made, at).await),
            None => None,
        };
        let deadline = tokio::time::Instant::now() + COMPLETE_WITHIN;
        loop {
            let status = self.app.commander.glance(self.merchant, stream, status).await?;
            if let (Some(_), Some(Followed { complete: true, at })) = (status, followed) {
                return Ok((status, at));
            }
            let ended = !matches!(status, Some(Status::Requested | Status::CodeIssued) | None);
            if ended || tokio::time::Instant::now() >= deadline {
                let (at, status) = self.app.commander.read_at(self.merchant, stream, self::status).await?;
                return Ok((status, at));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn cause(&self) -> Cause {
        Cause {
            merchant: self.merchant,
            stream: StreamRef::account(self.customer),
            occurred_at: self.app.clock.now(),
            recorded_at: self.app.clock.now(),
            correlation: self.context.correlation,
            trace: self.context.trace,
        }
    }

    /// The code is added at the end: it is personal and never kept in clear.
    fn with_code(&self, mut body: serde_json::Value, replayed: bool) -> Result<Response, Problem> {
        if body["status"] == COMPLETED {
            let code = self.app.issuers.code(self.merchant, self.redemption());
            body["code"] = code.map_err(|error| key_fault(&error))?.into();
        }
        Ok(reply(StatusCode::OK, body, replayed))
    }
}

fn status(aggregate: &Aggregate) -> Option<Status> {
    match aggregate {
        Aggregate::Redemption(state) => state.status(),
        _ => None,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("points were reserved, but the account has no reservation")]
struct NoReservation;
