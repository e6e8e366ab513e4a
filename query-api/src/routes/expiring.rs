//! GET /v1/api/points/expiring: which points end soon unless they are spent.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::{CustomerId, Timestamp, merchant::ExpiryMode};
use http_edge::{Merchant, Problem, Query};
use privacy::MerchantScope;
use projections::{
    account_lots::{self, Ending},
    points_balance, program_settings,
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

const WITHIN_DAYS_DEFAULT: u32 = 30;
const WITHIN_DAYS_MAX: u32 = 3_660;
const DAY_US: i64 = 86_400_000_000;

/// How soon, whose, and which page.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// Days from now, 30 unless said.
    #[param(minimum = 0, maximum = 3660)]
    within_days: Option<u32>,
    /// Only those of this customer.
    #[param(value_type = Option<uuid::Uuid>)]
    customer_id: Option<CustomerId>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A page of what ends soon.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExpiringBody {
    /// Until when is looked.
    #[schema(format = DateTime)]
    until: String,
    /// Soonest first.
    items: Vec<EndingBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// What one customer loses at one time.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndingBody {
    #[schema(format = Uuid)]
    customer_id: String,
    points: i64,
    #[schema(format = DateTime)]
    expires_at: String,
    /// `lot`, or `inactivity`: then anything that the customer earns or redeems before keeps them.
    reason: &'static str,
}

/// Points that end within some days unless they are spent: those whose lot has a date, and those of customers who were
/// warned of their inactivity.
#[utoipa::path(
    get,
    path = "/v1/api/points/expiring",
    operation_id = "points_expiring",
    tag = "points",
    params(Params),
    security(("merchant" = [])),
    responses((status = 200, body = ExpiringBody), Problems)
)]
pub(crate) async fn expiring(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<ExpiringBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let days = params.within_days.unwrap_or(WITHIN_DAYS_DEFAULT);
    if days > WITHIN_DAYS_MAX {
        return Err(parameter("within_days", "expected 0 to 3660"));
    }
    let after = params.cursor.as_deref().map(after).transpose()?;
    reads.fresh_everywhere(params.min_position.as_deref()).await?;
    let until = days_after((reads.now)(), days);
    let (store, of) = (&reads.store, params.customer_id);
    let dated = account_lots::ending(store, scope, of, until, after, limit + 1).await;
    let warned = match by_inactivity(&reads, scope).await? {
        true => points_balance::warned(store, scope, of, until, after, limit + 1).await,
        false => Ok(Vec::new()),
    };
    let items = |found: Result<Vec<Ending>, projections::Error>, reason| {
        let found = found.map_err(|error| of_store(&error))?;
        Ok(found.into_iter().map(move |ending| (ending, reason)))
    };
    let mut rows: Vec<_> = items(dated, "lot")?.chain(items(warned, "inactivity")?).collect();
    rows.sort_by_key(|(ending, _)| (ending.ends_at, ending.customer));
    let next =
        page::cut(&mut rows, limit, |(last, _)| format!("{}.{}", last.ends_at.micros(), last.customer));
    let items = rows.into_iter().map(|(ending, reason)| body(&ending, reason)).collect();
    Ok(Json(ExpiringBody { until: time(until), items, next }))
}

/// Whether the shop's points end by inactivity: then lots have no dates, but customers are warned.
pub(crate) async fn by_inactivity(reads: &Reads, scope: MerchantScope) -> Result<bool, Problem> {
    let settings = program_settings::find(&reads.store, scope).await.map_err(|error| of_store(&error))?;
    Ok(settings.is_some_and(|settings| settings.settings.0.expiry.mode == ExpiryMode::Inactivity))
}

/// A cursor is the time and the customer of the page's last item; callers need not know.
fn after(cursor: &str) -> Result<(Timestamp, CustomerId), Problem> {
    let read =
        |(micros, id): (&str, &str)| Some((Timestamp::from_micros(micros.parse().ok()?), id.parse().ok()?));
    let parts = cursor.split_once('.').and_then(read);
    parts.ok_or_else(|| parameter("cursor", "expected `next` of an earlier page"))
}

/// So many days of 24 hours later.
pub(crate) fn days_after(now: Timestamp, days: u32) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_add(i64::from(days).saturating_mul(DAY_US)))
}

fn body(ending: &Ending, reason: &'static str) -> EndingBody {
    EndingBody {
        customer_id: ending.customer.to_string(),
        points: ending.points.0,
        expires_at: time(ending.ends_at),
        reason,
    }
}
