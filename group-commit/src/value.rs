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

/// A stored value, or one to be stored that somebody else keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// There is none.
    Null,
    /// Points, times, counts; 0 and 1 for no and yes.
    Integer(i64),
    /// Words and JSON.
    Text(&'a str),
    /// Ids, sealed fields, checkpoints, bodies.
    Bytes(&'a [u8]),
}

impl<'a> ValueRef<'a> {
    /// The value apart from its row.
    #[must_use]
    pub fn owned(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(number),
            Self::Text(text) => Value::Text(text.to_owned()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        }
    }

    /// The number.
    ///
    /// # Errors
    /// It is none.
    pub fn integer(self) -> Result<i64, StoreError> {
        match self {
            Self::Integer(number) => Ok(number),
            _ => Err(StoreError::misread("a number")),
        }
    }

    /// The text.
    ///
    /// # Errors
    /// It is none.
    pub fn text(self) -> Result<&'a str, StoreError> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(StoreError::misread("a text")),
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// It has none.
    pub fn bytes(self) -> Result<&'a [u8], StoreError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(StoreError::misread("bytes")),
        }
    }
}

macro_rules! integers {
    ($($name:ty)*) => {$(
        impl From<$name> for ValueRef<'_> {
            fn from(number: $name) -> Self {
                Self::Integer(number.into())
            }
        }
    )*};
}

integers! { bool u8 u16 u32 i32 i64 }

impl<'a> From<&'a str> for ValueRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for ValueRef<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for ValueRef<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for ValueRef<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const LEN: usize> From<&'a [u8; LEN]> for ValueRef<'a> {
    fn from(bytes: &'a [u8; LEN]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, T: Into<ValueRef<'a>>> From<Option<T>> for ValueRef<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The values of a statement, each as a [`ValueRef`].
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::ValueRef::from($value)),*]
    };
}
