//! Opens the sealed fields of rows, all of an answer in one go.
use event_schemas::{FieldAddress, Sealed};
use http_edge::Problem;
use privacy::{KeyStore, Opened};
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::of_keys;

/// What a field says to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// There never was a value.
    Absent,
    /// The value.
    Clear(String),
    /// There was one; its key is destroyed.
    Shredded { certificate: Option<String> },
}

impl Field {
    /// The value, if it can still be read.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Self::Clear(text) => Some(text),
            Self::Absent | Self::Shredded { .. } => None,
        }
    }

    /// What stands in its place in an answer; nothing if there never was a value.
    pub(crate) fn body(self) -> Option<TextBody> {
        match self {
            Self::Absent => None,
            Self::Clear(text) => Some(TextBody::Clear(text)),
            Self::Shredded { certificate } => Some(TextBody::Redacted(RedactedBody::new(certificate))),
        }
    }
}

/// A text, or that it is redacted: never a blank.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum TextBody {
    /// The text.
    Clear(String),
    /// The person was erased.
    Redacted(RedactedBody),
}

impl From<String> for TextBody {
    fn from(text: String) -> Self {
        Self::Clear(text)
    }
}

/// What stands in the place of what was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RedactedBody {
    /// Always `true`.
    redacted: bool,
    /// Id of the certificate of the erasure, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
}

impl RedactedBody {
    pub(crate) const fn new(certificate: Option<String>) -> Self {
        Self { redacted: true, certificate }
    }
}

/// One field of a row: its address, and its ciphertext if there is a value.
pub(crate) type Closed<'a> = (FieldAddress, Option<&'a Sealed>);

/// Opens the fields, in their order.
pub(crate) async fn open<const N: usize>(
    keys: &KeyStore,
    fields: [Closed<'_>; N],
) -> Result<[Field; N], Problem> {
    let mut opened = open_all(keys, &fields).await?.into_iter();
    Ok(std::array::from_fn(|_| opened.next().unwrap_or(Field::Absent)))
}

/// The same for as many fields as a page has.
pub(crate) async fn open_all(keys: &KeyStore, fields: &[Closed<'_>]) -> Result<Vec<Field>, Problem> {
    let present: Vec<(&FieldAddress, &Sealed)> =
        fields.iter().filter_map(|(address, sealed)| sealed.map(|sealed| (address, sealed))).collect();
    if present.is_empty() {
        return Ok(vec![Field::Absent; fields.len()]);
    }
    let mut opened = keys.open_many(&present).await.map_err(|error| of_keys(&error))?.into_iter();
    fields
        .iter()
        .map(|(_, sealed)| match sealed.and_then(|_| opened.next()) {
            None => Ok(Field::Absent),
            Some(opened) => field(opened.map_err(|error| of_keys(&error))?),
        })
        .collect()
}

/// A sealed field is the JSON of its value.
fn field(opened: Opened) -> Result<Field, Problem> {
    match opened {
        Opened::Clear(json) => {
            serde_json::from_slice(&json).map(Field::Clear).map_err(|error| Problem::internal(&error))
        }
        Opened::Shredded { certificate } => Ok(Field::Shredded { certificate }),
    }
}
