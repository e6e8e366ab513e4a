//! An account is opened, with what signing up earns. Points that come first open it too.
use serde::{Deserialize, Serialize};

use super::{Draft, Event, RecordAction, State, record_action};
use crate::Rejection;

/// Opens the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenAccount {
    /// What signing up earns, if it does: in the same record, so that it is never awarded to those who came before.
    pub sign_up: Option<RecordAction>,
}

pub(super) fn decide(state: &State, command: &OpenAccount) -> Result<Vec<Event>, Rejection> {
    let mut draft = Draft::of(state);
    if let Some(action) = &command.sign_up
        && state.honoured(&record_action::key(action)).is_none()
        && state.not_frozen().is_ok()
    {
        match draft.record_action(action) {
            Ok(()) | Err(Rejection::ActionNotConfigured | Rejection::ActionLimitReached { .. }) => {}
            Err(rejection) => return Err(rejection),
        }
    }
    Ok(draft.events())
}

#[cfg(test)]
mod tests {
    use event_schemas::{Points, points_account::PointsAccountOpened};

    use super::*;
    use crate::points_account::{
        Command,
        specs::{action, earn, open, state_after, when_after},
    };
    use crate::testing::given;

    fn signing_up() -> OpenAccount {
        OpenAccount { sign_up: Some(action(1, "lifetime")) }
    }

    #[test]
    fn an_account_opens_once() {
        given::<State>([]).when(open()).then([PointsAccountOpened {}.into()]);
        given::<State>([PointsAccountOpened {}.into()]).when(open()).then_unchanged();
    }

    #[test]
    fn signing_up_earns_once_even_if_points_opened_the_account() {
        assert_eq!(state_after([signing_up()]).balances().available, Points(5));
        when_after([signing_up()], signing_up()).then_unchanged();
        let after = state_after::<Command>([earn(1, 10).into(), signing_up().into()]).balances();
        assert_eq!(after.available, Points(15));
    }

    #[test]
    fn a_sign_up_that_earns_nothing_opens_the_account_all_the_same() {
        let nothing = RecordAction { points: Points(0), ..action(1, "lifetime") };
        given::<State>([]).when(OpenAccount { sign_up: Some(nothing) }).then([PointsAccountOpened {}.into()]);
    }
}
