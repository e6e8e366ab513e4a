//! What may lead to a person: a type that shows nothing, and the rule that every event field is classified.
use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use crate::{CustomerId, EventId, MerchantId};

/// A value that leads to a person: in clear on its way in, sealed everywhere else.
///
/// It has no `Display`, its `Debug` shows nothing, and serialising it in clear fails.
/// ```compile_fail,E0277
/// println!("{}", event_schemas::Personal::Clear("Ada"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Personal<T> {
    /// As it came in; never leaves the process.
    Clear(T),
    /// As it stands in the log and in read models.
    Sealed(Sealed),
}

/// A ciphertext; only its [`FieldAddress`] and the subject's key open it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

/// Where a sealed field stands. Sealing binds all of it, so a ciphertext that was moved does not open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldAddress {
    /// The shop.
    pub merchant: MerchantId,
    /// The person under whose key the field is sealed.
    pub subject: CustomerId,
    /// Type of the stream (wire number).
    pub stream_type: u16,
    /// The stream's id.
    pub stream: uuid::Uuid,
    /// Version of the event in its stream.
    pub version: u64,
    /// The record that holds the event.
    pub record: crate::RecordId,
    /// The event's place in its record.
    pub index: u16,
    /// The event's type (wire number).
    pub event_type: u16,
    /// The field's name.
    pub field: Cow<'static, str>,
}

impl FieldAddress {
    /// The event that holds the field.
    #[must_use]
    pub fn event(&self) -> EventId {
        EventId { record: self.record, index: self.index }
    }

    /// The bytes that sealing binds: every part with a fixed place or its length before it.
    #[must_use]
    pub fn associated_data(&self) -> Vec<u8> {
        let mut bytes = b"loyalnest/field/1".to_vec();
        bytes.extend_from_slice(&self.merchant.bytes());
        bytes.extend_from_slice(&self.subject.bytes());
        bytes.extend_from_slice(&self.stream_type.to_be_bytes());
        bytes.extend_from_slice(self.stream.as_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.record.bytes());
        bytes.extend_from_slice(&self.index.to_be_bytes());
        bytes.extend_from_slice(&self.event_type.to_be_bytes());
        bytes.extend_from_slice(self.field.as_bytes());
        bytes
    }
}

/// A field could not be sealed; nothing of its event may be written.
#[derive(Debug, thiserror::Error)]
#[error("the field {field} could not be sealed")]
pub struct SealError {
    /// The field's name.
    pub field: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Seals one field's clear bytes under the subject and address that the caller knows.
pub trait Seal {
    /// The ciphertext of `clear`, the JSON of the field's value.
    fn seal(&mut self, field: &'static str, clear: &[u8]) -> Result<Sealed, SealError>;
}

/// A type none of whose values leads to a person.
pub trait Plain {}

/// A type that an event field may have: [`Plain`], [`Personal`], or optional. There is no third way.
pub trait Classified {
    /// Seals what is personal and in clear.
    fn seal_with(&mut self, field: &'static str, seal: &mut dyn Seal) -> Result<(), SealError>;
}

impl<T: Plain> Classified for T {
    fn seal_with(&mut self, _: &'static str, _: &mut dyn Seal) -> Result<(), SealError> {
        Ok(())
    }
}

impl<T: Serialize> Classified for Personal<T> {
    fn seal_with(&mut self, field: &'static str, seal: &mut dyn Seal) -> Result<(), SealError> {
        if let Self::Clear(value) = self {
            let clear =
                serde_json::to_vec(value).map_err(|source| SealError { field, source: source.into() })?;
            *self = Self::Sealed(seal.seal(field, &clear)?);
        }
        Ok(())
    }
}

impl<T: Serialize> Classified for Option<Personal<T>> {
    fn seal_with(&mut self, field: &'static str, seal: &mut dyn Seal) -> Result<(), SealError> {
        self.as_mut().map_or(Ok(()), |personal| personal.seal_with(field, seal))
    }
}

impl<T: Plain> Plain for Option<T> {}
impl<T: Plain> Plain for Vec<T> {}
impl<K: Plain, T: Plain> Plain for std::collections::BTreeMap<K, T> {}
impl Plain for bool {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for i64 {}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "Personal(clear)",
            Self::Sealed(_) => "Personal(sealed)",
        })
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl<T> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clear(_) => Err(S::Error::custom("a personal field is still in clear")),
            Self::Sealed(sealed) => sealed.serialize(serializer),
        }
    }
}

impl<'de, T> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Sealed::deserialize(deserializer).map(Self::Sealed)
    }
}

/// Clear personal fields of a *command* on its way to the node that owns its stream: `#[serde(with = …)]` on the field.
///
/// The one exception to the rule above, named at each field that takes it. Only the forwarding of commands between nodes
/// serialises commands, and it seals the whole message; no event, row, metric or log holds a command.
pub mod transit {
    use serde::{Deserialize as _, Deserializer, Serialize, Serializer, de::DeserializeOwned};

