//! GET /v1/api/points/sync: what a till sent, and what of it is missing.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::DeviceId;
use http_edge::{Merchant, Problem, ProblemBody, Query};
use projections::{
    pos_devices::{self, Device},
    pos_offline_queue::{self, QueuedEntry},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page;
use crate::{
    Reads,
    answers::time,
    documented::Problems,
    failure::{of_store, parameter},
};

/// Which till, and which page of its entries.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// The till.
    #[param(value_type = uuid::Uuid)]
    device_id: DeviceId,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Entries per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A till and a page of its entries.
#[derive(Serialize, ToSchema)]
pub(crate) struct SyncBody {
    #[schema(format = Uuid)]
    device_id: String,
    /// The highest number that came.
    highest: u64,
    /// What never came below it.
    missing: Vec<RangeBody>,
    /// When the newest batch with something new in it came.
    #[schema(format = DateTime)]
    received_at: String,
    /// Highest number first.
    items: Vec<QueuedBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// Numbers without a gap, both ends included.
#[derive(Serialize, ToSchema)]
pub(crate) struct RangeBody {
    first: u64,
    last: u64,
}

/// One entry of a till.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueuedBody {
    sequence: u64,
    /// `accepted` until the account has it, then `applied`; or `rejected`.
    status: &'static str,
    /// `earn` or `redeem`; absent if it was rejected at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    points: i64,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    customer_id: Option<String>,
    /// The award or the redemption that it led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    entry_id: Option<String>,
    /// By the till's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    occurred_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    received_at: Option<String>,
}

/// What a till sent while it was offline, and what came of it.
#[utoipa::path(
    get,
    path = "/v1/api/points/sync",
    operation_id = "points_synced",
    tag = "points",
    params(Params),
    security(("merchant" = [])),
    responses(
        (status = 200, body = SyncBody),
        Problems,
        (status = 404, description = "device-not-found", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sync(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<SyncBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let expected = || parameter("cursor", "expected `next` of an earlier page");
    let before: Option<u64> =
        params.cursor.as_deref().map(|cursor| cursor.parse().map_err(|_| expected())).transpose()?;
    reads.fresh_everywhere(params.min_position.as_deref()).await?;
    let device = pos_devices::find(&reads.store, scope, params.device_id).await;
    let device = device.map_err(|error| of_store(&error))?;
    let device =
        device.ok_or_else(|| Problem::not_found("device-not-found", "No batch of this till came"))?;
    let rows = pos_offline_queue::page(&reads.store, scope, params.device_id, before, limit + 1).await;
    let mut rows = rows.map_err(|error| of_store(&error))?;
    let next = page::cut(&mut rows, limit, |last| last.sequence.to_string());
    Ok(Json(body(&device, &rows, next)))
}

fn body(device: &Device, rows: &[QueuedEntry], next: Option<String>) -> SyncBody {
    SyncBody {
        device_id: device.device.to_string(),
        highest: device.highest,
        missing: device.missing.0.iter().map(|gap| RangeBody { first: gap.first, last: gap.last }).collect(),
        received_at: time(device.received_at),
        items: rows.iter().map(queued).collect(),
        next,
    }
}

fn queued(entry: &QueuedEntry) -> QueuedBody {
    QueuedBody {
        sequence: entry.sequence,
        status: match (&entry.refused, entry.moved) {
            (_, Some(_)) => "applied",
            (Some(_), None) => "rejected",
            (None, None) => "accepted",
        },
        r#type: entry.kind.map(|kind| kind.as_str()),
        points: entry.points.0,
        code: entry.refused.as_ref().map(ToString::to_string),
        customer_id: entry.customer.map(|customer| customer.to_string()),
        entry_id: entry.moved.map(|moved| moved.to_string()),
        occurred_at: entry.occurred_at.map(time),
        received_at: entry.received_at.map(time),
    }
}
