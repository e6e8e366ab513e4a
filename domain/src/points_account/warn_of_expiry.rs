//! The customer is told before points end: once for each date and each number of days.
use std::collections::BTreeMap;

use event_schemas::{Points, Timestamp, points_account::PointsExpiryWarned};
use serde::{Deserialize, Serialize};

use super::{Event, ExpiryRule, State, expiry::days_after};
use crate::Rejection;

/// Days before the end at which it is told.
pub const WARNING_DAYS: [u32; 3] = [30, 7, 1];

/// Tells which points end soon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarnOfExpiry {
    /// The time from which the days count.
    pub as_of: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
}

pub(super) fn decide(state: &State, command: &WarnOfExpiry) -> Result<Vec<Event>, Rejection> {
    if state.redacted() {
        // There is nobody to be told.
        return Ok(Vec::new());
    }
    let soon = ending_soon(state, command)?;
    let warning = |(expires_at, points): (Timestamp, Points)| {
        let days = within(expires_at, command.as_of)?;
        let news = state.warned.get(&expires_at).is_none_or(|told| *told > days);
        news.then(|| PointsExpiryWarned { days, points, expires_at }.into())
    };
    Ok(soon.into_iter().filter_map(warning).collect())
}

/// The dates of the next days, with what ends then.
fn ending_soon(state: &State, command: &WarnOfExpiry) -> Result<BTreeMap<Timestamp, Points>, Rejection> {
    let mut soon = BTreeMap::new();
    let until = days_after(command.as_of, WARNING_DAYS[0]);
    for (_, lot) in state.lots.ending(command.as_of.micros(), until) {
        if let Some(date) = lot.expires_at {
            let points: &mut Points = soon.entry(date).or_default();
            *points = points.plus(lot.points)?;
        }
    }
    let available = state.balances().available;
    let inactive = state.last_activity_at().map(|last| command.expiry.of_inactivity(last)).transpose()?;
    if let Some(end) = inactive.flatten().filter(|end| *end > command.as_of && available.is_positive()) {
        soon.insert(end, available);
    }
    Ok(soon)
}

/// The smallest number of days within which the date lies, if it does.
fn within(date: Timestamp, as_of: Timestamp) -> Option<u32> {
    WARNING_DAYS.into_iter().rev().find(|days| date <= days_after(as_of, *days))
}

/// When the next warning is due: found from the dates alone, without a walk over all lots of a date.
pub(super) fn next(state: &State) -> Option<Timestamp> {
    let mut earliest: Option<Timestamp> = None;
    if state.redacted() {
        return earliest;
    }
    for date in state.lots.dates() {
        let told = state.warned.get(&date).copied();
        let due = WARNING_DAYS.into_iter().find(|days| told.is_none_or(|told| told > *days));
        let due = due.map(|days| days_before(date, days));
        earliest = match (earliest, due) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        if earliest.is_some_and(|earliest| days_before(date, WARNING_DAYS[0]) >= earliest) {
            break;
        }
    }
    earliest
}

pub(super) fn days_before(date: Timestamp, days: u32) -> Timestamp {
    Timestamp::from_micros(date.micros().saturating_sub(i64::from(days) * 86_400_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::{
        Command, EarnPoints,
        specs::{at, earn, inactive, per_lot, state_after, warn, when_after},
    };

    /// Points of `earn` under this rule end 32 days after the first day, at midnight.
    fn dated() -> Vec<Command> {
        vec![EarnPoints { expiry: per_lot(1), ..earn(1, 10) }.into()]
    }

    fn days(history: Vec<Command>, day: i64) -> Vec<u32> {
        let events = when_after(history, warn(day)).events();
        let days = events.iter().map(|event| match event {
            Event::PointsExpiryWarned(warned) => warned.days,
            other => panic!("{other:?}"),
        });
        days.collect()
    }

    /// Catches: a warning every day; one that is skipped when a job missed some days.
    #[test]
    fn each_date_is_told_once_for_each_number_of_days() {
        assert_eq!(days(dated(), 1), [0; 0]);
        assert_eq!(days(dated(), 2), [30]);
        let told = || dated().into_iter().chain([warn(2).into()]).collect::<Vec<_>>();
        assert_eq!(days(told(), 3), [0; 0]);
        assert_eq!(days(told(), 31), [1]);
        assert_eq!(days(dated(), 26), [7]);
        assert_eq!(days(told(), 26), [7]);
    }

    /// Catches: a due date that lags behind what a warning would say.
    #[test]
    fn the_next_warning_is_due_when_it_would_say_something() {
        for told in [vec![], vec![2], vec![2, 26], vec![2, 26, 31]] {
            let history: Vec<_> =
                dated().into_iter().chain(told.iter().map(|day| warn(*day).into())).collect();
            let next = next(&state_after(history.clone()));
            for day in 0..32 {
                let says = !days(history.clone(), day).is_empty();
                assert_eq!(says, next.is_some_and(|next| next <= at(day)), "{told:?}, day {day}");
            }
        }
    }

    #[test]
    fn inactivity_is_told_too() {
        let warning = |day| WarnOfExpiry { expiry: inactive(1), ..warn(day) };
        let events = when_after([earn(1, 10)], warning(25)).events();
        let [Event::PointsExpiryWarned(warned)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((warned.days, warned.points, warned.expires_at), (7, Points(10), at(31)));
    }
}
