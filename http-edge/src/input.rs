//! Strict input: a body, parameters and path parts that are right, or a problem that names what is not.
use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{Malformed, Problem, check_json};

/// The longest body of a command, in bytes.
pub const BODY_LEN_MAX: usize = 1024 * 1024;
/// The deepest nesting of any JSON we take.
pub const DEPTH_MAX: usize = 32;

/// What [`shopify_id`] expects.
pub const SHOPIFY_ID: &str = "expected an id of digits, from 1 to 18446744073709551615";

/// The one spelling of an id that Shopify gave out, without leading zeros; none if it is no such id. Only this is looked up
/// and kept, so that no spelling of an id leads past its person, or past the tombstone of one.
#[must_use]
pub fn shopify_id(text: &str) -> Option<String> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse::<u64>().ok().filter(|id| all_digits && *id > 0);
    id.map(|id| id.to_string())
}

/// A JSON body and its raw bytes.
#[derive(Debug)]
pub struct Body<T>(pub T, pub Bytes);

/// Query parameters.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// Path parts.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(header::CONTENT_TYPE);
        if media_type.is_some_and(|value| !value.to_str().is_ok_and(is_json)) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body must be JSON",
            )
            .field("Content-Type", "expected application/json"));
        }
        let bytes = to_bytes(request.into_body(), BODY_LEN_MAX).await.map_err(|_| {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is larger than 1 MiB")
        })?;
        let value = parse(&bytes)?;
        Ok(Self(value, bytes))
    }
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    check_json(bytes, DEPTH_MAX).map_err(|malformed: Malformed| {
        Problem::bad_request("malformed-json", "The body cannot be read").detail(malformed.to_string())
    })?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (pointer, expected) = flaw(&error);
        Problem::invalid_field(pointer, expected)
    })
}

/// Reads a JSON value that is part of a larger document.
///
/// # Errors
/// The JSON pointer, inside the value, of the first field that does not fit, and what was expected of it.
pub fn read_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(value).map_err(|error| flaw(&error))
}

fn flaw(error: &serde_path_to_error::Error<serde_json::Error>) -> (String, String) {
    let message = error.inner().to_string();
    (pointer(error.path(), &message), expectation(&message))
}

/// The path as a JSON pointer; for a missing or unknown field, the field itself.
fn pointer(path: &serde_path_to_error::Path, message: &str) -> String {
    use serde_path_to_error::Segment;
    let mut pointer: String = path
        .iter()
        .map(|segment| match segment {
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Seq { index } => format!("/{index}"),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect();
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        pointer = format!("{pointer}/{field}");
    }
    pointer
}

/// What was expected. The rest of the message may quote the value, which may be personal.
fn expectation(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or_default();
    match message.find("expected ") {
        _ if message.starts_with("missing field") => "is required".to_owned(),
        Some(start) => message[start..].to_owned(),
        None => "is not as expected".to_owned(),
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(deserializer).map(Self).map_err(|error| {
            let message = error.inner().to_string();
            let name = pointer(error.path(), &message).trim_start_matches('/').to_owned();
            Problem::bad_request("invalid-parameter", "A parameter is not as expected")
                .field(name, expectation(&message))
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|_| Problem::not_found("not-found", "There is nothing under this path"))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Earn {
        #[expect(dead_code, reason = "only its deserialisation matters")]
        points: i64,
    }

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only its deserialisation matters")]
        items: Vec<Earn>,
    }

    #[test]
    fn a_wrong_field_is_named_by_a_pointer_and_its_value_is_not_repeated() {
        let problem =
            parse::<Outer>(br#"{"items":[{"points":1},{"points":"jon@example.com"}]}"#).unwrap_err();
        let shown = format!("{problem:?}");
        assert!(shown.contains("/items/1/points") && shown.contains("expected i64"), "{shown}");
        assert!(!shown.contains("jon@"), "{shown}");
    }

    #[test]
    fn a_missing_field_is_named_by_its_own_pointer() {
        let problem = parse::<Outer>(br#"{"items":[{}]}"#).unwrap_err();
        assert!(format!("{problem:?}").contains(r#"pointer: "/items/0/points", detail: "is required""#));
    }

    #[test]
    fn what_is_not_json_is_another_problem_than_what_is_not_the_shape() {
        assert_eq!(parse::<Outer>(b"{").unwrap_err().code(), "malformed-json");
        assert_eq!(parse::<Outer>(b"{}").unwrap_err().code(), "invalid-field");
    }
}
