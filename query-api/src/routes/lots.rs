//! GET /v1/api/points/lots: the lots that a customer's points lie in.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::CustomerId;
use http_edge::{Merchant, Problem, Query};
use projections::account_lots::{self, After, Lot};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{order::released, page};
use crate::{
    Reads,
    answers::time,
    documented::CustomerProblems,
    failure::{of_store, parameter},
};

/// Whose lots, and which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// The customer.
    #[param(value_type = uuid::Uuid)]
    customer_id: CustomerId,
    /// Whether lots without points in them are shown too; they are not unless said.
    #[serde(default)]
    empty: bool,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Lots per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A page of lots.
#[derive(Serialize, ToSchema)]
pub(crate) struct LotsBody {
    /// Newest first. Points are spent from the lot that ends soonest, then from the oldest.
    items: Vec<LotBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// One lot: `granted` is the sum of the parts below it.
#[derive(Serialize, ToSchema)]
pub(crate) struct LotBody {
    /// The entry that granted it.
    #[schema(format = Uuid)]
    lot_id: String,
    /// `pending`, `active` or `empty`.
    status: &'static str,
    granted: i64,
    /// Not to be spent yet.
    pending: i64,
    /// Can be spent.
    remaining: i64,
    /// Spent, held for a reward, or gone to repay debt.
    used: i64,
    expired: i64,
    /// Taken back because an order came to less.
    clawed_back: i64,
    /// Taken back before they could be spent.
    voided: i64,
    /// Gone to another account.
    transferred: i64,
    /// What pending points wait for: `fulfilment`, or a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<String>,
    /// From when on it cannot be spent; absent if it does not end by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    earned_at: String,
    /// The rule behind it, such as `purchase`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// Our id of the order behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    order_id: Option<String>,
}

/// The lots that a customer's points lie in, newest first.
#[utoipa::path(
    get,
    path = "/v1/api/points/lots",
    operation_id = "points_lots",
    tag = "points",
    params(Params),
    security(("merchant" = [])),
    responses((status = 200, body = LotsBody), CustomerProblems)
)]
pub(crate) async fn lots(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<LotsBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let after = params.cursor.as_deref().map(after).transpose()?;
    let customer = params.customer_id;
    reads.customer(scope, customer, params.min_position.as_deref()).await?;
    let rows = account_lots::page(&reads.store, scope, customer, params.empty, after, limit + 1).await;
    let mut rows = rows.map_err(|error| of_store(&error))?;
    let next = page::cut(&mut rows, limit, |last| format!("{}.{}", last.version, last.lot));
    Ok(Json(LotsBody { items: rows.iter().map(body).collect(), next }))
}

/// A cursor is the version and the id of the page's last lot; callers need not know.
fn after(cursor: &str) -> Result<After, Problem> {
    let read =
        |(version, lot): (&str, &str)| Some(After { version: version.parse().ok()?, lot: lot.parse().ok()? });
    let parts = cursor.split_once('.').and_then(read);
    parts.ok_or_else(|| parameter("cursor", "expected `next` of an earlier page"))
}

fn body(lot: &Lot) -> LotBody {
    let status = match (lot.pending.is_positive(), lot.remaining.is_positive()) {
        (true, _) => "pending",
        (false, true) => "active",
        (false, false) => "empty",
    };
    LotBody {
        lot_id: lot.lot.to_string(),
        status,
        granted: lot.granted.0,
        pending: lot.pending.0,
        remaining: lot.remaining.0,
        used: lot.used().0,
        expired: lot.expired.0,
        clawed_back: lot.clawed_back.0,
        voided: lot.voided.0,
        transferred: lot.transferred.0,
        released: lot.release.as_ref().map(|release| released(release.0)),
        expires_at: lot.expires_at.map(time),
        earned_at: time(lot.earned_at),
        rule: lot.rule.as_ref().map(|rule| rule.0.rule.to_string()),
        order_id: lot.order_id.map(|order| order.to_string()),
    }
}
