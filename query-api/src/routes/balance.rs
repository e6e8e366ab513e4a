//! GET /v1/api/points/balance: what a customer has, now or at a time.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_log::PositionToken;
use event_schemas::{CustomerId, Timestamp, points_account::Balances};
use http_edge::{Merchant, Problem, Query};
use privacy::MerchantScope;
use projections::{account_lots, points_balance, points_statement};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::expiring;
use crate::{
    Reads,
    answers::time,
    documented::CustomerProblems,
    failure::{of_store, parameter},
};

/// What counts as soon.
const EXPIRING_SOON_DAYS: u32 = 30;

/// Whose balance, and when.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// The customer.
    #[param(value_type = uuid::Uuid)]
    customer_id: CustomerId,
    /// The balance as the log had recorded it at this time.
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// The balance from what had happened in business at this time, whenever it was recorded.
    #[param(value_type = Option<String>, format = DateTime)]
    as_of_occurred: Option<Timestamp>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// All buckets of an account, in points.
#[derive(Serialize, ToSchema)]
pub(crate) struct BalanceBody {
    #[schema(format = Uuid)]
    customer_id: String,
    /// Can be spent.
    available: i64,
    /// Earned, not to be spent yet.
    pending: i64,
    /// Held while a reward is issued.
    reserved: i64,
    /// Sent to another customer, and neither arrived nor came back yet.
    in_transit: i64,
    /// Owed; earnings repay it first.
    debt: i64,
    lifetime_earned: i64,
    lifetime_redeemed: i64,
    lifetime_expired: i64,
    /// With what became debt.
    lifetime_clawed_back: i64,
    /// Signed.
    lifetime_adjusted: i64,
    lifetime_voided: i64,
    /// Signed.
    lifetime_transferred: i64,
    /// The answer is not older than this.
    position: String,
    /// The time that the answer speaks of.
    #[schema(format = DateTime)]
    as_of: String,
    /// How the account stands; absent where the answer speaks of the past.
    #[serde(flatten)]
    standing: Option<StandingBody>,
}

/// How an account stands now.
#[derive(Serialize, ToSchema)]
pub(crate) struct StandingBody {
    /// `open`, `frozen` or `merged`.
    status: &'static str,
    /// Why it is frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen_reason: Option<String>,
    /// Whose account goes on, if it was merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    into: Option<String>,
    /// What ends within 30 days unless it is spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiring_soon: Option<ExpiringSoonBody>,
}

/// Points that end soon.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExpiringSoonBody {
    points: i64,
    /// When the first of them end.
    #[schema(format = DateTime)]
    first_at: String,
}

impl BalanceBody {
    fn new(
        customer: CustomerId,
        balances: Balances,
        position: PositionToken,
        (as_of, standing): (Timestamp, Option<StandingBody>),
    ) -> Self {
        Self {
            customer_id: customer.to_string(),
            available: balances.available.0,
            pending: balances.pending.0,
            reserved: balances.reserved.0,
            in_transit: balances.in_transit.0,
            debt: balances.debt.0,
            lifetime_earned: balances.lifetime_earned.0,
            lifetime_redeemed: balances.lifetime_redeemed.0,
            lifetime_expired: balances.lifetime_expired.0,
            lifetime_clawed_back: balances.lifetime_clawed_back.0,
            lifetime_adjusted: balances.lifetime_adjusted.0,
            lifetime_voided: balances.lifetime_voided.0,
            lifetime_transferred: balances.lifetime_transferred.0,
            position: position.to_string(),
            as_of: time(as_of),
            standing,
        }
    }
}

/// What a customer has. A customer without movements, or at a time before the first one, has zeros.
#[utoipa::path(
    get,
    path = "/v1/api/points/balance",
    operation_id = "points_balance",
    tag = "points",
    params(Params),
    security(("merchant" = [])),
    responses(
        (status = 200, body = BalanceBody),
        CustomerProblems,
    )
)]
pub(crate) async fn balance(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<BalanceBody>, Problem> {
    if params.as_of.is_some() && params.as_of_occurred.is_some() {
        return Err(parameter("as_of_occurred", "expected without as_of"));
    }
    let (_, position) = reads.customer(scope, params.customer_id, params.min_position.as_deref()).await?;
    let (balances, time) = past(&reads, scope, &params).await.map_err(|error| of_store(&error))?;
    if let Some(time) = time {
        return Ok(Json(BalanceBody::new(params.customer_id, balances, position, (time, None))));
    }
    let now = (reads.now)();
    let (balances, standing) = current(&reads, scope, params.customer_id, now).await?;
    Ok(Json(BalanceBody::new(params.customer_id, balances, position, (now, Some(standing)))))
}

/// The balances at the time that is asked for, if one is.
async fn past(
    reads: &Reads,
    scope: MerchantScope,
    params: &Params,
) -> Result<(Balances, Option<Timestamp>), projections::Error> {
    let customer = params.customer_id;
    if let Some(time) = params.as_of {
        let found = points_statement::as_of(&reads.store, scope, customer, time).await?;
        return Ok((found.unwrap_or_default(), Some(time)));
    }
    if let Some(time) = params.as_of_occurred {
        let found = points_statement::as_of_occurred(&reads.store, scope, customer, time).await?;
        return Ok((found, Some(time)));
    }
    Ok((Balances::default(), None))
}

async fn current(
    reads: &Reads,
    scope: MerchantScope,
    customer: CustomerId,
    now: Timestamp,
) -> Result<(Balances, StandingBody), Problem> {
    let until = expiring::days_after(now, EXPIRING_SOON_DAYS);
    let account = points_balance::find(&reads.store, scope, customer).await;
    let account = account.map_err(|error| of_store(&error))?;
    let dated = account_lots::ending_of(&reads.store, scope, customer, until).await;
    let dated = dated.map_err(|error| of_store(&error))?;
    let warned = account.as_ref().and_then(|account| Some((account.available, account.warned_end_at?)));
    let soon = match (dated, warned) {
        (Some(ending), _) => Some((ending.points, ending.ends_at)),
        (None, Some((points, at))) if at <= until && expiring::by_inactivity(reads, scope).await? => {
            Some((points, at))
        }
        (None, _) => None,
    };
    let (frozen, into) = account.as_ref().map_or((None, None), |all| (all.frozen.as_ref(), all.merged_into));
    let standing = StandingBody {
        status: match (into, frozen) {
            (Some(_), _) => "merged",
            (None, Some(_)) => "frozen",
            (None, None) => "open",
        },
        frozen_reason: frozen.map(ToString::to_string),
        into: into.map(|customer| customer.to_string()),
        expiring_soon: soon.map(|(points, at)| ExpiringSoonBody { points: points.0, first_at: time(at) }),
    };
    Ok((account.map(|account| account.balances()).unwrap_or_default(), standing))
}
