//! GET /v1/api/orders: a shop's orders, each with where it stands and why.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::{CustomerId, OrderId, loyalty_order::OrderStatus};
use http_edge::{Merchant, Problem, Query};
use privacy::{Kind, MerchantScope};
use projections::{
    customers,
    orders::{self, Filter, Order},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{order::OrderBody, page};
use crate::{
    Reads,
    documented::Problems,
    failure::{of_keys, of_store, parameter},
    opened::{Field, RedactedBody, TextBody, open_all},
};

/// Which orders, and which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// Only those of this customer and of all who were merged into it.
    #[param(value_type = Option<uuid::Uuid>)]
    customer_id: Option<CustomerId>,
    /// Only those that stand so: `waiting`, `qualified`, `disqualified`, `cancelled` or `refunded`.
    #[param(value_type = Option<String>)]
    status: Option<OrderStatus>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Orders per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A page of orders.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrdersBody {
    /// Newest first, by when they were first seen here.
    items: Vec<OrderBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// A shop's orders, newest first.
#[utoipa::path(
    get,
    path = "/v1/api/orders",
    operation_id = "orders",
    tag = "orders",
    params(Params),
    security(("merchant" = [])),
    responses((status = 200, body = OrdersBody), Problems)
)]
pub(crate) async fn orders(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<OrdersBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let before = params.cursor.as_deref().map(order_id).transpose()?;
    reads.fresh_everywhere(params.min_position.as_deref()).await?;
    let customers = match params.customer_id {
        Some(customer) => Some(customers::with_former(&reads.store, scope, customer).await),
        None => None,
    };
    let customers = customers.transpose().map_err(|error| of_store(&error))?;
    let filter = Filter { customers, status: params.status };
    let rows = orders::page(&reads.store, scope, filter, before, limit + 1).await;
    let mut rows = rows.map_err(|error| of_store(&error))?;
    let next = page::cut(&mut rows, limit, |last| last.order_id.to_string());
    Ok(Json(OrdersBody { items: bodies(&reads, scope, &rows).await?, next }))
}

/// A cursor is the id of the page's last order; callers need not know.
fn order_id(cursor: &str) -> Result<OrderId, Problem> {
    cursor.parse().map_err(|_| parameter("cursor", "expected `next` of an earlier page"))
}

/// Opens Shopify's ids of the whole page in one go. What gave no points has none in its row; the directory knows it.
async fn bodies(reads: &Reads, scope: MerchantScope, rows: &[Order]) -> Result<Vec<OrderBody>, Problem> {
    let closed: Vec<_> = rows
        .iter()
        .filter_map(|row| row.reference_address().map(|address| (address, row.reference.as_ref())))
        .collect();
    let mut opened = open_all(&reads.keys, &closed).await?.into_iter();
    let mut references: Vec<_> = rows
        .iter()
        .map(|row| row.reference_address().and_then(|_| opened.next()).and_then(Field::body))
        .collect();
    let unnamed = rows.iter().zip(&references).filter(|(_, reference)| reference.is_none());
    let unnamed: Vec<_> = unnamed.map(|(row, _)| row.order_id.0).collect();
    if !unnamed.is_empty() {
        let revealed = reads.keys.reveal_many(scope.merchant(), Kind::Order, unnamed).await;
        let mut revealed = revealed.map_err(|error| of_keys(&error))?.into_iter();
        for reference in references.iter_mut().filter(|reference| reference.is_none()) {
            *reference = revealed.next().flatten().map(TextBody::from);
        }
    }
    let named = references.into_iter().zip(rows);
    // Every order came under a name, so one that nothing knows went with its person.
    let redacted = || TextBody::Redacted(RedactedBody::new(None));
    let body = |(name, row): (Option<TextBody>, &Order)| OrderBody::new(name.unwrap_or_else(redacted), row);
    Ok(named.filter_map(body).collect())
}
