//! GET /v1/api/privacy/requests, one of them, and its certificate: who is to be forgotten or asked what is held, how far
//! that is, and the proof.
use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use event_schemas::{RequestId, Timestamp};
use http_edge::{Merchant, Path, Problem, ProblemBody, Query};
use privacy::MerchantScope;
use projections::gdpr_requests::{self, After, Filter, Request, RequestKind, RequestStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page;
use crate::{
    Reads,
    answers::time,
    documented::{Fresh, Problems},
    failure::{of_store, parameter},
};

/// Which requests, and which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// Only those that are that far: `requested`, `fenced`, `destroyed`, `purged`, `verified`, `completed`, `finalized`,
    /// `prepared` or `delivered`.
    #[param(value_type = Option<String>)]
    status: Option<RequestStatus>,
    /// Only those of this kind: `redaction` or `data-request`.
    #[param(value_type = Option<String>)]
    kind: Option<RequestKind>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Requests per page, 50 unless said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `position` of an earlier answer: this one must not be older.
    min_position: Option<String>,
}

/// A page of requests.
#[derive(Serialize, ToSchema)]
pub(crate) struct PrivacyRequestsBody {
    /// Newest first.
    items: Vec<PrivacyRequestBody>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// A request about a person's data, or a shop's. Nothing in it is personal.
#[derive(Serialize, ToSchema)]
pub(crate) struct PrivacyRequestBody {
    #[schema(format = Uuid)]
    request_id: String,
    /// `redaction` or `data-request`.
    kind: &'static str,
    /// `customer` or `shop`.
    scope: &'static str,
    /// `shopify`, `merchant` or `operator`.
    source: &'static str,
    /// `requested`, then of a redaction `fenced`, `destroyed`, `purged`, `verified`, `completed` and `finalized`, of a
    /// data request `prepared` and `delivered`.
    status: &'static str,
    #[schema(format = DateTime)]
    requested_at: String,
    /// When it has to be done.
    #[schema(format = DateTime)]
    due_at: String,
    /// How many customers it is about; 0 if nothing is held of the person, and for a shop.
    subjects: usize,
    /// What is done, in order.
    steps: Vec<StepBody>,
    /// What was removed, by the name of the store that held it.
    #[serde(skip_serializing_if = "Option::is_none")]
    purged: Option<BTreeMap<String, u64>>,
    /// What was searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned: Option<ScannedBody>,
    /// Why the step ahead could not be done so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureBody>,
    /// The newest certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateBody>,
    /// The export of a data request.
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<ExportBody>,
}

/// A step that is done.
#[derive(Serialize, ToSchema)]
pub(crate) struct StepBody {
    /// The status that it led to.
    step: &'static str,
    #[schema(format = DateTime)]
    at: String,
}

/// What was searched in the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScannedBody {
    /// Records of the person found.
    records: u64,
    /// Sealed fields tried, none of which opened.
    fields: u64,
}

/// Why a step could not be done.
#[derive(Serialize, ToSchema)]
pub(crate) struct FailureBody {
    /// `fence`, `destroy`, `mark`, `purge`, `verify`, `certify` or `finalize`.
    step: &'static str,
    /// A code.
    reason: String,
    #[schema(format = DateTime)]
    at: String,
}

/// Which certificate there is.
#[derive(Serialize, ToSchema)]
pub(crate) struct CertificateBody {
    #[schema(format = Uuid)]
    id: String,
    /// `live`, or `final` once no stale copy of a key can be opened any more.
    level: &'static str,
}

/// An export of what is held.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExportBody {
    /// Until when it can be had.
    #[schema(format = DateTime)]
    expires_at: String,
    /// When the whole of it was fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    delivered_at: Option<String>,
}

impl From<Request> for PrivacyRequestBody {
    fn from(request: Request) -> Self {
        let certificate = request.certified().map(|one| CertificateBody {
            id: one.id.to_string(),
            level: if request.steps.0.last.is_some() { "final" } else { "live" },
        });
        let steps = steps(&request);
        let done = request.steps.0;
        Self {
            request_id: request.request.to_string(),
            kind: request.kind.as_str(),
            scope: request.scope.as_str(),
            source: request.source.as_str(),
            status: request.status.as_str(),
            requested_at: time(request.requested_at),
            due_at: time(request.due_at),
            subjects: request.subjects.0.len(),
            steps,
            purged: done.purged.map(|purged| {
                purged.purged.into_iter().map(|(store, count)| (store.to_string(), count)).collect()
            }),
            scanned: done.verified.map(|verified| ScannedBody {
                records: verified.scanned.iter().map(|one| one.records).sum(),
                fields: verified.scanned.iter().map(|one| one.fields).sum(),
            }),
            failure: request.failure.map(|failure| FailureBody {
                step: failure.0.step.as_str(),
                reason: failure.0.reason.to_string(),
                at: time(failure.0.at),
            }),
            certificate,
            export: done.export.map(|export| ExportBody {
                expires_at: time(export.expires_at),
                delivered_at: export.delivered_at.map(time),
            }),
        }
    }
}

