//! GET /v1/api/rewards: what points can be exchanged for.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::RewardId;
use http_edge::{Merchant, Problem, Query};
use projections::reward_catalog::{self, Reward};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{REFERENCE_PARTITION, page};
use crate::{
    Reads,
    answers::{BenefitBody, time},
    documented::Problems,
    failure::{of_store, parameter},
};

/// Which rewards, and which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// Whether rewards that can no longer be had are shown too; they are not unless said.
    #[serde(default)]
    retired: bool,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rewards per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A page of the catalogue.
#[derive(Serialize, ToSchema)]
pub(crate) struct RewardsBody {
    /// Newest first.
    items: Vec<RewardBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// One reward.
#[derive(Serialize, ToSchema)]
pub(crate) struct RewardBody {
    #[schema(format = Uuid)]
    reward_id: String,
    /// Counts up by one at every change.
    version: u32,
    name: String,
    /// What it gives.
    benefit: BenefitBody,
    /// What it costs.
    points: i64,
    /// `active` or `retired`.
    status: &'static str,
    #[schema(format = DateTime)]
    defined_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// What points can be exchanged for.
#[utoipa::path(
    get,
    path = "/v1/api/rewards",
    operation_id = "rewards",
    tag = "rewards",
    params(Params),
    security(("merchant" = [])),
    responses((status = 200, body = RewardsBody), Problems)
)]
pub(crate) async fn rewards(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<RewardsBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let expected = || parameter("cursor", "expected `next` of an earlier page");
    let before: Option<RewardId> =
        params.cursor.as_deref().map(|cursor| cursor.parse().map_err(|_| expected())).transpose()?;
    reads.fresh(REFERENCE_PARTITION, params.min_position.as_deref()).await?;
    let rows = reward_catalog::page(&reads.store, scope, params.retired, before, limit + 1).await;
    let mut rows = rows.map_err(|error| of_store(&error))?;
    let next = page::cut(&mut rows, limit, |last| last.reward.to_string());
    Ok(Json(RewardsBody { items: rows.iter().map(body).collect(), next }))
}

fn body(reward: &Reward) -> RewardBody {
    RewardBody {
        reward_id: reward.reward.to_string(),
        version: reward.version,
        name: reward.name.to_string(),
        benefit: reward.benefit.0.into(),
        points: reward.points.0,
        status: if reward.retired { "retired" } else { "active" },
        defined_at: time(reward.defined_at),
        updated_at: time(reward.updated_at),
    }
}
