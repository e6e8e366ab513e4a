//! Pending points become active once their time has come; those of somebody who was erased that wait for a fulfilment end,
//! because nobody will tell of one any more.
use event_schemas::{
    Code, OrderId, Points, Timestamp,
    points_account::{PointsVoided, Release},
};
use serde::{Deserialize, Serialize};

use super::{
    Draft, Event, ExpiryRule, Level, RELEASES_MAX, Settled, State,
    draft::{derived, total},
    lots::{Lot, Place},
};
use crate::Rejection;

/// Why points of an erased account are voided.
pub const CUSTOMER_ERASED: &str = "customer-erased";

/// Makes pending points active whose time has come, of so many lots as one record says; asked again, the others. Of an
/// erased account it also voids those that wait for a fulfilment.
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
    let mut done = 0;
    let over = state.lots.scheduled().take_while(|(_, lot)| due(lot.release));
    for (place, lot) in over.take(RELEASES_MAX) {
        if done == 0 {
            let ended = derived(lot.entry, "expire-at-release");
            draft.expire_inactive(ended, command.as_of, &command.expiry)?;
            if draft.is_full() {
                return Ok(draft.events());
            }
        }
        draft.release(place, lot, command.as_of, &command.expiry)?;
        done += 1;
    }
    for forlorn in state.forlorn().take(RELEASES_MAX - done) {
        void(&mut draft, &forlorn)?;
        done += 1;
    }
    Ok(if done > 0 { draft.events() } else { Vec::new() })
}

/// Points of one component of an order that wait for what nobody will tell of.
struct Forlorn<'a> {
    order: OrderId,
    settled: &'a Settled,
    level: &'a Level,
    lots: Vec<(Place, &'a Lot)>,
}

/// An assessment of its own: the order is settled to less than before.
fn void(draft: &mut Draft<'_>, forlorn: &Forlorn<'_>) -> Result<(), Rejection> {
    let Forlorn { order, settled, level, lots } = forlorn;
    let Some((_, first)) = lots.first() else { return Ok(()) };
    let entry = derived(first.entry, "void-of-erased");
    let places: Vec<_> = lots.iter().map(|(place, _)| *place).collect();
    let all = lots.iter().try_fold(Points::ZERO, |sum, (_, lot)| sum.plus(lot.points))?;
    let allocations = draft.take_pending(all, &places);
    let points = total(&allocations)?;
    draft.after.pending = draft.after.pending.minus(points)?;
    draft.after.lifetime_voided = draft.after.lifetime_voided.plus(points)?;
    let after = draft.after;
    draft.push(PointsVoided {
        entry,
        order: *order,
        version: settled.version.saturating_add(1),
        rule: level.rule.code(),
        reason: Code::fixed(CUSTOMER_ERASED),
        allocations,
        points,
        reference: None,
        after,
    });
    Ok(())
}

impl State {
    /// Whether points of an erased account wait for what nobody will tell of.
    pub(super) fn is_forlorn(&self) -> bool {
        self.forlorn().next().is_some()
    }

    /// What waits for a fulfilment although the customer was erased. While an estate arrives in parts, nothing: the levels
    /// that its lots were granted by may be in another part.
    fn forlorn(&self) -> impl Iterator<Item = Forlorn<'_>> {
        let may_be = self.redacted
            && self.balances.pending.is_positive()
            && self.absorbed.values().all(Option::is_none);
        let orders = may_be.then(|| self.orders.iter()).into_iter().flatten();
        orders
            .flat_map(|(order, settled)| settled.levels().map(move |level| (*order, settled, level)))
            .filter_map(|(order, settled, level)| {
                let lots: Vec<_> = level
                    .places()
                    .into_iter()
                    .filter_map(|place| self.lots.get(place).map(|lot| (place, lot)))
                    .filter(|(_, lot)| lot.release == Some(Release::AwaitingFulfilment))
                    .collect();
                (!lots.is_empty()).then_some(Forlorn { order, settled, level, lots })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Decider as _, DueKind,
        points_account::{
            Command, EarnPoints, RedactAccount, SettleOrder,
            specs::{
                absorbing_in_parts, at, earn, per_lot, release_pending, settle, spend, state_after,
                when_after,
            },
        },
    };

    const REDACT: RedactAccount = RedactAccount { request: event_schemas::sample::REQUEST };

    fn awaiting(order: u128, target: i64) -> Command {
        SettleOrder { release: Some(Release::AwaitingFulfilment), ..settle(order, 1, target) }.into()
    }

    fn is_due(state: &State) -> bool {
        state.due().iter().any(|due| due.kind == DueKind::Release && due.at <= at(0))
    }

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

    /// Catches: points that stay pending for ever, because late deliveries of an erased person have no effect.
    #[test]
    fn what_waits_for_the_fulfilment_of_an_erased_persons_order_is_voided_at_once() {
        let history = [awaiting(1, 10), awaiting(2, 5), earn(1, 3).into(), REDACT.into()];
        let erased = state_after(history.clone());
        assert!(is_due(&erased) && erased.balances().pending == Points(15));
        let over = state_after(history.iter().cloned().chain([release_pending(0).into()]));
        let all = over.balances();
        let seen = (all.available, all.pending, all.lifetime_voided, all.lifetime_earned);
        assert_eq!(seen, (Points(3), Points(0), Points(15), Points(18)));
        let order = settle(1, 1, 10).order;
        assert_eq!(over.settled(order).map(|order| (order.granted(), order.clawed())), Some((10, 10)));
        assert!(!is_due(&over));
        when_after(history.into_iter().chain([release_pending(0).into()]), release_pending(1))
            .then_unchanged();
    }

    /// Catches: a lot that is voided before the part of the estate came that says what its order was granted.
    #[test]
    fn an_estate_that_waits_is_voided_once_all_of_it_arrived() {
        let left = [awaiting(1, 10), awaiting(2, 5)];
        let parts = absorbing_in_parts(left, 1);
        assert!(parts.len() > 1);
        let mut history: Vec<Command> = vec![REDACT.into()];
        for part in parts {
            let arrived = state_after(history.clone());
            assert!(!is_due(&arrived));
            when_after(history.clone(), release_pending(0)).then_unchanged();
            history.push(part);
        }
        assert!(is_due(&state_after(history.clone())));
        let all = state_after(history.into_iter().chain([release_pending(0).into()])).balances();
        assert_eq!((all.pending, all.lifetime_voided), (Points(0), Points(15)));
    }
}
