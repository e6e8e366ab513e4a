//! What every request passes once: its id, a bound on its time, one access line, a problem for every failure.
use std::{
    any::Any,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{HeaderValue, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{Problem, RequestContext};

/// No answer takes longer; what became of a command then is found by its idempotency key.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Wraps the whole router. Called once, by whoever binds the port.
pub fn finish(router: Router) -> Router {
    router
        .fallback(|| async { Problem::not_found("route-not-found", "There is no such route") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The route has no such method")
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(around))
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic hook has logged it with its place; the payload could hold a value of the request.
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "Something broke on our side")
        .into_response()
}

async fn around(mut request: Request, next: Next) -> Response {
    let context = RequestContext::from_headers(request.headers());
    request.extensions_mut().insert(context);
    let method = request.method().clone();
    // The template, never the path: a path may hold an id.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let started = Instant::now();
    let answered = tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await;
    let mut response = answered
        .unwrap_or_else(|_| Problem::unavailable("timed-out", "There was no answer in time").into_response());
    let request_id = context.correlation.to_string();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        // What the handler put beside the problem, such as `Idempotent-Replayed`, stays.
        let mut headers = std::mem::take(response.headers_mut());
        response = problem.render(&request_id);
        headers.extend(std::mem::take(response.headers_mut()));
        *response.headers_mut() = headers;
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    record(method.as_str(), &route, response.status(), started.elapsed(), &request_id);
    response
}

fn record(method: &str, route: &str, status: StatusCode, took: Duration, request_id: &str) {
    let labels =
        [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.as_u16().to_string())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels[..2]).record(took);
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    if status >= 500 {
        tracing::warn!(
            http.route = route,
            http.status = status,
            took_us,
            request_id,
            "{method} {route} answered {status}"
        );
    } else {
        tracing::debug!(
            http.route = route,
            http.status = status,
            took_us,
            request_id,
            "{method} {route} answered {status}"
        );
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    async fn panics() -> StatusCode {
        panic!("planted")
    }

    async fn answer(path: &str) -> (StatusCode, serde_json::Value) {
        let router = Router::new()
            .route("/panics", get(panics))
            .route("/conflict", get(|| async { Problem::conflict("source-conflict", "Other content") }));
        let request = Request::builder()
            .uri(path)
            .header("x-request-id", "0190a000-0000-7000-8000-000000000001")
            .body(Body::empty())
            .unwrap();
        let response = finish(router).oneshot(request).await.unwrap();
        let status = response.status();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn marked() -> Response {
        let mut response = Problem::conflict("source-conflict", "Other content").into_response();
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        response
    }

    #[tokio::test]
    async fn headers_written_on_a_problem_reach_the_caller() {
        let router = finish(Router::new().route("/marked", get(marked)));
        let request = Request::builder().uri("/marked").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.headers()["idempotent-replayed"], "true");
        assert_eq!(response.headers().get_all("content-type").iter().count(), 1);
    }

    #[tokio::test]
    async fn every_failure_is_a_problem_with_the_callers_request_id() {
        for (path, status, code) in [
            ("/conflict", StatusCode::CONFLICT, "source-conflict"),
            ("/panics", StatusCode::INTERNAL_SERVER_ERROR, "internal-error"),
            ("/nowhere", StatusCode::NOT_FOUND, "route-not-found"),
        ] {
            let (found, body) = answer(path).await;
            assert_eq!((found, body["code"].as_str()), (status, Some(code)));
            assert_eq!(body["request_id"], "0190a000-0000-7000-8000-000000000001");
        }
    }
}
