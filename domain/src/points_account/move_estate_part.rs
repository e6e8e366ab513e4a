//! An account that is being merged leaves the next part of its estate, once the one before has arrived.
use event_schemas::EntryId;
use serde::{Deserialize, Serialize};

use super::{Event, State, merge_account::leave};
use crate::Rejection;

/// Leaves the next part, or ends the account with the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoveEstatePart {
    /// Which part, counted from 1: whatever else is next, nothing happens.
    pub part: u32,
    /// How much a part holds at most, as [`ESTATE_PART_MAX`](super::ESTATE_PART_MAX) counts it.
    pub part_max: u32,
    /// The entry.
    pub entry: EntryId,
}

pub(super) fn decide(state: &State, command: &MoveEstatePart) -> Result<Vec<Event>, Rejection> {
    match (state.merged_into(), state.leaving) {
        (Some(into), Some(leaving)) if leaving.part.checked_add(1) == Some(command.part) => {
            leave(state, into, command.entry, command.part_max)
        }
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{Digest, Points};
    use uuid::Uuid;

    use super::*;
    use crate::{
        Decider as _,
        points_account::{
            Command, ESTATE_PART_MAX, EarnPoints, EarnSource, SettleOrder,
            specs::{
                absorbing, absorbing_in_parts, action, adjust, commit, customer, earn, freeze, merge,
                merge_in_parts, merged_into, other_entry, per_lot, reinstate, release, reserve, settle,
                spend, state_after, transfer_out, when, when_after,
            },
        },
    };

    /// Of everything more than one, so that parts of one thing each end within it.
    fn rich() -> Vec<Command> {
        vec![
            earn(1, 10).into(),
            earn(2, 20).into(),
            settle(1, 1, 5).into(),
            settle(2, 1, 7).into(),
            adjust(1, 3).into(),
            action(1, "2026").into(),
            reserve(1, 4).into(),
            reserve(2, 2).into(),
            commit(2).into(),
            transfer_out(1, 2).into(),
            transfer_out(2, 1).into(),
        ]
    }

    fn begun() -> Vec<Command> {
        rich().into_iter().chain([merge_in_parts(1)]).collect()
    }

    fn next(part: u32) -> MoveEstatePart {
        MoveEstatePart { part, part_max: 1, entry: other_entry(0x40) }
    }

    /// Catches: a count of what has left that is not moved on, or passes over something.
    #[test]
    fn an_estate_that_leaves_in_parts_is_the_one_that_leaves_at_once() {
        let parts = absorbing_in_parts(rich(), 1);
        assert!(parts.len() >= 10, "{} parts", parts.len());
        let after = |arrives: Vec<Command>, then: Option<Command>| {
            state_after([earn(9, 1).into()].into_iter().chain(arrives).chain(then)).balances()
        };
        let goes_on = [release(1).into(), reinstate(2).into(), settle(1, 2, 0).into(), earn(2, 20).into()];
        for then in [None].into_iter().chain(goes_on.map(Some)) {
            let at_once = after(vec![absorbing(rich())], then.clone());
            assert_eq!(after(parts.clone(), then.clone()), at_once, "{then:?}");
        }
    }

    /// Catches: a part that is asked for again, or out of turn, and leaves twice.
    #[test]
    fn only_the_next_part_leaves() {
        let moved = when_after(begun(), next(2)).events();
        assert!(matches!(&moved[..], [Event::EstatePartMoved(part)] if part.part == 2), "{moved:?}");
        for part in [0, 1, 3] {
            when_after(begun(), next(part)).then_unchanged();
        }
        when_after(begun(), merge()).then_unchanged();
        when(next(1)).then_unchanged();
    }

    /// Catches: an account that takes awards, or is asked by a job, while parts of it are still there.
    #[test]
    fn from_the_first_part_on_the_account_answers_only_for_what_it_honoured() {
        when_after(begun(), earn(1, 10)).then_unchanged();
        for asked in [Command::from(earn(3, 1)), settle(1, 2, 0).into(), freeze()] {
            when_after(begun(), asked).then_rejected(Rejection::AccountMerged { into: merged_into() });
        }
        assert_eq!(state_after(begun()).due(), []);
    }

    /// Catches: a part that is taken in again; a survivor that seems to have everything with the first part.
    #[test]
    fn a_part_is_taken_in_once() {
        let mut parts = absorbing_in_parts(rich(), 1);
        let all = parts.clone();
        parts.pop();
        for part in [&parts[0], &parts[4]] {
            when_after(parts.clone(), part.clone()).then_unchanged();
            when_after(all.clone(), part.clone()).then_unchanged();
        }
        let survivor = state_after(parts);
        assert_eq!((survivor.absorbed().count(), survivor.has_absorbed(customer())), (1, false));
        assert!(state_after(all).has_absorbed(customer()));
    }

    /// Catches: a debt that leaves with each part.
    #[test]
    fn debt_leaves_once_and_is_repaid_by_points_of_either() {
        let in_debt = [earn(1, 5).into(), settle(1, 1, 10).into(), spend(1, 15), settle(1, 2, 0).into()];
        let parts = absorbing_in_parts(in_debt, 1);
        assert_eq!(parts.len(), 2);
        let after = state_after([earn(9, 14).into()].into_iter().chain(parts)).balances();
        assert_eq!((after.available, after.debt), (Points(4), Points(0)));
    }

    /// The award ends first, and at once it repays; in parts the order's points do, because they are there before it.
    ///
    /// Catches: a part that leaves points beside debt (`MergeLeavesDebt`); an estate that repays in the order of its lots.
    #[test]
    fn debt_is_repaid_by_the_part_that_brings_points_first() {
        let award = EarnPoints { expiry: per_lot(1), ..earn(1, 8) };
        let order = SettleOrder { expiry: per_lot(2), ..settle(1, 1, 1) };
        let left = || [order.clone().into(), award.clone().into()];
        let in_debt = || [settle(9, 1, 1).into(), spend(1, 1), settle(9, 2, 0).into()];
        let lots = |arrives: Vec<Command>| {
            let account = state_after(in_debt().into_iter().chain(arrives));
            let all = account.balances();
            assert_eq!((all.available, all.debt), (Points(8), Points(0)));
            account.lots().map(|lot| lot.points.0).collect::<Vec<_>>()
        };
        assert_eq!(lots(vec![absorbing(left())]), [1, 7]);
        assert_eq!(lots(absorbing_in_parts(left(), 3)), [8]);
    }

    /// Catches: parts that a record has no room for. At once they come to more than 7 MB.
    #[test]
    fn twenty_thousand_awards_leave_in_parts_that_records_have_room_for() {
        let award = |number: u32| EarnPoints {
            entry: EntryId(Uuid::from_u128(0xa_0000 + u128::from(number))),
            source: EarnSource::Api(Digest(u128::from(number).to_be_bytes())),
            ..earn(1, 1)
        };
        let parts = absorbing_in_parts((0..20_000).map(|number| award(number).into()), ESTATE_PART_MAX);
        assert_eq!(parts.len(), 10);
        for part in &parts {
            assert!(serde_json::to_vec(part).unwrap().len() < 3 << 20);
        }
        let survivor = state_after(parts);
        assert_eq!((survivor.balances().available, survivor.lots().count()), (Points(20_000), 20_000));
        assert_eq!(survivor.decide(&award(19_999).into()), Ok(Vec::new()));
    }
}
