//! What a request carries through everything it causes.
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use event_schemas::{CorrelationId, record::Trace};
use uuid::Uuid;

use crate::Problem;

/// The request's id and trace context, as they go into every record it causes.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext {
    /// The caller's `x-request-id` if it is a UUID or 32 hex digits, else a new one.
    pub correlation: CorrelationId,
    /// The caller's `traceparent`, or zeros.
    pub trace: Trace,
}

impl RequestContext {
    /// Reads the headers. Anything but ids is dropped, because free text in an id could be personal.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let correlation = text("x-request-id").and_then(|id| Uuid::try_parse(id).ok());
        Self {
            correlation: CorrelationId(correlation.unwrap_or_else(Uuid::now_v7)),
            trace: text("traceparent").and_then(traceparent).unwrap_or_default(),
        }
    }
}

/// Version 00 of W3C Trace Context: `00-<32 hex>-<16 hex>-<2 hex>`.
fn traceparent(text: &str) -> Option<Trace> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sized = version == "00" && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    (sized && parts.next().is_none()).then_some(())?;
    let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
    let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
    Some(Trace { trace: trace.to_be_bytes(), span: span.to_be_bytes() })
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(parts.extensions.get().copied().unwrap_or_else(|| Self::from_headers(&parts.headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &'static str, value: &str) -> RequestContext {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        RequestContext::from_headers(&headers)
    }

    #[test]
    fn a_request_id_is_taken_only_if_it_is_an_id() {
        let id = "0190a000000070008000000000000001";
        assert_eq!(context("x-request-id", id).correlation.0.simple().to_string(), id);
        assert!(!context("x-request-id", "jon@example.com").correlation.0.is_nil());
    }

    #[test]
    fn a_malformed_traceparent_is_no_trace() {
        let good = context("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").trace;
        assert_eq!(good.span, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        for bad in ["00-0-0-0", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x"] {
            assert_eq!(context("traceparent", bad).trace, Trace::default(), "{bad}");
        }
    }
}
