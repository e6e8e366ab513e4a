//! The account's customer is erased: nobody asks anything of it any more, and its points stay until their time is over.
use event_schemas::{RequestId, points_account::PointsAccountRedacted};
use serde::{Deserialize, Serialize};

use super::{Command, Event, State};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Tells that the customer's key is destroyed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedactAccount {
    /// The request that asked for it; of two, the first.
    pub request: RequestId,
}

pub(super) fn decide(state: &State, command: &RedactAccount) -> Result<Vec<Event>, Rejection> {
    let news = (!state.redacted()).then(|| PointsAccountRedacted { request: command.request }.into());
    Ok(news.into_iter().collect())
}

/// Whether a command goes on after the erasure: time brings it, or what began before must come to its end.
pub(super) fn outlives_erasure(command: &Command) -> bool {
    match command {
        Command::ReleasePendingPoints(_) | Command::ExpirePoints(_) => !planted::is(Bug::ErasedPointsStay),
        Command::RedactAccount(_)
        | Command::WarnOfExpiry(_)
        | Command::CommitRedemption(_)
        | Command::ReleaseReservation(_)
        | Command::ReinstatePoints(_)
        | Command::CompleteTransfer(_)
        | Command::ReturnTransfer(_)
        // What two people were is decided at the people; one who was erased is merged no more.
        | Command::MergeAccount(_)
        | Command::MoveEstatePart(_)
        | Command::AbsorbAccount(_) => true,
        Command::OpenAccount(_)
        | Command::SettleOrder(_)
        | Command::EarnPoints(_)
        | Command::RecordAction(_)
        | Command::AdjustPoints(_)
        | Command::ReservePoints(_)
        | Command::ExtendPointsExpiry(_)
        | Command::TransferPointsOut(_)
        | Command::TransferPointsIn(_)
        | Command::FreezeAccount(_)
        | Command::UnfreezeAccount(_) => planted::is(Bug::ErasedAccountGoesOn),
    }
}

impl State {
    /// Digests and warnings are for what is asked, which nobody does any more; an estate takes them along before.
    pub(super) fn forget_what_was_asked(&mut self) {
        if self.redacted && self.leaving.is_none() {
            self.keys.clear();
            self.actions.clear();
            self.warned.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Points,
        points_account::{PointsAccountOpened, Release},
        sample::REQUEST,
    };

    use super::*;
    use crate::{
        points_account::{
            EarnPoints,
            specs::{
                absorbing, action, adjust, at, commit, complete, earn, expire, freeze, merge, merged_into,
                open, per_lot, reinstate, release, release_pending, reserve, return_transfer, settle,
                state_after, transfer_in, transfer_out, unfreeze, warn, when, when_after,
            },
        },
        testing::given,
    };

    const REDACT: RedactAccount = RedactAccount { request: REQUEST };

    fn after(history: impl IntoIterator<Item = Command>) -> Vec<Command> {
        history.into_iter().chain([REDACT.into()]).collect()
    }

    #[test]
    fn an_account_is_erased_once_opened_or_not() {
        let erased = || Event::from(PointsAccountRedacted { request: REQUEST });
        when(REDACT).then([erased()]);
        given::<State>([PointsAccountOpened {}.into()]).when(REDACT).then([erased()]);
        when_after(after([]), RedactAccount { request: RequestId(merged_into().0) }).then_unchanged();
        when_after(after([earn(1, 10).into(), merge()]), REDACT).then_unchanged();
        when_after([earn(1, 10).into(), merge()], REDACT).then([erased()]);
    }

    /// Catches: an award, a redemption or a change by staff after the erasure, also of what was honoured before.
    #[test]
    fn an_erased_account_refuses_whatever_is_asked_of_it() {
        for asked in [
            Command::from(open()),
            earn(1, 10).into(),
            earn(2, 1).into(),
            settle(1, 1, 5).into(),
            action(1, "2026").into(),
            adjust(1, 1).into(),
            reserve(1, 1).into(),
            transfer_out(1, 1).into(),
            transfer_in(2, 1).into(),
            freeze(),
            unfreeze(),
        ] {
            let name = asked.name();
            let refused = crate::Decider::decide(&state_after(after([earn(1, 10).into()])), &asked);
            assert_eq!(refused, Err(Rejection::AccountRedacted), "{name}");
        }
    }

    #[test]
    fn time_goes_on_for_the_points_of_an_erased_account() {
        let dated = EarnPoints { expiry: per_lot(1), ..earn(1, 10) };
        let waiting = EarnPoints { release: Some(Release::At(at(5))), ..earn(2, 7) };
        let history = || after([dated.clone().into(), waiting.clone().into()]);
        let over: Vec<Command> =
            history().into_iter().chain([release_pending(5).into(), expire(33).into()]).collect();
        let all = state_after(over).balances();
        assert_eq!((all.available, all.pending, all.lifetime_expired), (Points(7), Points(0), Points(10)));
        when_after(history(), warn(2)).then_unchanged();
    }

    #[test]
    fn what_began_before_the_erasure_comes_to_its_end() {
        let began = || {
            let sent = [transfer_out(1, 2).into(), transfer_out(2, 2).into()];
            let reserved = [reserve(1, 3).into(), reserve(2, 3).into()];
            after([Command::from(earn(1, 20))].into_iter().chain(sent).chain(reserved))
        };
        let ends: [Command; 5] = [
            complete(1).into(),
            return_transfer(2).into(),
            commit(1).into(),
            release(2).into(),
            reinstate(1).into(),
        ];
        let all = state_after(began().into_iter().chain(ends)).balances();
        let seen = (all.available, all.reserved, all.in_transit, all.lifetime_redeemed);
        assert_eq!(seen, (Points(18), Points(0), Points(0), Points(0)));
    }

    /// Catches: points of somebody who was merged into an erased person, lost on their way.
    #[test]
    fn an_estate_arrives_at_an_erased_account() {
        let arrived = after([]).into_iter().chain([absorbing([earn(1, 10).into()])]);
        let account = state_after(arrived);
        assert_eq!(account.balances().available, Points(10));
        assert_eq!(account.entry_for_source(&earn(1, 10).source), None);
    }

    /// Two people were merged before either was erased: their accounts follow, whoever is told first.
    #[test]
    fn an_erased_account_leaves_its_estate() {
        let all = state_after(after([earn(1, 10).into()]).into_iter().chain([merge()])).balances();
        assert_eq!((all.available, all.lifetime_transferred), (Points(0), Points(-10)));
    }

    #[test]
    fn an_erased_account_keeps_no_digest() {
        let account = state_after(after([earn(1, 10).into(), action(1, "2026").into()]));
        assert_eq!(account.entry_for_source(&earn(1, 10).source), None);
        let deed = action(1, "2026");
        assert_eq!(account.entry_for_action(&deed.action, &deed.source), None);
    }
}
