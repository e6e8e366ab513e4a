//! GET /v1/api/products: what a shop sells, as far as points need to know.
use std::sync::Arc;

use axum::{Json, extract::State};
use http_edge::{Merchant, Problem, Query};
use projections::products::{self, Product};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{REFERENCE_PARTITION, page};
use crate::{Reads, answers::time, documented::Problems, failure::of_store};

/// Which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Products per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A page of products.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProductsBody {
    /// In the order of Shopify's ids as text.
    items: Vec<ProductBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// One product.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProductBody {
    /// Shopify's id.
    product_id: Option<String>,
    title: Option<String>,
    tags: Vec<String>,
    /// When the shop last changed it.
    #[schema(format = DateTime)]
    updated_at: Option<String>,
}

/// A shop's products that it has not deleted.
#[utoipa::path(
    get,
    path = "/v1/api/products",
    operation_id = "products",
    tag = "products",
    params(Params),
    security(("merchant" = [])),
    responses((status = 200, body = ProductsBody), Problems)
)]
pub(crate) async fn products(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<ProductsBody>, Problem> {
    let limit = page::limit(params.limit)?;
    reads.fresh(REFERENCE_PARTITION, params.min_position.as_deref()).await?;
    // A cursor is the id of the page's last product: any text leads somewhere.
    let rows = products::page(&reads.store, scope, params.cursor, limit + 1).await;
    let mut rows = rows.map_err(|error| of_store(&error))?;
    let next = page::cut(&mut rows, limit, |last| text(last.product_id.as_ref()).unwrap_or_default());
    Ok(Json(ProductsBody { items: rows.iter().map(body).collect(), next }))
}

fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

fn body(product: &Product) -> ProductBody {
    ProductBody {
        product_id: text(product.product_id.as_ref()),
        title: text(product.title.as_ref()),
        tags: product.tags.0.iter().map(ToString::to_string).collect(),
        updated_at: product.shop_updated_at.map(time),
    }
}
