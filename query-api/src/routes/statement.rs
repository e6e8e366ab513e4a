//! GET /v1/api/points/statement: every movement of a customer's points, each with its why.
use std::sync::Arc;

use axum::{Json, extract::State};
use http_edge::{Merchant, Problem, Query};
use projections::points_statement::{self, Entry, EntryType};
use serde::Serialize;
use utoipa::ToSchema;

use super::{order::released, page};
use crate::{
    Reads,
    answers::{MoneyBody, time},
    attempt::ActorBody,
    documented::{CustomerPage, CustomerProblems},
    failure::{of_store, parameter},
    opened::{Field, TextBody, open_all},
};

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
    /// `earn`, `release`, `claw_back`, `void`, `reserve`, `unreserve`, `redeem`, `reinstate`, `adjust`, `expire`,
    /// `transfer` or `merge`.
    r#type: &'static str,
    /// Signed; 0 for a pending award, for what takes such points back, for a reservation and for its end.
    points: i64,
    /// Signed change of the pending points; absent if there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pending: i64,
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
    /// What pending points wait for: `fulfilment`, or a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<String>,
    /// From when on the points that came cannot be spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    actor: ActorBody,
    /// The log's record of it.
    #[schema(format = Uuid)]
    record_id: String,
    /// The record whose event caused it, if it was a policy that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    caused_by: Option<String>,
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
    /// What the customer may read, of a transfer both customers.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_note: Option<TextBody>,
    /// What only staff may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_note: Option<TextBody>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What an entry goes back to.
#[derive(Serialize, ToSchema)]
pub(crate) struct SourceBody {
    /// `order`, `api`, `action`, `till`, `redemption`, `manual`, `award`, `expiry`, `transfer` or `merge`.
    kind: &'static str,
    /// Shopify's order id or the caller's `source_id`, which are redacted once the person is erased; the name of the
    /// action; the id of the till, the redemption, the award that was pending, the transfer or the other customer of a merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<TextBody>,
}

/// The rule behind an award, as it was then.
#[derive(Serialize, ToSchema)]
pub(crate) struct RuleBody {
    rule: String,
    /// Version of the settings that held it.
    version: u32,
    /// Points per major unit, a decimal text.
    rate: String,
    /// Of a bonus: what the rate is multiplied with, a decimal text; the points are what it adds to the rate alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    multiplier: Option<String>,
    eligible_amount: MoneyBody,
}

/// A customer's movements, newest first.
#[utoipa::path(
    get,
    path = "/v1/api/points/statement",
    operation_id = "points_statement",
    tag = "points",
    params(CustomerPage),
    security(("merchant" = [])),
    responses(
        (status = 200, body = StatementBody),
        CustomerProblems,
    )
)]
pub(crate) async fn statement(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<CustomerPage>,
) -> Result<Json<StatementBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let before = params.cursor.as_deref().map(version).transpose()?;
    let customer = params.customer_id;
    reads.customer(scope, customer, params.min_position.as_deref()).await?;
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
                (entry.address("note"), entry.note.as_ref()),
            ]
        })
        .collect();
    let mut opened = open_all(&reads.keys, &closed).await?.into_iter();
    let mut next = || opened.next().and_then(Field::body);
    Ok(entries.iter().map(|entry| body(entry, [next(), next(), next(), next()])).collect())
}

fn body(entry: &Entry, [reference, public_note, internal_note, note]: [Option<TextBody>; 4]) -> EntryBody {
    EntryBody {
        entry_id: entry.entry.to_string(),
        r#type: entry.entry_type.as_str(),
        points: entry.points.0,
        pending: entry.pending.0,
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
            multiplier: rule.0.multiplier.map(|multiplier| multiplier.to_string()),
            eligible_amount: rule.0.eligible.into(),
        }),
        released: entry.release.as_ref().map(|release| released(release.0)),
        expires_at: entry.expires_at.map(time),
        actor: ActorBody { kind: entry.actor.clone(), id: entry.actor_id.map(|id| id.to_string()) },
        record_id: entry.origin.0.record.to_string(),
        caused_by: entry.cause.map(|cause| cause.to_string()),
        held: entry.held.0,
        repaid: entry.repaid.0,
        to_debt: entry.to_debt.0,
        forgiven: entry.forgiven.0,
        public_note: public_note.or(note),
        internal_note,
    }
}

fn source(entry: &Entry, reference: Option<TextBody>) -> SourceBody {
    let till = text(entry.pos.as_ref().map(|till| till.0.device));
    let (kind, id) = match entry.entry_type {
        EntryType::Earn if till.is_some() => ("till", till),
        EntryType::Earn if entry.action.is_some() => ("action", text(entry.action.as_ref())),
        EntryType::Earn | EntryType::ClawBack | EntryType::Void => {
            (if entry.order_id.is_some() { "order" } else { "api" }, reference)
        }
        EntryType::Reserve | EntryType::Unreserve | EntryType::Redeem | EntryType::Reinstate => {
            ("redemption", text(entry.redemption))
        }
        EntryType::Adjust => ("manual", None),
        EntryType::Release => ("award", text(entry.award)),
        EntryType::Expire => ("expiry", None),
        EntryType::Transfer | EntryType::Arrive => ("transfer", text(entry.transfer)),
        EntryType::Merge => ("merge", text(entry.other)),
    };
    SourceBody { kind, id }
}

fn text(id: Option<impl ToString>) -> Option<TextBody> {
    id.map(|id| id.to_string().into())
}
