//! GET /v1/api/points/balance: what a customer has, now or at a time.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_log::PositionToken;
use event_schemas::{CustomerId, Timestamp, points_account::Balances};
use http_edge::{Merchant, Problem, ProblemBody, Query};
use privacy::MerchantScope;
use projections::{customers, points_balance, points_statement};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Reads,
    answers::time,
    failure::{customer_not_found, of_store, parameter},
};

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
}

impl BalanceBody {
    fn new(customer: CustomerId, balances: Balances, position: PositionToken, as_of: Timestamp) -> Self {
        Self {
            customer_id: customer.to_string(),
            available: balances.available.0,
            pending: balances.pending.0,
            reserved: balances.reserved.0,
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
        (status = 400, description = "invalid-parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "unauthenticated", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "customer-not-found", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "other-history", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "not-caught-up", body = ProblemBody, content_type = "application/problem+json"),
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
    let partition = reads.partition_of(scope, params.customer_id.0);
    let position = reads.fresh(partition, params.min_position.as_deref()).await?;
    let customer = customers::find(&reads.store, scope, params.customer_id).await;
    customer.map_err(|error| of_store(&error))?.ok_or_else(customer_not_found)?;
    let balances = balances(&reads, scope, &params).await.map_err(|error| of_store(&error))?;
    let as_of = params.as_of.or(params.as_of_occurred).unwrap_or_else(|| (reads.now)());
    Ok(Json(BalanceBody::new(params.customer_id, balances, position, as_of)))
}

async fn balances(
    reads: &Reads,
    scope: MerchantScope,
    params: &Params,
) -> Result<Balances, projections::Error> {
    let customer = params.customer_id;
    if let Some(time) = params.as_of {
        let found = points_statement::as_of(&reads.store, scope, customer, time).await?;
        return Ok(found.unwrap_or_default());
    }
    if let Some(time) = params.as_of_occurred {
        return points_statement::as_of_occurred(&reads.store, scope, customer, time).await;
    }
    let account = points_balance::find(&reads.store, scope, customer).await?;
    Ok(account.map(|account| account.balances()).unwrap_or_default())
}
