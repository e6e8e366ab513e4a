//! Points are set aside while a reward is issued. Whether they buy a whole discount was checked before.
use event_schemas::{Money, Points, RedemptionId, points_account::PointsReserved};

use super::{Event, State};
use crate::Rejection;

/// Sets points aside for a redemption.
#[derive(Clone, Debug, PartialEq)]
pub struct ReservePoints {
    /// The redemption: the business key.
    pub redemption: RedemptionId,
    /// All points to set aside, above zero.
    pub points: Points,
    /// What they buy.
    pub discount: Money,
    /// Version of the settings that priced it.
    pub rule_version: u32,
}

pub(super) fn decide(state: &State, command: &ReservePoints) -> Result<Vec<Event>, Rejection> {
    if let Some(first) = state.reservation(command.redemption) {
        let same = (first.points, first.discount) == (command.points, command.discount);
        return if same { Ok(Vec::new()) } else { Err(Rejection::SourceConflict) };
    }
    if !command.points.is_positive() {
        return Err(Rejection::PointsNotPositive);
    }
    let mut after = state.balances();
    if command.points > after.available {
        return Err(Rejection::InsufficientPoints { needed: command.points, available: after.available });
    }
    after.available = after.available.minus(command.points)?;
    after.reserved = after.reserved.plus(command.points)?;
    Ok(state.opening(PointsReserved {
        redemption: command.redemption,
        points: command.points,
        allocations: state.lots.take(command.points, &[]),
        discount: command.discount,
        rule_version: command.rule_version,
        reward: None,
        pos: None,
        at: None,
        after,
    }))
}

#[cfg(test)]
mod tests {
    use event_schemas::points_account::Allocation;

    use super::*;
    use crate::points_account::{
        Command,
        specs::{earn, reserve, state_after, when, when_after},
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

    #[test]
    fn the_same_redemption_again_holds_nothing_more() {
        let history = || [Command::from(earn(1, 10)), reserve(1, 8).into()];
        when_after(history(), reserve(1, 8)).then_unchanged();
        when_after(history(), reserve(1, 2)).then_rejected(Rejection::SourceConflict);
        assert_eq!(state_after(history()).reservation(reserve(1, 8).redemption).unwrap().points, Points(8));
    }

    #[test]
    fn a_redemption_needs_points() {
        when_after([earn(1, 10)], reserve(1, 0)).then_rejected(Rejection::PointsNotPositive);
    }
}
