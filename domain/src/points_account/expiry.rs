//! When points end, by the calendar of the shop.
use chrono::{DateTime, Days, Months, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use event_schemas::{TimeZone, Timestamp, merchant::ExpiryMode};
use serde::{Deserialize, Serialize};

use crate::Rejection;

/// The setting that ends points, frozen by the sender of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiryRule {
    /// What counts.
    pub mode: ExpiryMode,
    /// Months until points end.
    pub months: u32,
    /// The shop's time zone.
    pub timezone: TimeZone,
}

impl ExpiryRule {
    /// Points never end.
    #[must_use]
    pub fn none() -> Self {
        Self { mode: ExpiryMode::None, months: 0, timezone: TimeZone::utc() }
    }

    /// From when on points that become active at this time cannot be spent: midnight after the last day.
    pub(super) fn of_lot(&self, active_at: Timestamp) -> Result<Option<Timestamp>, Rejection> {
        if self.mode != ExpiryMode::PerLot {
            return Ok(None);
        }
        let zone = zone(&self.timezone)?;
        let day = zone.from_utc_datetime(&active_at.utc().naive_utc()).date_naive();
        let after = day
            .checked_add_months(Months::new(self.months))
            .and_then(|last| last.checked_add_days(Days::new(1)))
            .ok_or(Rejection::InvalidExpiry)?;
        instant(zone, after.and_time(NaiveTime::MIN)).map(Some)
    }

    /// When an account ends its points if nothing happens on it after this time.
    pub(super) fn of_inactivity(&self, last: Timestamp) -> Result<Option<Timestamp>, Rejection> {
        if self.mode != ExpiryMode::Inactivity {
            return Ok(None);
        }
        let zone = zone(&self.timezone)?;
        let local = zone.from_utc_datetime(&last.utc().naive_utc()).naive_local();
        let end = local.checked_add_months(Months::new(self.months)).ok_or(Rejection::InvalidExpiry)?;
        instant(zone, end).map(Some)
    }
}

fn zone(timezone: &TimeZone) -> Result<Tz, Rejection> {
    timezone.as_str().parse().map_err(|_| Rejection::InvalidExpiry)
}

/// The first instant at or after the local time: clocks that go forward may leave it out.
fn instant(zone: Tz, local: NaiveDateTime) -> Result<Timestamp, Rejection> {
    (0..=24)
        .filter_map(|quarters| local.checked_add_signed(TimeDelta::minutes(15 * quarters)))
        .find_map(|local| zone.from_local_datetime(&local).earliest())
        .map(|time| Timestamp::from(DateTime::to_utc(&time)))
        .ok_or(Rejection::InvalidExpiry)
}

/// The same time of day so many days later, in UTC.
pub(super) fn days_after(time: Timestamp, days: u32) -> Timestamp {
    Timestamp::from_micros(time.micros().saturating_add(i64::from(days) * 86_400_000_000))
}

/// How long points live at least that come back after their date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grace {
    /// Whole days after the one on which they come back; with none they end at once.
    pub days: u32,
    /// The shop's time zone.
    pub timezone: TimeZone,
}

impl Grace {
    /// Not at all.
    #[must_use]
    pub fn none() -> Self {
        Self { days: 0, timezone: TimeZone::utc() }
    }

    /// From when on points that come back at this time after their date cannot be spent: midnight after the last day.
    pub(super) fn until(&self, at: Timestamp) -> Result<Timestamp, Rejection> {
        if self.days == 0 {
            return Ok(at);
        }
        let zone = zone(&self.timezone)?;
        let day = zone.from_utc_datetime(&at.utc().naive_utc()).date_naive();
        let after =
            day.checked_add_days(Days::new(u64::from(self.days) + 1)).ok_or(Rejection::InvalidExpiry)?;
        instant(zone, after.and_time(NaiveTime::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(mode: ExpiryMode, months: u32, zone: &str) -> ExpiryRule {
        ExpiryRule { mode, months, timezone: TimeZone::try_new(zone).unwrap() }
    }

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    /// Catches: a date counted in UTC; a last day that is cut off; the end of a month that overflows.
    #[test]
    fn a_lot_ends_at_the_shops_midnight_after_its_last_day() {
        for (zone, active, months, end) in [
            ("Europe/Berlin", "2026-01-31T10:00:00Z", 1, "2026-02-28T23:00:00Z"),
            ("Europe/Berlin", "2026-01-31T23:30:00Z", 1, "2026-03-01T23:00:00Z"),
            ("America/New_York", "2026-03-01T04:59:00Z", 12, "2027-03-01T05:00:00Z"),
            ("Pacific/Auckland", "2026-06-30T12:30:00Z", 6, "2027-01-01T11:00:00Z"),
            ("Asia/Kathmandu", "2024-02-29T00:00:00Z", 12, "2025-02-28T18:15:00Z"),
        ] {
            let rule = rule(ExpiryMode::PerLot, months, zone);
            assert_eq!(rule.of_lot(time(active)), Ok(Some(time(end))), "{zone}");
        }
    }

    /// Catches: a midnight that does not exist taken for an error.
    #[test]
    fn a_midnight_that_the_clocks_leave_out_is_the_first_moment_of_the_day() {
        let rule = rule(ExpiryMode::PerLot, 1, "America/Asuncion");
        assert_eq!(rule.of_lot(time("2022-09-01T12:00:00Z")), Ok(Some(time("2022-10-02T04:00:00Z"))));
    }

    #[test]
    fn inactivity_ends_to_the_moment_and_other_modes_never() {
        let inactive = rule(ExpiryMode::Inactivity, 6, "Europe/Berlin");
        let last = time("2026-01-15T09:30:00Z");
        assert_eq!(inactive.of_inactivity(last), Ok(Some(time("2026-07-15T08:30:00Z"))));
        assert_eq!(inactive.of_lot(last), Ok(None));
        assert_eq!(rule(ExpiryMode::None, 6, "Europe/Berlin").of_inactivity(last), Ok(None));
        assert_eq!(rule(ExpiryMode::PerLot, 6, "Mars/Base").of_lot(last), Err(Rejection::InvalidExpiry));
    }

    /// Catches: days of grace that end to the moment, or at the midnight of another time zone.
    #[test]
    fn days_of_grace_end_at_the_shops_midnight_after_the_last_of_them() {
        let grace = |days| Grace { days, timezone: TimeZone::try_new("Europe/Berlin").unwrap() };
        let at = time("2026-03-01T23:30:00Z");
        assert_eq!(grace(30).until(at), Ok(time("2026-04-01T22:00:00Z")));
        assert_eq!(grace(0).until(at), Ok(at));
    }
}
