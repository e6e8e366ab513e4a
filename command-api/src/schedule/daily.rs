//! 01:00 in a shop's own time zone, also on the days when the clocks change.
use chrono::{Days, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use event_schemas::{TimeZone, Timestamp};

/// The hour of the daily jobs.
const AT: NaiveTime = NaiveTime::MIN;
const HOUR: TimeDelta = TimeDelta::hours(1);
/// Clocks change by a multiple of this.
const STEP: TimeDelta = TimeDelta::minutes(15);
/// No change of clocks leaves out more than a day.
const STEPS_MAX: i32 = 24 * 4;

/// The latest 01:00 there that has come; none for a time zone that does not exist.
pub(super) fn latest(timezone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let zone: Tz = timezone.as_str().parse().ok()?;
    let today = now.utc().with_timezone(&zone).date_naive();
    [today, today.checked_sub_days(Days::new(1))?]
        .into_iter()
        .filter_map(|date| one_o_clock(zone, date))
        .find(|time| *time <= now)
}

/// 01:00 on this date: the first of two, or the first time after a gap.
fn one_o_clock(zone: Tz, date: NaiveDate) -> Option<Timestamp> {
    let wall = date.and_time(AT).checked_add_signed(HOUR)?;
    let existing = (0..=STEPS_MAX).find_map(|step| {
        let later = wall.checked_add_signed(STEP.checked_mul(step)?)?;
        zone.from_local_datetime(&later).earliest()
    });
    existing.map(|time| time.with_timezone(&Utc).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &str, now: &str) -> String {
        let zone = TimeZone::try_new(zone).unwrap();
        latest(&zone, Timestamp::parse(now).unwrap()).unwrap().to_string()
    }

    #[test]
    fn it_is_the_shops_own_one_o_clock() {
        assert_eq!(at("UTC", "2026-03-01T00:59:59Z"), "2026-02-28T01:00:00Z");
        assert_eq!(at("UTC", "2026-03-01T01:00:00Z"), "2026-03-01T01:00:00Z");
        assert_eq!(at("Asia/Tokyo", "2026-03-01T15:59:00Z"), "2026-02-28T16:00:00Z");
        assert_eq!(at("Asia/Tokyo", "2026-03-01T16:00:00Z"), "2026-03-01T16:00:00Z");
        assert_eq!(at("America/New_York", "2026-03-01T05:30:00Z"), "2026-02-28T06:00:00Z");
        assert_eq!(at("Asia/Kathmandu", "2026-03-01T20:00:00Z"), "2026-03-01T19:15:00Z");
    }

    #[test]
    fn where_clocks_go_forward_at_one_the_jobs_run_at_two() {
        assert_eq!(at("Europe/London", "2026-03-29T00:59:59Z"), "2026-03-28T01:00:00Z");
        assert_eq!(at("Europe/London", "2026-03-29T01:00:00Z"), "2026-03-29T01:00:00Z");
        assert_eq!(at("Europe/London", "2026-03-30T00:00:00Z"), "2026-03-30T00:00:00Z");
    }

    #[test]
    fn where_clocks_show_one_twice_the_jobs_run_at_the_first() {
        assert_eq!(at("Europe/London", "2026-10-25T00:30:00Z"), "2026-10-25T00:00:00Z");
        assert_eq!(at("Europe/London", "2026-10-25T01:30:00Z"), "2026-10-25T00:00:00Z");
    }

    #[test]
    fn a_day_that_a_country_left_out_has_its_jobs_when_the_next_begins() {
        // Samoa went from the 29th to the 31st of December 2011.
        assert_eq!(at("Pacific/Apia", "2011-12-30T09:59:00Z"), "2011-12-29T11:00:00Z");
        assert_eq!(at("Pacific/Apia", "2011-12-30T10:30:00Z"), "2011-12-30T10:00:00Z");
        assert_eq!(at("Pacific/Apia", "2011-12-30T11:00:00Z"), "2011-12-30T11:00:00Z");
    }

    #[test]
    fn a_time_zone_that_does_not_exist_has_no_jobs() {
        let nowhere = TimeZone::try_new("Mars/Olympus").unwrap();
        assert_eq!(latest(&nowhere, Timestamp::EPOCH), None);
    }
}
