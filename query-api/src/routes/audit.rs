//! GET /admin/logs: the audit log of a shop, refused attempts too.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::{CustomerId, OrderId, Timestamp};
use http_edge::{Merchant, Problem, ProblemBody, Query};
use privacy::Kind;
use projections::audit_log::{self, After, Filter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page;
use crate::{
    Reads,
    attempt::AttemptBody,
    documented::Problems,
    failure::{of_keys, of_store, parameter},
};

/// Which attempts, and which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// Only those about this customer.
    #[param(value_type = Option<uuid::Uuid>)]
    customer_id: Option<CustomerId>,
    /// Only those about this order.
    shopify_order_id: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Attempts per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogsBody {
    /// Newest first.
    items: Vec<AttemptBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// Every command to the shop: who asked, what came of it, when and why; refusals and repeats too.
#[utoipa::path(
    get,
    path = "/admin/logs",
    operation_id = "logs",
    tag = "audit",
    params(Params),
    security(("merchant" = [])),
    responses(
        (status = 200, body = LogsBody),
        Problems,
        (status = 404, description = "order-not-found", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn logs(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<LogsBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let after = params.cursor.as_deref().map(after).transpose()?;
    let order = match &params.shopify_order_id {
        Some(id) => {
            let entry = reads.keys.find(scope.merchant(), Kind::Order, id).await;
            let entry = entry.map_err(|error| of_keys(&error))?;
            let not_found = || Problem::not_found("order-not-found", "There is no such order");
            Some(OrderId(entry.ok_or_else(not_found)?.id))
        }
        None => None,
    };
    reads.fresh_everywhere(params.min_position.as_deref()).await?;
    let filter = Filter { customer: params.customer_id, order, without_repeats: false };
    let rows = audit_log::page(&reads.store, scope, filter, after, limit + 1).await;
    let mut rows = rows.map_err(|error| of_store(&error))?;
    let next = page::cut(&mut rows, limit, |last| {
        format!("{}.{}.{}", last.recorded_at.micros(), last.part, last.position)
    });
    Ok(Json(LogsBody { items: rows.into_iter().map(AttemptBody::from).collect(), next }))
}

/// A cursor is the time and the place of the page's last row; callers need not know.
fn after(cursor: &str) -> Result<After, Problem> {
    let read = || {
        let mut parts = cursor.splitn(3, '.');
        let recorded_at = Timestamp::from_micros(parts.next()?.parse().ok()?);
        let (part, position) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(After { recorded_at, part, position })
    };
    read().ok_or_else(|| parameter("cursor", "expected `next` of an earlier page"))
}
