//! How values stand in a column: ids as bytes, points and times as integers, words as text, the rest as JSON.
use event_schemas::{
    Code, Currency, CustomerId, DeviceId, MerchantId, OrderId, Points, ProductId, RedemptionId, RewardId,
    Sealed, ShopDomain, StreamType, TimeZone, Timestamp, Title, TransferId,
};
use rusqlite::types::{FromSqlError, FromSqlResult, Value, ValueRef};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// A type that a column can hold.
pub(crate) trait Column: Sized {
    /// SQLite's type with its constraint.
    const TYPE: &'static str;

    /// The value as stored.
    fn store(&self) -> Value;

    /// The value as read; fails on what [`Self::store`] never wrote.
    fn load(value: ValueRef<'_>) -> FromSqlResult<Self>;
}

/// A value that stands as JSON in its column.
#[derive(Clone, Debug, PartialEq)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> Column for Json<T> {
    const TYPE: &'static str = "TEXT NOT NULL";

    fn store(&self) -> Value {
        // Nothing that stands in a row has a map with keys other than text, the only way this could fail.
        serde_json::to_string(&self.0).map_or(Value::Null, Value::Text)
    }

    fn load(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}

/// The event that a row's sealed fields come from: with the row's key all that is needed to open them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The record that holds the event.
    pub record: Uuid,
    /// The event's place in its record.
    pub index: u16,
    /// Version of the event in its stream.
    pub version: u64,
    /// The event's type (wire number).
    pub event_type: u16,
}

impl<T: Column> Column for Option<T> {
    const TYPE: &'static str = nullable(T::TYPE);

    fn store(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::store)
    }

    fn load(value: ValueRef<'_>) -> FromSqlResult<Self> {
        if value == ValueRef::Null { Ok(None) } else { T::load(value).map(Some) }
    }
}

const fn nullable(column_type: &'static str) -> &'static str {
    match column_type.as_bytes() {
        [b'I', ..] => "INTEGER",
        [b'B', ..] => "BLOB",
        _ => "TEXT",
    }
}

impl Column for bool {
    const TYPE: &'static str = "INTEGER NOT NULL";

    fn store(&self) -> Value {
        Value::Integer((*self).into())
    }

    fn load(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(value.as_i64()? != 0)
    }
}

macro_rules! integers {
    ($($name:ty: $store:expr, $load:expr;)*) => {$(
        impl Column for $name {
            const TYPE: &'static str = "INTEGER NOT NULL";

            fn store(&self) -> Value {
                let store: fn(&Self) -> i64 = $store;
                Value::Integer(store(self))
            }

            fn load(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let number = value.as_i64()?;
                let load: fn(i64) -> Option<Self> = $load;
                load(number).ok_or(FromSqlError::OutOfRange(number))
            }
        }
    )*};
}

integers! {
    Points: |points| points.0, |number| Some(Self(number));
    Timestamp: |time| time.micros(), |number| Some(Self::from_micros(number));
    StreamType: |kind| i64::from(kind.number()), |number| Self::from_number(u16::try_from(number).ok()?);
    u16: |number| i64::from(*number), |number| Self::try_from(number).ok();
    u32: |number| i64::from(*number), |number| Self::try_from(number).ok();
    // A stream's version counts its events, so it never comes near the end of 63 bits.
    u64: |number| i64::try_from(*number).unwrap_or(i64::MAX), |number| Self::try_from(number).ok();
}

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Column for $name {
            const TYPE: &'static str = "BLOB NOT NULL";

            fn store(&self) -> Value {
                Value::Blob(self.bytes().to_vec())
            }

            fn load(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Uuid::from_slice(value.as_blob()?).map(Self).map_err(|error| FromSqlError::Other(error.into()))
            }
        }
    )*};
}

ids! { MerchantId CustomerId DeviceId OrderId RedemptionId RewardId TransferId }

impl Column for Uuid {
    const TYPE: &'static str = "BLOB NOT NULL";

    fn store(&self) -> Value {
        Value::Blob(self.as_bytes().to_vec())
    }

    fn load(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_slice(value.as_blob()?).map_err(|error| FromSqlError::Other(error.into()))
    }
}

impl Column for Sealed {
    const TYPE: &'static str = "BLOB NOT NULL";

    fn store(&self) -> Value {
        Value::Blob(self.0.clone())
    }

    fn load(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_blob().map(|bytes| Self(bytes.to_vec()))
    }
}

macro_rules! texts {
    ($($name:ident)*) => {$(
        impl Column for $name {
            const TYPE: &'static str = "TEXT NOT NULL";

            fn store(&self) -> Value {
                Value::Text(self.to_string())
            }

            fn load(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|error| FromSqlError::Other(Box::new(error)))
            }
        }
    )*};
}

texts! { Code Currency ProductId ShopDomain String TimeZone Title }

/// Makes an enum of words a column; each word stands as the text that serde gives it.
macro_rules! word_column {
    ($($name:ty),* $(,)?) => {$(
        impl $crate::column::Column for $name {
            const TYPE: &'static str = "TEXT NOT NULL";

            fn store(&self) -> rusqlite::types::Value {
                rusqlite::types::Value::Text(self.as_str().to_owned())
            }

            fn load(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                let word = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(value.as_str()?);
                serde::Deserialize::deserialize(word)
                    .map_err(|error| rusqlite::types::FromSqlError::Other(Box::new(error)))
            }
        }
    )*};
}
pub(crate) use word_column;
