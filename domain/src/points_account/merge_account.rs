//! An account ends because its customer turned out to be another one: everything of it lives on there.
use event_schemas::{
    CustomerId, EntryId, Points,
    points_account::{EstatePartMoved, PointsAccountMerged},
};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, State, estate::Worth};
use crate::Rejection;

/// Ends the account in favour of another one: at once if its estate is one part, and else begins to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeAccount {
    /// Whose account this is.
    pub customer: CustomerId,
    /// Whose account goes on.
    pub into: CustomerId,
    /// The entry.
    pub entry: EntryId,
    /// How much a part holds at most, as [`ESTATE_PART_MAX`](super::ESTATE_PART_MAX) counts it.
    pub part_max: u32,
}

pub(super) fn decide(state: &State, command: &MergeAccount) -> Result<Vec<Event>, Rejection> {
    if state.merged_into() == Some(command.into) {
        return Ok(Vec::new());
    }
    if command.customer == command.into {
        return Err(Rejection::MergeToSelf);
    }
    leave(state, command.into, command.entry, command.part_max)
}

/// Leaves the next part of the estate; the account ends with the last one.
pub(super) fn leave(
    state: &State,
    into: CustomerId,
    entry: EntryId,
    part_max: u32,
) -> Result<Vec<Event>, Rejection> {
    let (estate, is_last) = state.next_part(part_max);
    let mut draft = Draft::of(state);
    if !is_last {
        let part = state.leaving.map_or(0, |leaving| leaving.part).saturating_add(1);
        part_leaves(&mut draft, &Worth::of(&estate)?, estate.debt)?;
        let after = draft.after;
        return Ok(draft.with(EstatePartMoved { entry, into, part, estate, after }));
    }
    let all = &mut draft.after;
    let gone = all.available.plus(all.pending)?.plus(all.reserved)?.minus(all.debt)?;
    all.lifetime_transferred = all.lifetime_transferred.minus(gone)?;
    for bucket in
        [&mut all.available, &mut all.pending, &mut all.reserved, &mut all.in_transit, &mut all.debt]
    {
        *bucket = Points::ZERO;
    }
    let after = draft.after;
    Ok(draft.with(PointsAccountMerged { entry, into, estate, after }))
}

fn part_leaves(draft: &mut Draft<'_>, worth: &Worth, debt: Points) -> Result<(), Rejection> {
    let all = &mut draft.after;
    for (bucket, points) in [
        (&mut all.available, worth.available),
        (&mut all.pending, worth.pending),
        (&mut all.reserved, worth.reserved),
        (&mut all.in_transit, worth.in_transit),
        (&mut all.debt, debt),
        (&mut all.lifetime_transferred, worth.net),
    ] {
        *bucket = bucket.minus(points)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::{
        Command,
        specs::{
            adjust, commit, complete, customer, earn, freeze, merge, merged_into, release, reserve,
            return_transfer, settle, state_after, transfer_out, when_after,
        },
    };

    fn rich() -> Vec<Command> {
        vec![
            earn(1, 10).into(),
            settle(1, 1, 5).into(),
            reserve(1, 4).into(),
            transfer_out(1, 2).into(),
            merge(),
        ]
    }

    #[test]
    fn a_merged_account_has_nothing_left() {
        let account = state_after(rich());
        let all = account.balances();
        let left = [all.available, all.pending, all.reserved, all.in_transit, all.debt];
        assert_eq!(left, [Points(0); 5]);
        assert_eq!((all.lifetime_earned, all.lifetime_transferred), (Points(15), Points(-15)));
        assert_eq!(account.lots().count(), 0);
    }

    #[test]
    fn a_merged_account_points_to_the_one_that_goes_on() {
        let moved = || Rejection::AccountMerged { into: merged_into() };
        for asked in [
            Command::from(earn(2, 1)),
            settle(1, 2, 0).into(),
            commit(1).into(),
            release(1).into(),
            adjust(1, 1).into(),
            freeze(),
        ] {
            when_after(rich(), asked).then_rejected(moved());
        }
    }

    /// Catches: a repeat that is sent on and awarded again.
    #[test]
    fn a_merged_account_answers_for_what_it_honoured() {
        when_after(rich(), earn(1, 10)).then_unchanged();
        when_after(rich(), reserve(1, 4)).then_unchanged();
        when_after(rich(), transfer_out(1, 2)).then_unchanged();
        when_after(rich(), merge()).then_unchanged();
        when_after(rich(), earn(1, 11)).then_rejected(Rejection::SourceConflict);
    }

    /// Catches: a transfer whose end is told again, sent on to an account that never heard of it.
    #[test]
    fn a_merged_account_answers_for_the_transfers_that_ended_on_it() {
        let ended = |end: Command| vec![earn(1, 10).into(), transfer_out(1, 2).into(), end, merge()];
        when_after(ended(complete(1).into()), complete(1)).then_unchanged();
        when_after(ended(return_transfer(1).into()), return_transfer(1)).then_unchanged();
        when_after(ended(complete(1).into()), return_transfer(1)).then_rejected(Rejection::TransferEnded);
        when_after(rich(), complete(1)).then_rejected(Rejection::AccountMerged { into: merged_into() });
    }

    #[test]
    fn an_account_is_not_merged_into_itself() {
        let entry = earn(9, 1).entry;
        let own = MergeAccount { customer: customer(), into: customer(), entry, part_max: 1 };
        when_after([earn(1, 10)], own).then_rejected(Rejection::MergeToSelf);
    }
}
