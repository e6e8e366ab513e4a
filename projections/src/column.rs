//! How values stand in a column: ids as bytes, points and times as integers, words as text, the rest as JSON.
use event_schemas::{
    Code, Currency, CustomerId, DeviceId, MerchantId, OrderId, Points, ProductId, RedemptionId, RequestId,
    RewardId, Sealed, ShopDomain, StreamType, TimeZone, Timestamp, Title, TransferId,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{StoreError, Value, ValueRef};

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnType {
    /// As what.
    pub kind: Kind,
    /// Whether there may be nothing.
    pub nullable: bool,
    /// Whether it is the ciphertext of something personal; an erasure empties it.
    pub sealed: bool,
}

/// As what values stand in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64 bits with a sign.
    Integer,
    /// Text, compared byte by byte.
    Text,
    /// Bytes.
    Bytes,
}

impl ColumnType {
    /// A column of this kind that always has a value.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        Self { kind, nullable: false, sealed: false }
    }
}

/// A type that a column can hold.
pub(crate) trait Column: Sized {
    /// As what it stands there.
    const TYPE: ColumnType;

    /// The value as stored.
    fn store(&self) -> Value;

    /// The value as read; fails on what [`Self::store`] never wrote.
    fn load(value: ValueRef<'_>) -> Result<Self, StoreError>;
}

/// A value that stands as JSON in its column.
#[derive(Clone, Debug, PartialEq)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> Column for Json<T> {
    const TYPE: ColumnType = ColumnType::of(Kind::Text);

    fn store(&self) -> Value {
        // Nothing that stands in a row has a map with keys other than text, the only way this could fail.
        serde_json::to_string(&self.0).map_or(Value::Null, Value::text)
    }

    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        serde_json::from_str(value.text()?).map(Self).map_err(StoreError::of_cell)
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
    const TYPE: ColumnType = ColumnType { nullable: true, ..T::TYPE };

    fn store(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::store)
    }

    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        if value == ValueRef::Null { Ok(None) } else { T::load(value).map(Some) }
    }
}

impl Column for bool {
    const TYPE: ColumnType = ColumnType::of(Kind::Integer);

    fn store(&self) -> Value {
        Value::Integer((*self).into())
    }

    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        Ok(value.integer()? != 0)
    }
}

macro_rules! integers {
    ($($name:ty: $store:expr, $load:expr;)*) => {$(
        impl Column for $name {
            const TYPE: ColumnType = ColumnType::of(Kind::Integer);

            fn store(&self) -> Value {
                let store: fn(&Self) -> i64 = $store;
                Value::Integer(store(self))
            }

            fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
                let number = value.integer()?;
                let load: fn(i64) -> Option<Self> = $load;
                load(number).ok_or_else(|| StoreError::misread(stringify!($name)))
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
            const TYPE: ColumnType = ColumnType::of(Kind::Bytes);

            fn store(&self) -> Value {
                Value::Id(self.bytes())
            }

            fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
                Uuid::from_slice(value.bytes()?).map(Self).map_err(StoreError::of_cell)
            }
        }
    )*};
}

ids! { MerchantId CustomerId DeviceId OrderId RedemptionId RequestId RewardId TransferId }

impl Column for Vec<u8> {
    const TYPE: ColumnType = ColumnType::of(Kind::Bytes);

    fn store(&self) -> Value {
        Value::Bytes(self.clone())
    }

    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        value.bytes().map(<[u8]>::to_vec)
    }
}

impl Column for [u8; 16] {
    const TYPE: ColumnType = ColumnType::of(Kind::Bytes);

    fn store(&self) -> Value {
        Value::Id(*self)
    }

    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        value.bytes()?.try_into().map_err(StoreError::of_cell)
    }
}

impl Column for Uuid {
    const TYPE: ColumnType = ColumnType::of(Kind::Bytes);

    fn store(&self) -> Value {
        Value::Id(self.into_bytes())
    }

    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        Self::from_slice(value.bytes()?).map_err(StoreError::of_cell)
    }
}

impl Column for Sealed {
    const TYPE: ColumnType = ColumnType { sealed: true, ..ColumnType::of(Kind::Bytes) };

    fn store(&self) -> Value {
        Value::Bytes(self.0.clone())
    }

    fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
        value.bytes().map(|bytes| Self(bytes.to_vec()))
    }
}

macro_rules! texts {
    ($($name:ident)*) => {$(
        impl Column for $name {
            const TYPE: ColumnType = ColumnType::of(Kind::Text);

            fn store(&self) -> Value {
                Value::text(self.to_string())
            }

            fn load(value: ValueRef<'_>) -> Result<Self, StoreError> {
                value.text()?.parse().map_err(StoreError::of_cell)
            }
        }
    )*};
}

texts! { Code Currency ProductId ShopDomain String TimeZone Title }

/// Makes an enum of words a column; each word stands as the text that serde gives it.
macro_rules! word_column {
    ($($name:ty),* $(,)?) => {$(
        impl $crate::column::Column for $name {
            const TYPE: $crate::column::ColumnType = $crate::column::ColumnType::of($crate::column::Kind::Text);

            fn store(&self) -> $crate::Value {
                $crate::Value::text(self.as_str())
            }

            fn load(value: $crate::ValueRef<'_>) -> Result<Self, $crate::StoreError> {
                let word = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(value.text()?);
                serde::Deserialize::deserialize(word).map_err($crate::StoreError::of_cell)
            }
        }
    )*};
}
pub(crate) use word_column;
