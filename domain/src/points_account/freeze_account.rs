//! Staff stop an account for what people and programs ask of it. What must be settled goes on.
use event_schemas::{Code, Personal, points_account::PointsAccountFrozen};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, State};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Freezes the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FreezeAccount {
    /// Why.
    pub reason: Code,
    /// What only staff may read.
    #[serde(with = "event_schemas::personal::transit")]
    pub note: Option<Personal<String>>,
}

pub(super) fn decide(state: &State, command: &FreezeAccount) -> Result<Vec<Event>, Rejection> {
    if state.frozen() {
        return Ok(Vec::new());
    }
    let (reason, note) = (command.reason.clone(), command.note.clone());
    Ok(Draft::of(state).with(PointsAccountFrozen { reason, note }))
}

impl State {
    pub(super) fn not_frozen(&self) -> Result<(), Rejection> {
        let refuses = self.frozen() && !planted::is(Bug::FrozenAccountGoesOn);
        if refuses { Err(Rejection::AccountFrozen) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::Points;

    use super::*;
    use crate::points_account::{
        Command,
        specs::{
            action, adjust, commit, earn, expire, freeze, reserve, settle, state_after, transfer_in,
            transfer_out, unfreeze, when_after,
        },
    };

    #[test]
    fn a_frozen_account_refuses_what_people_and_programs_ask() {
        for asked in [
            Command::from(earn(2, 1)),
            reserve(1, 1).into(),
            action(1, "2026").into(),
            transfer_out(1, 1).into(),
            transfer_in(1, 1).into(),
        ] {
            let name = asked.name();
            let history = [Command::from(earn(1, 10)), freeze()];
            let refused = crate::Decider::decide(&state_after(history), &asked);
            assert_eq!(refused, Err(Rejection::AccountFrozen), "{name}");
        }
    }

    #[test]
    fn a_frozen_account_settles_what_must_be_settled() {
        let history = [Command::from(earn(1, 10)), reserve(1, 4).into(), freeze()];
        let goes_on = [commit(1).into(), settle(1, 1, 5).into(), adjust(1, 3).into(), expire(1).into()];
        let after = state_after(history.into_iter().chain(goes_on)).balances();
        assert_eq!((after.available, after.lifetime_redeemed), (Points(14), Points(4)));
    }

    #[test]
    fn an_account_freezes_and_goes_on_once() {
        when_after([Command::from(earn(1, 10)), freeze()], freeze()).then_unchanged();
        when_after([Command::from(earn(1, 10))], unfreeze()).then_unchanged();
        let history = [Command::from(earn(1, 10)), freeze(), unfreeze()];
        assert_eq!(when_after(history, reserve(1, 1)).events().len(), 1);
    }
}
