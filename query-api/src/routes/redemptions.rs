//! GET /v1/api/points/redemptions: what a customer exchanged points for.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::Timestamp;
use http_edge::{Merchant, Problem, Query};
use projections::{
    customers,
    redemptions::{self, After, Redemption},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::page;
use crate::{
    Reads,
    answers::{BenefitBody, MoneyBody, time},
    documented::{CustomerPage, CustomerProblems},
    failure::{of_store, parameter},
    opened::{Field, TextBody, open_all},
};

/// A page of redemptions.
#[derive(Serialize, ToSchema)]
pub(crate) struct RedemptionsBody {
    /// Newest first.
    items: Vec<RedemptionBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// One redemption.
#[derive(Serialize, ToSchema)]
pub(crate) struct RedemptionBody {
    #[schema(format = Uuid)]
    redemption_id: String,
    /// `pending`, `completed`, `failed`, `expired` or `cancelled`.
    status: &'static str,
    /// What it costs.
    points: i64,
    /// What it gives; of a reward that is not an amount, zero.
    discount: MoneyBody,
    /// The reward of the catalogue, as it was then.
    #[serde(skip_serializing_if = "Option::is_none")]
    reward: Option<UsedRewardBody>,
    /// The till that gave the discount, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    device_id: Option<String>,
    /// The discount code, once issued; redacted once the person is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<TextBody>,
    /// Why it failed or was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[schema(format = DateTime)]
    requested_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// The reward behind a redemption.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsedRewardBody {
    #[schema(format = Uuid)]
    reward_id: String,
    version: u32,
    benefit: BenefitBody,
}

/// The redemptions of a customer and of all who were merged into it, newest first.
#[utoipa::path(
    get,
    path = "/v1/api/points/redemptions",
    operation_id = "points_redemptions",
    tag = "points",
    params(CustomerPage),
    security(("merchant" = [])),
    responses(
        (status = 200, body = RedemptionsBody),
        CustomerProblems,
    )
)]
pub(crate) async fn redemptions(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<CustomerPage>,
) -> Result<Json<RedemptionsBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let after = params.cursor.as_deref().map(after).transpose()?;
    let customer = params.customer_id;
    reads.customer(scope, customer, params.min_position.as_deref()).await?;
    let customers = customers::with_former(&reads.store, scope, customer).await;
    let customers = customers.map_err(|error| of_store(&error))?;
    for former in customers.iter().filter(|former| **former != customer) {
        reads.settle(reads.partition_of(scope, former.0)).await?;
    }
    let rows = redemptions::list(&reads.store, scope, &customers, after, limit + 1).await;
    let mut rows = rows.map_err(|error| of_store(&error))?;
    let next =
        page::cut(&mut rows, limit, |last| format!("{}.{}", last.requested_at.micros(), last.redemption));
    Ok(Json(RedemptionsBody { items: bodies(&reads, rows).await?, next }))
}

/// A cursor is the time and the id of the page's last redemption; callers need not know.
fn after(cursor: &str) -> Result<After, Problem> {
    let read = |(micros, id): (&str, &str)| {
        let requested_at = Timestamp::from_micros(micros.parse().ok()?);
        Some(After { requested_at, redemption: id.parse().ok()? })
    };
    let parts = cursor.split_once('.').and_then(read);
    parts.ok_or_else(|| parameter("cursor", "expected `next` of an earlier page"))
}

async fn bodies(reads: &Reads, rows: Vec<Redemption>) -> Result<Vec<RedemptionBody>, Problem> {
    let closed: Vec<_> = rows
        .iter()
        .filter_map(|row| row.code_address().map(|address| (address, row.code.as_ref())))
        .collect();
    let mut opened = open_all(&reads.keys, &closed).await?.into_iter();
    let mut bodies = Vec::with_capacity(rows.len());
    for row in &rows {
        let code = row.code_address().and_then(|_| opened.next()).and_then(Field::body);
        bodies.push(body(row, code));
    }
    Ok(bodies)
}

fn body(row: &Redemption, code: Option<TextBody>) -> RedemptionBody {
    RedemptionBody {
        redemption_id: row.redemption.to_string(),
        status: row.status.as_str(),
        points: row.points.0,
        discount: row.discount.0.into(),
        reward: row.reward.as_ref().map(|reward| UsedRewardBody {
            reward_id: reward.0.reward.to_string(),
            version: reward.0.version,
            benefit: reward.0.benefit.into(),
        }),
        device_id: row.pos.as_ref().map(|entry| entry.0.device.to_string()),
        code,
        reason: row.reason.as_ref().map(ToString::to_string),
        requested_at: time(row.requested_at),
        updated_at: time(row.updated_at),
    }
}