fn steps(request: &Request) -> Vec<StepBody> {
    let done = &request.steps.0;
    let at: [(RequestStatus, Option<Timestamp>); 9] = [
        (RequestStatus::Requested, Some(request.requested_at)),
        (RequestStatus::Fenced, done.fenced.as_ref().map(|step| step.at)),
        (RequestStatus::Destroyed, done.destroyed.as_ref().map(|step| step.at)),
        (RequestStatus::Purged, done.purged.as_ref().map(|step| step.at)),
        (RequestStatus::Verified, done.verified.as_ref().map(|step| step.at)),
        (RequestStatus::Completed, done.live.map(|step| step.at)),
        (RequestStatus::Finalized, done.last.map(|step| step.at)),
        (RequestStatus::Prepared, done.export.as_ref().map(|export| export.prepared_at)),
        (RequestStatus::Delivered, done.export.as_ref().and_then(|export| export.delivered_at)),
    ];
    let step = |(step, at): (RequestStatus, Option<Timestamp>)| {
        at.map(|at| StepBody { step: step.as_str(), at: time(at) })
    };
    at.into_iter().filter_map(step).collect()
}

/// A shop's requests about people's data, newest first.
#[utoipa::path(
    get,
    path = "/v1/api/privacy/requests",
    operation_id = "privacy_requests",
    tag = "privacy",
    params(Params),
    security(("merchant" = [])),
    responses((status = 200, body = PrivacyRequestsBody), Problems)
)]
pub(crate) async fn requests(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Query(params): Query<Params>,
) -> Result<Json<PrivacyRequestsBody>, Problem> {
    let limit = page::limit(params.limit)?;
    let after = params.cursor.as_deref().map(after).transpose()?;
    reads.fresh_everywhere(params.min_position.as_deref()).await?;
    let filter = Filter { status: params.status, kind: params.kind };
    let rows = gdpr_requests::page(&reads.store, scope, filter, after, limit + 1).await;
    let mut rows = rows.map_err(|error| of_store(&error))?;
    let next = page::cut(&mut rows, limit, |last| format!("{}.{}", last.requested_at.micros(), last.request));
    Ok(Json(PrivacyRequestsBody { items: rows.into_iter().map(PrivacyRequestBody::from).collect(), next }))
}

/// A cursor is the time and the id of the page's last request; callers need not know.
fn after(cursor: &str) -> Result<After, Problem> {
    let read = |(micros, id): (&str, &str)| {
        let requested_at = Timestamp::from_micros(micros.parse().ok()?);
        Some(After { requested_at, request: id.parse().ok()? })
    };
    let parts = cursor.split_once('.').and_then(read);
    parts.ok_or_else(|| parameter("cursor", "expected `next` of an earlier page"))
}

/// How far a request is.
#[utoipa::path(
    get,
    path = "/v1/api/privacy/requests/{id}",
    operation_id = "privacy_request",
    tag = "privacy",
    params(("id" = uuid::Uuid, Path, description = "The request"), Fresh),
    security(("merchant" = [])),
    responses(
        (status = 200, body = PrivacyRequestBody),
        Problems,
        (status = 404, description = "request-not-found", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn request(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Path(id): Path<String>,
    Query(params): Query<Fresh>,
) -> Result<Json<PrivacyRequestBody>, Problem> {
    Ok(Json(find(&reads, scope, &id, &params).await?.into()))
}

/// The newest certificate of an erasure, as it can be verified without this server.
#[utoipa::path(
    get,
    path = "/v1/api/privacy/requests/{id}/certificate",
    operation_id = "privacy_certificate",
    tag = "privacy",
    params(("id" = uuid::Uuid, Path, description = "The request"), Fresh),
    security(("merchant" = [])),
    responses(
        (status = 200, body = Object, content_type = "application/json"),
        Problems,
        (status = 404, description = "request-not-found, certificate-not-found", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn certificate(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Path(id): Path<String>,
    Query(params): Query<Fresh>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let request = find(&reads, scope, &id, &params).await?;
    let none = || Problem::not_found("certificate-not-found", "There is no certificate yet");
    Ok(([(header::CONTENT_TYPE, "application/json")], request.certificate.ok_or_else(none)?))
}

async fn find(reads: &Reads, scope: MerchantScope, id: &str, params: &Fresh) -> Result<Request, Problem> {
    let not_found = || Problem::not_found("request-not-found", "There is no such request");
    let id: RequestId = id.parse().map_err(|_| not_found())?;
    reads.fresh_everywhere(params.min_position.as_deref()).await?;
    let found = gdpr_requests::find(&reads.store, scope, id).await.map_err(|error| of_store(&error))?;
    found.ok_or_else(not_found)
}
