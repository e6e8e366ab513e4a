//! Faults of the stores as problems: what may pass is 503, everything else is ours to mend.
use axum::http::StatusCode;
use http_edge::Problem;

pub(crate) fn of_store(error: &projections::Error) -> Problem {
    if error.is_out_of_reach() {
        return Problem::unavailable("unavailable", "The read models do not answer").fault(error);
    }
    if error.is_outdated() {
        return standstill().fault(error);
    }
    Problem::internal(error)
}

/// Nobody here follows the log, or nobody where it is folded.
pub(crate) fn standstill() -> Problem {
    Problem::unavailable("projections-stopped", "The read models stand still")
}

pub(crate) fn of_keys(error: &privacy::Error) -> Problem {
    match error {
        privacy::Error::Unavailable(_) => {
            Problem::unavailable("unavailable", "The key store does not answer").fault(error)
        }
        privacy::Error::Damaged { .. } => broken("key-damaged", "A key does not open", error),
        privacy::Error::KeyMissing { .. } => broken("key-missing", "A key is missing", error),
        _ => Problem::internal(error),
    }
}

/// 500 that names the key, by random ids.
fn broken(code: &'static str, title: &'static str, error: &privacy::Error) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, code, title).detail(error.to_string()).fault(error)
}

pub(crate) fn customer_not_found() -> Problem {
    Problem::not_found("customer-not-found", "There is no such customer")
}

/// 400 about one query parameter.
pub(crate) fn parameter(name: &'static str, expected: &str) -> Problem {
    Problem::bad_request("invalid-parameter", "A parameter is not as expected").field(name, expected)
}
