//! Points are set aside while a reward is issued. Whether they buy a whole discount was checked before.
use event_schemas::{
    EntryId, Money, Points, RedemptionId, Timestamp,
    points_account::{PointsReserved, PosEntry},
    reward::RewardUsed,
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, ExpiryRule, State, draft::derived};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Sets points aside for a redemption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReservePoints {
    /// The redemption: the business key.
    pub redemption: RedemptionId,
    /// All points to set aside, above zero.
    pub points: Points,
    /// What they buy.
    pub discount: Money,
    /// Version of the settings that priced it.
    pub rule_version: u32,
    /// The reward of the catalogue, if it is one.
    pub reward: Option<RewardUsed>,
    /// The till that gave the discount already, if one did.
    pub pos: Option<PosEntry>,
    /// The sender's clock.
    pub at: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
}

pub(super) fn decide(state: &State, command: &ReservePoints) -> Result<Vec<Event>, Rejection> {
    if let Some(first) = state.reservation(command.redemption) {
        let same = (first.points, first.discount) == (command.points, command.discount);
        return if same { Ok(Vec::new()) } else { Err(Rejection::SourceConflict) };
    }
    state.not_frozen()?;
    if !command.points.is_positive() {
        return Err(Rejection::PointsNotPositive);
    }
    let mut draft = Draft::of(state);
    let ended = derived(EntryId(command.redemption.0), "expire");
    if !planted::is(Bug::DateNotAsked) {
        draft.expire(ended, command.at, &command.expiry)?;
    }
    let available = draft.after.available;
    if command.points > available {
        return Err(Rejection::InsufficientPoints { needed: command.points, available });
    }
    let allocations = draft.take_to_return(command.points)?;
    draft.debit(command.points, Points::ZERO)?;
    draft.after.reserved = draft.after.reserved.plus(command.points)?;
    let after = draft.after;
    Ok(draft.with(PointsReserved {
        redemption: command.redemption,
        points: command.points,
        allocations,
        discount: command.discount,
        rule_version: command.rule_version,
        reward: command.reward,
        pos: command.pos,
        at: Some(command.at),
        after,
    }))
}

#[cfg(test)]
mod tests {
    use event_schemas::points_account::Allocation;

    use super::*;
    use crate::points_account::{
        Command, EarnPoints,
        specs::{at, earn, freeze, per_lot, reserve, state_after, when, when_after},
    };

    #[test]
    fn reserved_points_are_held_from_the_oldest_lots() {
        let events = when_after([earn(1, 10), earn(2, 10)], reserve(1, 12)).events();
        let [Event::PointsReserved(reserved)] = &events[..] else { panic!("{events:?}") };
        let expected = [
            Allocation { lot: earn(1, 0).entry, points: Points(10) },
            Allocation { lot: earn(2, 0).entry, points: Points(2) },
        ];
        assert_eq!(reserved.allocations, expected);
        assert_eq!((reserved.after.available, reserved.after.reserved), (Points(8), Points(12)));
    }

    #[test]
    fn redeeming_more_than_the_balance_is_rejected() {
        when_after([earn(1, 10)], reserve(1, 11))
            .then_rejected(Rejection::InsufficientPoints { needed: Points(11), available: Points(10) });
        when(reserve(1, 1))
            .then_rejected(Rejection::InsufficientPoints { needed: Points(1), available: Points(0) });
    }

    /// Catches: a reservation that spends points whose date is over but which no job has ended yet.
    #[test]
    fn points_whose_date_is_over_are_not_spent_and_end_in_the_same_record() {
        let history =
            || [EarnPoints { expiry: per_lot(1), ..earn(1, 10) }, EarnPoints { at: at(40), ..earn(2, 10) }];
        let late = |points| ReservePoints { at: at(50), ..reserve(1, points) };
        let events = when_after(history(), late(10)).events();
        let [Event::PointsExpired(ended), Event::PointsReserved(reserved)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((ended.points, reserved.after.available), (Points(10), Points(0)));
        assert_eq!(reserved.allocations, [Allocation { lot: earn(2, 0).entry, points: Points(10) }]);
        when_after(history(), late(11))
            .then_rejected(Rejection::InsufficientPoints { needed: Points(11), available: Points(10) });
    }

    /// Catches: lots spent in the order of earning where a later one ends sooner.
    #[test]
    fn points_that_end_sooner_are_spent_first() {
        let history = [
            EarnPoints { expiry: per_lot(12), ..earn(1, 10) },
            EarnPoints { expiry: per_lot(6), ..earn(2, 10) },
            earn(3, 10),
        ];
        let events = when_after(history, reserve(1, 25)).events();
        let [Event::PointsReserved(reserved)] = &events[..] else { panic!("{events:?}") };
        let lots: Vec<_> = reserved.allocations.iter().map(|one| one.lot).collect();
        assert_eq!(lots, [earn(2, 0).entry, earn(1, 0).entry, earn(3, 0).entry]);
    }

    #[test]
    fn the_same_redemption_again_holds_nothing_more() {
        let history = || [Command::from(earn(1, 10)), reserve(1, 8).into()];
        when_after(history(), reserve(1, 8)).then_unchanged();
        when_after(history(), reserve(1, 2)).then_rejected(Rejection::SourceConflict);
        assert_eq!(state_after(history()).reservation(reserve(1, 8).redemption).unwrap().points, Points(8));
    }

    #[test]
    fn a_redemption_needs_points_and_an_account_that_is_not_frozen() {
        when_after([earn(1, 10)], reserve(1, 0)).then_rejected(Rejection::PointsNotPositive);
        when_after([Command::from(earn(1, 10)), freeze()], reserve(1, 1))
            .then_rejected(Rejection::AccountFrozen);
    }
}
