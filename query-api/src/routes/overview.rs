//! GET /v1/api/core/overview: a shop's figures, its newest entries, and where the live feed goes on from them.
use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use event_schemas::Points;
use http_edge::{Merchant, Problem, ProblemBody, Query};
use projections::{
    audit_log::{self, Filter},
    customers, merchants, orders,
    points_balance::{self, Totals},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Reads,
    attempt::AttemptBody,
    documented::{Fresh, Problems},
    failure::of_store,
};

/// Entries shown.
const LATEST: u32 = 20;

/// A shop at a glance.
#[derive(Serialize, ToSchema)]
pub(crate) struct OverviewBody {
    shop_domain: String,
    /// ISO 4217 code.
    currency: String,
    /// People who collect points.
    members: u64,
    points: PointsBody,
    /// How many orders have each status; a status that none has is absent.
    orders: BTreeMap<&'static str, u64>,
    /// Newest first, without commands that found everything so already.
    latest: Vec<AttemptBody>,
    /// `Last-Event-ID` for a live feed that tells all that is not in this answer.
    live_from: String,
}

/// What all members have together.
#[derive(Serialize, ToSchema)]
pub(crate) struct PointsBody {
    /// What the shop may have to honour: `available`, `pending`, `reserved` and `in_transit`.
    outstanding: i64,
    available: i64,
    pending: i64,
    reserved: i64,
    /// On their way between members.
    in_transit: i64,
    /// Owed by members.
    debt: i64,
}

/// The shop's figures and its newest entries.
#[utoipa::path(
    get,
    path = "/v1/api/core/overview",
    operation_id = "overview",
    tag = "settings",
    params(Fresh),
    security(("merchant" = [])),
    responses(
        (status = 200, body = OverviewBody),
        Problems,
        (status = 404, description = "shop-not-found", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn overview(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Fresh>,
) -> Result<Json<OverviewBody>, Problem> {
    reads.fresh_everywhere(params.min_position.as_deref()).await?;
    // Taken before the figures: the feed may tell some of them again, but leaves none out.
    let live_from = reads.place().to_string();
    let store = &reads.store;
    let failed = |error: projections::Error| of_store(&error);
    let shop = merchants::find(store, scope).await.map_err(failed)?;
    let shop = shop.ok_or_else(|| Problem::not_found("shop-not-found", "The shop has no settings"))?;
    let by_status = orders::by_status(store, scope).await.map_err(failed)?;
    // As the feed has it.
    let news = Filter { without_repeats: true, ..Filter::default() };
    let latest = audit_log::page(store, scope, news, None, LATEST).await.map_err(failed)?;
    Ok(Json(OverviewBody {
        shop_domain: shop.shop_domain.to_string(),
        currency: shop.currency.code().to_owned(),
        members: customers::count(store, scope).await.map_err(failed)?,
        points: points(points_balance::totals(store, scope).await.map_err(failed)?)?,
        orders: by_status.into_iter().map(|(status, count)| (status.as_str(), count)).collect(),
        latest: latest.into_iter().map(AttemptBody::from).collect(),
        live_from,
    }))
}

fn points(totals: Totals) -> Result<PointsBody, Problem> {
    let Totals { available, pending, reserved, in_transit, debt } = totals;
    let outstanding =
        Points::sum([available, pending, reserved, in_transit]).map_err(|error| Problem::internal(&error))?;
    Ok(PointsBody {
        outstanding: outstanding.0,
        available: available.0,
        pending: pending.0,
        reserved: reserved.0,
        in_transit: in_transit.0,
        debt: debt.0,
    })
}
