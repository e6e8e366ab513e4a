//! GET /metrics: the process's figures for Prometheus. No label and no value leads to a person.
use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, header},
};

use crate::Reads;

/// Figures in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(reads): State<Arc<Reads>>) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (reads.metrics)())
}
