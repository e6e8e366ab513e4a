//! Pending points become active once their time has come.
use event_schemas::{Timestamp, points_account::Release};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, ExpiryRule, RELEASES_MAX, State, draft::derived};
use crate::Rejection;

/// Makes pending points active whose time has come, of so many lots as one record says; asked again, the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleasePendingPoints {
    /// The time up to which.
    pub as_of: Timestamp,
    /// The setting that ends points.
    pub expiry: ExpiryRule,
}

pub(super) fn decide(state: &State, command: &ReleasePendingPoints) -> Result<Vec<Event>, Rejection> {
    let mut draft = Draft::in_parts(state);
    let due = |release| matches!(release, Some(Release::At(time)) if time <= command.as_of);
    let mut any = false;
    let over = state.lots.scheduled().take_while(|(_, lot)| due(lot.release));
    for (place, lot) in over.take(RELEASES_MAX) {
        if !any {
            let ended = derived(lot.entry, "expire-at-release");
            draft.expire_inactive(ended, command.as_of, &command.expiry)?;
            if draft.is_full() {
                return Ok(draft.events());
            }
        }
        draft.release(place, lot, command.as_of, &command.expiry)?;
        any = true;
    }
    Ok(if any { draft.events() } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use event_schemas::Points;

    use super::*;
    use crate::points_account::{
        Command, EarnPoints, SettleOrder,
        specs::{at, earn, per_lot, release_pending, settle, spend, state_after, when_after},
    };

    fn waiting(day: i64) -> EarnPoints {
        EarnPoints { release: Some(Release::At(at(day))), ..earn(1, 10) }
    }

    /// Catches: a release a moment early, or twice.
    #[test]
    fn points_are_released_when_their_time_has_come_and_once() {
        when_after([waiting(5)], release_pending(4)).then_unchanged();
        let after = state_after::<Command>([waiting(5).into(), release_pending(5).into()]).balances();
        assert_eq!((after.pending, after.available), (Points(0), Points(10)));
        when_after::<Command>([waiting(5).into(), release_pending(5).into()], release_pending(6))
            .then_unchanged();
    }

    /// Catches: a job that comes late and lets points live longer.
    #[test]
    fn the_date_counts_from_the_day_on_which_the_points_were_due() {
        let released = |day| {
            let command = ReleasePendingPoints { expiry: per_lot(1), ..release_pending(day) };
            state_after::<Command>([waiting(5).into(), command.into()]).lots().next().unwrap().expires_at
        };
        assert_eq!(released(5), released(20));
    }

    #[test]
    fn released_points_repay_debt_first() {
        let debt = [spend(1, 10), settle(2, 2, 0).into(), release_pending(5).into()];
        let history = [settle(2, 1, 10).into(), waiting(5).into()];
        let after = state_after::<Command>(history.into_iter().chain(debt)).balances();
        assert_eq!((after.pending, after.available, after.debt), (Points(0), Points(0), Points(0)));
    }

    #[test]
    fn what_waits_for_the_fulfilment_is_not_released_by_time() {
        let order = SettleOrder { release: Some(Release::AwaitingFulfilment), ..settle(1, 1, 10) };
        when_after([order], release_pending(9999)).then_unchanged();
    }
}
