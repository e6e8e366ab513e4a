//! A point in time, to the microsecond, in UTC.
use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::expected;

/// A point in time in UTC, cut to the microsecond so that every form of it is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema)]
#[schemars(transparent)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(DateTime::UNIX_EPOCH);

    /// This many microseconds after 1970-01-01T00:00:00Z; what lies beyond the calendar is its first or last moment.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        let beyond = if micros.is_negative() { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        DateTime::from_timestamp_micros(micros).map_or_else(|| Self::from(beyond), Self)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// Reads RFC 3339 with any offset.
    pub fn parse(text: &str) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text).map(|time| time.to_utc().into())
    }

    fn text(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }

    /// The same as a chrono value.
    #[must_use]
    pub const fn utc(self) -> DateTime<Utc> {
        self.0
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self::from_micros(time.timestamp_micros())
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.text())
        } else {
            self.micros().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let time = DateTime::deserialize(deserializer).map(Self::from);
            time.map_err(|error| expected(error, "a time such as 2026-03-01T12:00:00Z"))
        } else {
            i64::deserialize(deserializer).map(Self::from_micros)
        }
    }
}

impl crate::personal::Plain for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches: such a time as the epoch, which would be over.
    #[test]
    fn what_lies_beyond_the_calendar_is_its_last_moment() {
        let last = Timestamp::from_micros(i64::MAX);
        assert!(last > Timestamp::from_micros(253_402_300_799_999_999));
        assert!(Timestamp::from_micros(i64::MIN) < Timestamp::EPOCH);
        assert_eq!(Timestamp::from_micros(last.micros()), last);
    }

    /// Catches: every error told as "expected a time", so that the field has no name.
    #[test]
    fn a_time_or_an_id_that_is_missing_is_told_by_the_name_of_its_field() {
        #[derive(Debug, Deserialize)]
        struct Entry {
            #[expect(dead_code, reason = "only its deserialisation matters")]
            id: crate::EntryId,
            #[expect(dead_code, reason = "only its deserialisation matters")]
            at: Timestamp,
        }
        let flaw = |json: &str| serde_json::from_str::<Entry>(json).unwrap_err().to_string();
        assert!(flaw("{}").starts_with("missing field `id`"));
        assert!(flaw(r#"{"id":"Ada"}"#).starts_with("expected a UUID"));
        let id = uuid::Uuid::nil();
        assert!(flaw(&format!(r#"{{"id":"{id}"}}"#)).starts_with("missing field `at`"));
        assert!(flaw(&format!(r#"{{"id":"{id}","at":"Ada"}}"#)).starts_with("expected a time"));
    }
}
