//! Errors as `application/problem+json` (RFC 9457) with a stable code.
use std::{borrow::Cow, error::Error};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// One thing that is wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body, or the name of a parameter or header.
    pub pointer: String,
    /// What was expected; never the value itself.
    pub detail: String,
}

/// An error as the caller sees it.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Option<String>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u32>,
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
pub struct ProblemBody {
    /// `urn:loyalnest:problem:<code>`.
    pub r#type: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// This occurrence in a sentence.
    pub detail: String,
    /// Stable, for programs to match on.
    pub code: String,
    /// Field by field, if the input is wrong.
    pub errors: Vec<FieldError>,
    /// The request's id, to find it in the logs.
    pub request_id: String,
}

impl Problem {
    /// A problem of this status and code.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (code, title) = (code.into(), title.into());
        Self { status, code, title, detail: None, errors: Vec::new(), retry_after_s: None }
    }

    /// 400: the request cannot be read.
    #[must_use]
    pub fn bad_request(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, title)
    }

    /// 404: what the request names is not there.
    #[must_use]
    pub fn not_found(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, title)
    }

    /// 409: the request contradicts what is.
    #[must_use]
    pub fn conflict(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, code, title)
    }

    /// 422: the request can be read, but a value in it cannot be.
    #[must_use]
    pub fn unprocessable(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, title)
    }

    /// 422 `invalid-field` about one field.
    #[must_use]
    pub fn invalid_field(pointer: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::unprocessable("invalid-field", "A field is not as expected").field(pointer, expected)
    }

    /// 503: try again; the same idempotency key finds out what became of this request.
    #[must_use]
    pub fn unavailable(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title).retry_after_s(1)
    }

    /// 500; the error is logged with its whole chain and not shown.
    #[must_use]
    pub fn internal(error: &dyn Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "Something broke on our side")
            .fault(error)
    }

    /// Says what happened in a sentence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names a field and what was expected of it.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Logs the cause with its whole chain, once, here at the edge.
    #[must_use]
    pub fn fault(self, error: &dyn Error) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain = format!("{chain}: {cause}");
            source = cause.source();
        }
        tracing::error!(problem.code = %self.code, "A request failed: {chain}");
        self
    }

    /// HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The response, with the request's id in it.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let first = self.errors.first().map(|field| format!("{}: {}", field.pointer, field.detail));
        let body = ProblemBody {
            r#type: format!("urn:loyalnest:problem:{}", self.code),
            title: self.title.to_string(),
            status: self.status.as_u16(),
            detail: self.detail.clone().or(first).unwrap_or_else(|| self.title.to_string()),
            code: self.code.to_string(),
            errors: self.errors.clone(),
            request_id: request_id.to_owned(),
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut response = (self.status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Problem {
    /// The middleware renders it again with the request's id.
    fn into_response(self) -> Response {
        let mut response = self.render("");
        response.extensions_mut().insert(self);
        response
    }
}