    use super::{Personal, Sealed};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Travelling<C> {
        Clear(C),
        Sealed(Sealed),
    }

    /// Writes the value, in clear if it is.
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<T: Serialize, S: Serializer>(
        personal: &Option<Personal<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let travelling = personal.as_ref().map(|personal| match personal {
            Personal::Clear(value) => Travelling::Clear(value),
            Personal::Sealed(sealed) => Travelling::Sealed(sealed.clone()),
        });
        travelling.serialize(serializer)
    }

    /// Reads what [`serialize`] wrote.
    ///
    /// # Errors
    /// The deserialiser's.
    pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Personal<T>>, D::Error> {
        let travelling = Option::<Travelling<T>>::deserialize(deserializer)?;
        Ok(travelling.map(|travelling| match travelling {
            Travelling::Clear(value) => Personal::Clear(value),
            Travelling::Sealed(sealed) => Personal::Sealed(sealed),
        }))
    }
}

/// An event's JSON with the bytes of every ciphertext taken out. No other value is written like one.
pub(crate) fn emptied(json: &str) -> String {
    const BEGIN: &str = "{\"sealed\":\"";
    let mut parts = json.split(BEGIN);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(BEGIN);
        out.push_str(part.find('"').and_then(|end| part.get(end..)).unwrap_or(part));
    }
    out
}

#[derive(Serialize, Deserialize)]
struct SealedText<'a> {
    #[serde(borrow)]
    sealed: Cow<'a, str>,
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SealedText { sealed: STANDARD.encode(&self.0).into() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SealedText::deserialize(deserializer)?;
        STANDARD.decode(text.sealed.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

impl<T> JsonSchema for Personal<T> {
    fn schema_name() -> Cow<'static, str> {
        "Sealed".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "a personal value, sealed under its subject's key (base64)",
            "properties": { "sealed": { "type": "string" } },
            "required": ["sealed"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Reversing;
    impl Seal for Reversing {
        fn seal(&mut self, _: &'static str, clear: &[u8]) -> Result<Sealed, SealError> {
            Ok(Sealed(clear.iter().rev().copied().collect()))
        }
    }

    #[test]
    fn a_clear_value_neither_serialises_nor_shows() {
        let name = Personal::Clear("Ada".to_owned());
        assert!(serde_json::to_string(&name).is_err());
        assert!(!format!("{name:?}").contains("Ada"));
    }

    #[test]
    fn a_clear_value_travels_only_in_a_field_that_says_so() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Asked {
            #[serde(with = "transit")]
            name: Option<Personal<String>>,
        }
        let values = [Personal::Clear("Ada".to_owned()), Personal::Sealed(Sealed(vec![1, 2]))];
        for name in values.into_iter().map(Some).chain([None]) {
            let asked = Asked { name };
            let json = serde_json::to_string(&asked).unwrap();
            assert_eq!(serde_json::from_str::<Asked>(&json).unwrap(), asked);
        }
    }

    #[test]
    fn sealing_replaces_the_clear_value_and_reads_back_as_sealed() {
        let mut name = Some(Personal::Clear("Ada".to_owned()));
        name.seal_with("first_name", &mut Reversing).unwrap();
        let json = serde_json::to_string(&name).unwrap();
        assert!(!json.contains("Ada"));
        assert_eq!(serde_json::from_str::<Option<Personal<String>>>(&json).unwrap(), name);
    }

    #[test]
    fn every_part_of_an_address_changes_what_sealing_binds() {
        let base = FieldAddress {
            merchant: MerchantId::from_bytes([1; 16]),
            subject: CustomerId::from_bytes([2; 16]),
            stream_type: 3,
            stream: uuid::Uuid::from_bytes([4; 16]),
            version: 5,
            record: crate::RecordId::from_bytes([6; 16]),
            index: 7,
            event_type: 8,
            field: "email".into(),
        };
        let variants = [
            FieldAddress { merchant: MerchantId::from_bytes([9; 16]), ..base.clone() },
            FieldAddress { subject: CustomerId::from_bytes([9; 16]), ..base.clone() },
            FieldAddress { stream_type: 9, ..base.clone() },
            FieldAddress { stream: uuid::Uuid::from_bytes([9; 16]), ..base.clone() },
            FieldAddress { version: 9, ..base.clone() },
            FieldAddress { record: crate::RecordId::from_bytes([9; 16]), ..base.clone() },
            FieldAddress { index: 9, ..base.clone() },
            FieldAddress { event_type: 9, ..base.clone() },
            FieldAddress { field: "phone".into(), ..base.clone() },
        ];
        for variant in variants {
            assert_ne!(variant.associated_data(), base.associated_data(), "{variant:?}");
        }
    }
}
