//! A calendar of its own, in UTC: minutes since the midnight at which 2026-01-31 began.

const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAY: i64 = 24 * 60;

/// The midnight at which this minute's day began.
pub(super) const fn midnight(minute: i64) -> i64 {
    minute.div_euclid(DAY) * DAY
}

/// The same time of day so many months later, on the month's last day if it is too short.
pub(super) fn months_later(minute: i64, months: u32) -> i64 {
    let (year, month, day) = date(minute.div_euclid(DAY));
    let counted = year * 12 + month + i64::from(months);
    let (year, month) = (counted.div_euclid(12), counted.rem_euclid(12));
    let day = day.min(length(year, month) - 1);
    number(year, month, day) * DAY + minute.rem_euclid(DAY)
}

fn length(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0;
    LENGTHS[usize::try_from(month).unwrap()] + i64::from(leap && month == 1)
}

/// Year, month and day of a day's number, the latter two counted from 0.
fn date(number: i64) -> (i64, i64, i64) {
    let (mut year, mut month, mut day) = (2026, 0, number + 30);
    while day >= length(year, month) {
        day -= length(year, month);
        month += 1;
        if month == 12 {
            (year, month) = (year + 1, 0);
        }
    }
    (year, month, day)
}

/// The number of a day.
fn number(year: i64, month: i64, day: i64) -> i64 {
    let before = (2026 * 12..year * 12 + month).map(|counted| length(counted / 12, counted % 12));
    before.sum::<i64>() + day - 30
}

#[test]
fn the_calendar_knows_short_months_and_leap_years() {
    let day = |number: i64| number * DAY;
    assert_eq!(months_later(day(0) + 5, 1), day(28) + 5, "31 January to 28 February");
    assert_eq!(months_later(day(1), 1), day(29), "1 February to 1 March");
    assert_eq!(months_later(day(0), 25), day(759), "31 January 2026 to 29 February 2028");
}
