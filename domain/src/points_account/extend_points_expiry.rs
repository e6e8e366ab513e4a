//! Staff let points live longer. What has ended stays ended.
use event_schemas::{
    Code, EntryId, Personal, Timestamp,
    points_account::{LotExpiry, PointsExpiryExtended},
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, LOTS_MAX, State};
use crate::Rejection;

/// Gives lots a later date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtendPointsExpiry {
    /// These lots; if missing all that have a date, so many as one record says, and asked again the others.
    pub lots: Option<Vec<EntryId>>,
    /// Their date from now on, if it is later than theirs.
    pub until: Timestamp,
    /// Why.
    pub reason: Code,
    /// What only staff may read.
    #[serde(with = "event_schemas::personal::transit")]
    pub note: Option<Personal<String>>,
    /// The sender's clock.
    pub at: Timestamp,
    /// The entry of what had ended before.
    pub entry: EntryId,
}

pub(super) fn decide(state: &State, command: &ExtendPointsExpiry) -> Result<Vec<Event>, Rejection> {
    if command.until <= command.at {
        return Err(Rejection::InvalidExpiry);
    }
    let mut draft = Draft::in_parts(state);
    draft.expire_lots(command.entry, command.at)?;
    let lots = match &command.lots {
        None => state.lots.spendable().map(|(_, lot)| *lot).collect(),
        Some(named) => named.iter().map(|entry| state.lot(*entry)).collect::<Result<Vec<_>, _>>()?,
    };
    let sooner = |date: Timestamp| date > command.at && date < command.until;
    let extended = lots.iter().filter(|lot| lot.expires_at.is_some_and(sooner)).take(LOTS_MAX);
    let lots: Vec<_> = extended.map(|lot| LotExpiry { lot: lot.entry, expires_at: command.until }).collect();
    if lots.is_empty() {
        return Ok(Vec::new());
    }
    let (reason, note) = (command.reason.clone(), command.note.clone());
    Ok(draft.with(PointsExpiryExtended { lots, reason, note }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::{
        Command, EarnPoints,
        specs::{at, earn, expire, extend, other_entry, per_lot, release, reserve, state_after, when_after},
    };

    fn dated() -> EarnPoints {
        EarnPoints { expiry: per_lot(1), ..earn(1, 10) }
    }

    #[test]
    fn extended_points_do_not_end_before_their_new_date() {
        let history = || [Command::from(dated()), extend(100).into()];
        when_after(history(), expire(99)).then_unchanged();
        assert_eq!(state_after(history()).lots().next().unwrap().expires_at, Some(at(100)));
    }

    /// Catches: points that are held while their lot is extended, and come back with the date that it had before.
    #[test]
    fn held_points_of_an_extended_lot_come_back_with_its_new_date() {
        let history = [
            Command::from(dated()),
            reserve(1, 4).into(),
            extend(100).into(),
            reserve(2, 6).into(),
            release(1).into(),
        ];
        assert_eq!(state_after(history).lots().next().unwrap().expires_at, Some(at(100)));
    }

    /// Catches: an extension that shortens, or that gives a date to points without one.
    #[test]
    fn no_date_becomes_earlier_and_points_without_a_date_keep_none() {
        when_after([dated()], extend(10)).then_unchanged();
        when_after([earn(1, 10)], extend(100)).then_unchanged();
    }

    /// Catches: points that come back to life because no job had ended them yet.
    #[test]
    fn points_whose_date_is_over_are_not_extended() {
        when_after([dated()], ExtendPointsExpiry { at: at(50), ..extend(100) }).then_unchanged();
    }

    #[test]
    fn a_date_in_the_past_and_a_lot_that_is_not_there_are_refused() {
        when_after([dated()], extend(0)).then_rejected(Rejection::InvalidExpiry);
        let other = ExtendPointsExpiry { lots: Some(vec![other_entry(5)]), ..extend(100) };
        when_after([dated()], other).then_rejected(Rejection::LotUnknown);
    }
}
