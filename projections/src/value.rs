//! A value of a column, whichever store holds it.
use crate::StoreError;

/// A value to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// There is none.
    Null,
    /// Points, times, counts.
    Integer(i64),
    /// Words and JSON. Made by [`Value::text`].
    Text(String),
    /// An id; bytes like any others once stored.
    Id([u8; 16]),
    /// Sealed fields, checkpoints, bodies.
    Bytes(Vec<u8>),
}

impl Value {
    /// A text that every store can hold: Postgres has none with a zero byte in it, so nobody has.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.contains('\0') { Self::Text(text.replace('\0', "\u{fffd}")) } else { Self::Text(text) }
    }

    /// The value as a store gives it back.
    #[must_use]
    pub fn borrowed(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text),
            Self::Id(bytes) => ValueRef::Bytes(bytes),
            Self::Bytes(bytes) => ValueRef::Bytes(bytes),
        }
    }
}

/// A stored value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// There is none.
    Null,
    /// Points, times, counts.
    Integer(i64),
    /// Words and JSON.
    Text(&'a str),
    /// Ids, sealed fields, checkpoints, bodies.
    Bytes(&'a [u8]),
}

impl<'a> ValueRef<'a> {
    /// The value apart from its row.
    pub(crate) fn owned(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(number),
            Self::Text(text) => Value::Text(text.to_owned()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        }
    }

    pub(crate) fn integer(self) -> Result<i64, StoreError> {
        match self {
            Self::Integer(number) => Ok(number),
            _ => Err(StoreError::misread("a number")),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, StoreError> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(StoreError::misread("a text")),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], StoreError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(StoreError::misread("bytes")),
        }
    }
}
