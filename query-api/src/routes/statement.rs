//! GET /v1/api/points/statement: every movement of a customer's points, each with its why.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::CustomerId;
use http_edge::{Merchant, Problem, ProblemBody, Query};
use projections::{
    customers,
    points_statement::{self, Entry, EntryType},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page;
use crate::{
    Reads,
    answers::{MoneyBody, time},
    failure::{customer_not_found, of_store, parameter},
    opened::{Field, open_all},
};

/// Whose statement, and which page of it.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// The customer.
    #[param(value_type = uuid::Uuid)]
    customer_id: CustomerId,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Entries per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A page of a statement.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatementBody {
    /// Newest first.
    items: Vec<EntryBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// One movement. The points of all add up to `available − debt`, plus `reserved`.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntryBody {
    #[schema(format = Uuid)]
    entry_id: String,
    /// `earn`, `claw_back`, `reserve`, `unreserve`, `redeem`, `reinstate` or `adjust`.
    r#type: &'static str,
    /// Signed; 0 for a reservation and its end.
    points: i64,
    /// What could be spent after it.
    available_after: i64,
    /// When it happened in business.
    #[schema(format = DateTime)]
    occurred_at: String,
    /// When it was recorded.
    #[schema(format = DateTime)]
    recorded_at: String,
    source: SourceBody,
    /// One sentence.
    why: String,
    /// Why, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<RuleBody>,
    /// Points held by a reservation, or that went back from it.
    #[serde(skip_serializing_if = "is_zero")]
    held: i64,
    /// Of the points given, those that repaid debt at once.
    #[serde(skip_serializing_if = "is_zero")]
    repaid: i64,
    /// Of the points taken, those that became debt.
    #[serde(skip_serializing_if = "is_zero")]
    to_debt: i64,
    /// Points that were let go instead of taken.
    #[serde(skip_serializing_if = "is_zero")]
    forgiven: i64,
    /// What the customer may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_note: Option<String>,
    /// What only staff may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_note: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What an entry goes back to.
#[derive(Serialize, ToSchema)]
pub(crate) struct SourceBody {
    /// `order`, `api`, `redemption` or `manual`.
    kind: &'static str,
    /// Shopify's order id, the caller's `source_id`, or the redemption's id; absent once the person is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// The rule behind an award, as it was then.
#[derive(Serialize, ToSchema)]
pub(crate) struct RuleBody {
    rule: String,
    /// Version of the settings that held it.
    version: u32,
    /// Points per major unit, a decimal text.
    rate: String,
    eligible_amount: MoneyBody,
}

/// A customer's movements, newest first.
#[utoipa::path(
    get,
    path = "/v1/api/points/statement",
    operation_id = "points_statement",
    tag = "points",
    params(Params),
    security(("merchant" = [])),
    responses(
        (status = 200, body = StatementBody),
        (status = 400, description = "invalid-parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "unauthenticated", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "customer-not-found", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "other-history", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "not-caught-up", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn statement(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<StatementBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let before = params.cursor.as_deref().map(version).transpose()?;
    let customer = params.customer_id;
    reads.fresh(reads.partition_of(scope, customer.0), params.min_position.as_deref()).await?;
    let known = customers::find(&reads.store, scope, customer).await.map_err(|error| of_store(&error))?;
    known.ok_or_else(customer_not_found)?;
    let entries = points_statement::page(&reads.store, scope, customer, before, limit + 1).await;
    let mut entries = entries.map_err(|error| of_store(&error))?;
    let next = page::cut(&mut entries, limit, |last| last.version.to_string());
    Ok(Json(StatementBody { items: bodies(&reads, &entries).await?, next }))
}

/// A cursor is the version of the page's last entry; callers need not know.
fn version(cursor: &str) -> Result<u64, Problem> {
    cursor.parse().map_err(|_| parameter("cursor", "expected `next` of an earlier page"))
}

/// Opens all sealed fields of the page in one go.
async fn bodies(reads: &Reads, entries: &[Entry]) -> Result<Vec<EntryBody>, Problem> {
    let closed: Vec<_> = entries
        .iter()
        .flat_map(|entry| {
            [
                (entry.address("reference"), entry.reference.as_ref()),
                (entry.address("public_note"), entry.public_note.as_ref()),
                (entry.address("internal_note"), entry.internal_note.as_ref()),
            ]
        })
        .collect();
    let mut opened = open_all(&reads.keys, &closed).await?.into_iter();
    let mut next = || opened.next().and_then(Field::text);
    Ok(entries.iter().map(|entry| body(entry, [next(), next(), next()])).collect())
}

fn body(entry: &Entry, [reference, public_note, internal_note]: [Option<String>; 3]) -> EntryBody {
    EntryBody {
        entry_id: entry.entry.to_string(),
        r#type: entry.entry_type.as_str(),
        points: entry.points.0,
        available_after: entry.after.0.available.0,
        occurred_at: time(entry.occurred_at),
        recorded_at: time(entry.recorded_at),
        source: source(entry, reference),
        why: entry.why(),
        reason: entry.reason.as_ref().map(ToString::to_string),
        rule: entry.rule.as_ref().map(|rule| RuleBody {
            rule: rule.0.rule.to_string(),
            version: rule.0.version,
            rate: rule.0.rate.to_string(),
            eligible_amount: rule.0.eligible.into(),
        }),
        held: entry.held.0,
        repaid: entry.repaid.0,
        to_debt: entry.to_debt.0,
        forgiven: entry.forgiven.0,
        public_note,
        internal_note,
    }
}

fn source(entry: &Entry, reference: Option<String>) -> SourceBody {
    match entry.entry_type {
        EntryType::Earn | EntryType::ClawBack => {
            SourceBody { kind: if entry.order_id.is_some() { "order" } else { "api" }, id: reference }
        }
        EntryType::Reserve | EntryType::Unreserve | EntryType::Redeem | EntryType::Reinstate => {
            SourceBody { kind: "redemption", id: entry.redemption.map(|id| id.to_string()) }
        }
        EntryType::Adjust => SourceBody { kind: "manual", id: None },
    }
}
