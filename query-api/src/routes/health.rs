//! GET /health, /healthz, /livez, /readyz: whether the process lives, works, and may get traffic.
use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Reads;

/// One word.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthBody {
    /// `healthy`, `unhealthy`, `alive`, `ready` or `not-ready`.
    status: &'static str,
}

/// Every part and whether it works.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChecksBody {
    /// `healthy`, `degraded` or `unhealthy`.
    status: &'static str,
    checks: Vec<CheckBody>,
}

/// One part.
#[derive(Serialize, ToSchema)]
pub(crate) struct CheckBody {
    name: &'static str,
    /// `healthy`, `degraded` or `unhealthy`.
    status: &'static str,
    /// Why it does not work, or what of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

const HEALTHY: &str = "healthy";
/// Something of it does not work, and the rest serves.
const DEGRADED: &str = "degraded";
const UNHEALTHY: &str = "unhealthy";

impl CheckBody {
    fn new(name: &'static str, checked: Result<Option<String>, String>) -> Self {
        let (status, detail) = match checked {
            Ok(None) => (HEALTHY, None),
            Ok(trouble) => (DEGRADED, trouble),
            Err(failure) => (UNHEALTHY, Some(failure)),
        };
        Self { name, status, detail }
    }

    fn works(&self) -> bool {
        self.status != UNHEALTHY
    }
}

const fn status(works: bool) -> StatusCode {
    if works { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The process answers.
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "health",
    responses((status = 200, body = HealthBody)))]
pub(crate) async fn health() -> Json<HealthBody> {
    Json(HealthBody { status: "healthy" })
}

/// The process answers; nothing else is asked, so that a fault elsewhere does not get it killed.
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "health",
    responses((status = 200, body = HealthBody)))]
pub(crate) async fn livez() -> Json<HealthBody> {
    Json(HealthBody { status: "alive" })
}

/// Every part: log, stores, queues, projections. One of which something does not work and the rest serves is `degraded`.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "health",
    responses((status = 200, body = ChecksBody), (status = 503, body = ChecksBody)))]
pub(crate) async fn healthz(State(reads): State<Arc<Reads>>) -> (StatusCode, Json<ChecksBody>) {
    let checks = checks(&reads);
    let worst =
        [UNHEALTHY, DEGRADED].into_iter().find(|word| checks.iter().any(|check| check.status == *word));
    (status(worst != Some(UNHEALTHY)), Json(ChecksBody { status: worst.unwrap_or(HEALTHY), checks }))
}

/// Whether traffic is welcome: every part works.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "health",
    responses((status = 200, body = HealthBody), (status = 503, body = HealthBody)))]
pub(crate) async fn readyz(State(reads): State<Arc<Reads>>) -> (StatusCode, Json<HealthBody>) {
    let works = checks(&reads).iter().all(CheckBody::works);
    (status(works), Json(HealthBody { status: if works { "ready" } else { "not-ready" } }))
}

/// What other nodes do not fold is no better asked for elsewhere, and whoever is asked nothing may leave the read models
/// to a newer program.
fn projections(reads: &Reads) -> Result<Option<String>, String> {
    let progress = &reads.progress;
    match progress.failure() {
        Some(failure) if progress.is_outdated() && !reads.asked => Ok(Some(failure)),
        Some(failure) => Err(failure),
        None => Ok(progress.stands_still_elsewhere()),
    }
}

fn checks(reads: &Reads) -> Vec<CheckBody> {
    let own = CheckBody::new("projections", projections(reads));
    let others = reads
        .probes
        .iter()
        .map(|probe| CheckBody::new(probe.name(), probe.check().map(|()| probe.trouble())));
    std::iter::once(own).chain(others).collect()
}
