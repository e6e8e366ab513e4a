//! Points end: by the date of their lot, or because the account was inactive too long.
use event_schemas::{EntryId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, ExpiryRule, State};
use crate::Rejection;

/// Ends the points whose time is over, of so many lots as one record says; asked again, the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpirePoints {
    /// The entry, if points end.
    pub entry: EntryId,
    /// The time up to which.
    pub as_of: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
}

pub(super) fn decide(state: &State, command: &ExpirePoints) -> Result<Vec<Event>, Rejection> {
    let mut draft = Draft::in_parts(state);
    let any = draft.expire(command.entry, command.as_of, &command.expiry)?;
    Ok(if any { draft.events() } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Digest, Points,
        points_account::{ExpiryReason, Release},
    };
    use uuid::Uuid;

    use super::*;
    use crate::{
        Decider as _,
        points_account::{
            AdjustPoints, Command, EarnPoints, EarnSource, ReinstatePoints, ReleasePendingPoints,
            ReservePoints, TransferPointsIn, is_full,
            specs::{
                adjust, at, commit, earn, expire, grace, inactive, per_lot, reinstate, reserve, state_after,
                transfer_in, when_after,
            },
        },
    };

    fn dated(source: u8) -> EarnPoints {
        EarnPoints { expiry: per_lot(1), ..earn(source, 10) }
    }

    /// Catches: an expiry a day early; one that takes the points of a lot without a date.
    #[test]
    fn only_points_whose_date_is_over_end() {
        let history = || [dated(1), earn(2, 10)];
        when_after(history(), expire(30)).then_unchanged();
        let events = when_after(history(), expire(33)).events();
        let [Event::PointsExpired(ended)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((ended.reason, ended.points), (ExpiryReason::Lot, Points(10)));
        assert_eq!((ended.after.available, ended.after.lifetime_expired), (Points(10), Points(10)));
        let again = history().map(Command::from).into_iter().chain([expire(33).into()]);
        when_after(again, expire(34)).then_unchanged();
    }

    /// Catches: a reserved point that ends while its reward is issued.
    #[test]
    fn reserved_points_do_not_end() {
        let after = state_after::<Command>([dated(1).into(), reserve(1, 8).into(), expire(60).into()]);
        assert_eq!((after.balances().available, after.balances().reserved), (Points(0), Points(8)));
        assert_eq!(after.balances().lifetime_expired, Points(2));
    }

    /// Catches: points given back after their date that end at once, or that take the rest of their lot along.
    #[test]
    fn points_given_back_after_their_date_live_the_days_of_grace() {
        let back = ReinstatePoints { at: at(60), grace: grace(30), ..reinstate(1) };
        let history =
            || [Command::from(dated(1)), reserve(1, 8).into(), commit(1).into(), back.clone().into()];
        let account = state_after(history());
        let all = account.balances();
        assert_eq!(
            (all.available, all.lifetime_expired, all.lifetime_redeemed),
            (Points(8), Points(2), Points(0))
        );
        assert_eq!(account.lots().next().unwrap().expires_at, Some(at(91)));
        when_after(history(), expire(90)).then_unchanged();
        assert_eq!(when_after(history(), expire(91)).events().len(), 1);
    }

    /// Catches: an adjustment by staff that counts as the customer's activity.
    #[test]
    fn all_points_end_when_the_account_was_inactive_too_long() {
        let history = || [Command::from(earn(1, 10)), adjust(1, 5).into()];
        let expire = |day| ExpirePoints { expiry: inactive(1), ..expire(day) };
        when_after(history(), expire(30)).then_unchanged();
        let events = when_after(history(), expire(31)).events();
        let [Event::PointsExpired(ended)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((ended.reason, ended.points), (ExpiryReason::Inactivity, Points(15)));
        let active = EarnPoints { at: at(20), ..earn(2, 1) };
        when_after(history().into_iter().chain([active.into()]), expire(31)).then_unchanged();
    }

    /// Catches: an end of more lots than a record says, and an asking again that ends nothing.
    #[test]
    fn points_of_any_number_of_lots_end_in_parts() {
        for (mode, rule) in [("dates", per_lot(1)), ("inactivity", inactive(1))] {
            let mut account = State::default();
            let ask = |account: &mut State, command: Command| {
                let events = account.decide(&command).unwrap();
                events.iter().for_each(|event| account.evolve(event));
                events
            };
            for number in 0..60_000_u32 {
                let id = Uuid::from_u128(u128::from(number) << 32);
                let source = EarnSource::Api(Digest(id.into_bytes()));
                let award = EarnPoints { entry: EntryId(id), source, expiry: rule.clone(), ..earn(1, 1) };
                ask(&mut account, award.into());
            }
            let mut parts = Vec::new();
            loop {
                let expire = ExpirePoints { expiry: rule.clone(), ..expire(40) };
                let events: Vec<_> = ask(&mut account, expire.into()).into_iter().map(Into::into).collect();
                assert!(serde_json::to_vec(&format!("{events:?}")).unwrap().len() < 4 << 20, "{mode}");
                parts.push(events.len());
                if !is_full(&events) {
                    break;
                }
            }
            assert_eq!(parts, [1, 1, 1, 1, 1, 1, 0], "{mode}");
            let left = account.balances();
            assert_eq!((left.available, left.lifetime_expired), (Points(0), Points(60_000)), "{mode}");
        }
    }

    /// Catches: points given to somebody who was inactive for long, which are shown and gone when they are to be spent.
    #[test]
    fn what_comes_to_an_account_without_points_has_a_whole_time_of_inactivity_ahead() {
        let (day, expiry) = (at(31), inactive(1));
        let released = EarnPoints { release: Some(Release::At(day)), ..earn(2, 10) };
        let comes: [(Vec<Command>, Command); 4] = [
            (vec![], AdjustPoints { at: day, expiry: expiry.clone(), ..adjust(1, 10) }.into()),
            (vec![], TransferPointsIn { at: day, expiry: expiry.clone(), ..transfer_in(1, 10) }.into()),
            (vec![released.into()], ReleasePendingPoints { as_of: day, expiry: expiry.clone() }.into()),
            (
                vec![reserve(1, 10).into(), commit(1).into()],
                ReinstatePoints { at: day, expiry: expiry.clone(), ..reinstate(1) }.into(),
            ),
        ];
        for (before, command) in comes {
            let name = command.name();
            let history = [earn(1, 10).into()].into_iter().chain(before).chain([command]);
            let history: Vec<Command> = history.collect();
            let left = state_after(history.clone()).balances();
            assert_eq!((left.available, left.lifetime_expired.0 % 10), (Points(10), 0), "{name}");
            let spend = |day| ReservePoints { at: at(day), expiry: expiry.clone(), ..reserve(9, 10) };
            assert_eq!(when_after(history.clone(), spend(31)).events().len(), 1, "{name}");
            let gone = Rejection::InsufficientPoints { needed: Points(10), available: Points(0) };
            when_after(history, spend(140)).then_rejected(gone);
        }
    }
}
