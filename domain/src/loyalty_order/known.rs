//! What all that was seen of an order says together, in whatever order it came: how far it is, and since when.
use event_schemas::{
    Timestamp,
    loyalty_order::{OrderObserved, OrderStage, TransactionKind},
};
use serde::{Deserialize, Serialize};

use super::State;

/// What the order's states said of time, newer and older ones alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Course {
    unpaid_from: Option<Timestamp>,
    paid_from: Option<Timestamp>,
    fulfilled_at: Option<Timestamp>,
    /// The latest time at which it was not fulfilled.
    #[serde(default)]
    unfulfilled_at: Option<Timestamp>,
}

impl Course {
    pub(super) fn take_in(&mut self, seen: &OrderObserved) {
        match seen.stage {
            OrderStage::Unpaid => lower(&mut self.unpaid_from, Some(seen.updated_at)),
            OrderStage::Paid | OrderStage::Refunded => lower(&mut self.paid_from, Some(seen.updated_at)),
            OrderStage::Voided | OrderStage::Cancelled => {}
        }
        lower(&mut self.fulfilled_at, seen.fulfilled_at);
        if seen.fulfilled_at.is_none() {
            self.unfulfilled_at = self.unfulfilled_at.max(Some(seen.updated_at));
        }
    }
}

fn lower(known: &mut Option<Timestamp>, other: Option<Timestamp>) {
    *known = known.iter().copied().chain(other).min();
}

impl State {
    /// How far the order is: its newest state says it, unless a transaction is newer than that.
    pub(super) fn stage(&self, seen: &OrderObserved) -> OrderStage {
        let newer = |at: Timestamp| at >= seen.updated_at;
        let voided = |kind: TransactionKind| kind == TransactionKind::Void;
        match seen.stage {
            OrderStage::Unpaid if self.paid_up_at(seen).is_some_and(newer) => OrderStage::Paid,
            OrderStage::Unpaid if self.transactions.values().any(|one| voided(one.kind) && newer(one.at)) => {
                OrderStage::Voided
            }
            stage => stage,
        }
    }

    /// When the order was paid: by its transactions if they cover it, else by what its states say of it.
    ///
    /// `paid_at` of a state is when the order was placed. An order that was seen unpaid after that was paid later: then
    /// it is the first state that was paid.
    pub(super) fn paid_at(&self, seen: &OrderObserved) -> Timestamp {
        let Course { unpaid_from, paid_from, .. } = self.course;
        let stated = seen.paid_at.unwrap_or(seen.updated_at);
        let paid_late = matches!((unpaid_from, paid_from), (Some(unpaid), Some(paid)) if unpaid < paid);
        let by_states = if paid_late { stated.max(paid_from.unwrap_or(stated)) } else { stated };
        self.paid_up_at(seen).unwrap_or(by_states)
    }

    /// When the last of it was fulfilled, if its newest state says that it is: the first time that is told, unless that
    /// was taken back since.
    pub(super) fn fulfilled_at(&self, seen: &OrderObserved) -> Option<Timestamp> {
        let newest = seen.fulfilled_at?;
        let first = self.course.fulfilled_at.unwrap_or(newest);
        let taken_back = self.course.unfulfilled_at.is_some_and(|since| since > first);
        Some(if taken_back { newest } else { first })
    }

    /// When the payments that are known came to the order's total.
    fn paid_up_at(&self, seen: &OrderObserved) -> Option<Timestamp> {
        let mut payments: Vec<_> = self
            .transactions
            .values()
            .filter(|one| one.kind == TransactionKind::Payment && one.amount.currency == seen.total.currency)
            .map(|one| (one.at, one.amount.minor))
            .collect();
        payments.sort_unstable();
        let mut open = i128::from(seen.total.minor);
        payments.into_iter().find_map(|(at, minor)| {
            open -= i128::from(minor);
            (open <= 0).then_some(at)
        })
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Code, Money, Timestamp,
        loyalty_order::{EarnRule, OrderStatus},
        merchant::{Pending, PendingPolicy},
        points_account::Release,
        sample::usd,
    };

    use super::*;
    use crate::loyalty_order::{
        Command, ObserveOrder, RecordTransaction,
        specs::{at, order, rule, standing, state_after, transaction, when},
    };

    const DAY: i64 = 86_400;

    fn waiting(policy: PendingPolicy, days: u32, command: ObserveOrder) -> ObserveOrder {
        let pending = Pending { policy, days };
        ObserveOrder { rule: EarnRule { pending, ..rule() }, ..command }
    }

    fn release(commands: impl IntoIterator<Item = Command>) -> Option<Release> {
        state_after(commands).assessment().unwrap().release
    }

    fn unpaid(seconds: i64) -> ObserveOrder {
        ObserveOrder { stage: OrderStage::Unpaid, paid_at: None, ..order(seconds, 5493) }
    }

    /// All orders of arrival of three messages.
    fn all_orders(messages: &[Command; 3]) -> Vec<[Command; 3]> {
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
            .map(|places| places.map(|place: usize| messages[place].clone()))
            .to_vec()
    }

    #[test]
    fn immediate_points_wait_for_nothing() {
        assert_eq!(release([order(1, 5493).into()]), None);
    }

    #[test]
    fn days_after_paid_count_from_the_payment() {
        let paid = waiting(
            PendingPolicy::DaysAfterPaid,
            14,
            ObserveOrder { paid_at: Some(at(7)), ..order(9, 5493) },
        );
        assert_eq!(release([paid.into()]), Some(Release::At(at(7 + 14 * DAY))));
    }

    #[test]
    fn an_order_that_was_seen_unpaid_was_paid_with_its_first_paid_state() {
        let policy = |command| Command::from(waiting(PendingPolicy::DaysAfterPaid, 1, command));
        let messages = [policy(unpaid(10)), policy(order(20, 5493)), policy(order(30, 5493))];
        for messages in all_orders(&messages) {
            assert_eq!(release(messages), Some(Release::At(at(20 + DAY))));
        }
    }

    #[test]
    fn a_transaction_says_exactly_when_it_was_paid() {
        let policy = |command| Command::from(waiting(PendingPolicy::DaysAfterPaid, 1, command));
        let payment = transaction(1, TransactionKind::Payment, 5493, 15);
        for messages in all_orders(&[policy(unpaid(10)), policy(order(20, 5493)), payment.into()]) {
            assert_eq!(release(messages), Some(Release::At(at(15 + DAY))));
        }
    }

    #[test]
    fn fulfilled_orders_are_released_with_the_fulfilment_and_partly_fulfilled_ones_wait() {
        let policy = |command| Command::from(waiting(PendingPolicy::OnFulfilled, 0, command));
        assert_eq!(release([policy(order(1, 5493))]), Some(Release::AwaitingFulfilment));
        let fulfilled = |seconds| ObserveOrder { fulfilled_at: Some(at(seconds)), ..order(seconds, 5493) };
        for messages in all_orders(&[policy(order(1, 5493)), policy(fulfilled(20)), policy(fulfilled(30))]) {
            assert_eq!(release(messages), Some(Release::At(at(20))));
        }
    }

    #[test]
    fn days_after_fulfilment_count_from_the_fulfilment() {
        let fulfilled = ObserveOrder { fulfilled_at: Some(at(5)), ..order(9, 5493) };
        let fulfilled = waiting(PendingPolicy::DaysAfterFulfilled, 3, fulfilled);
        assert_eq!(release([fulfilled.into()]), Some(Release::At(at(5 + 3 * DAY))));
    }

    #[test]
    fn a_fulfilment_that_is_taken_back_makes_the_points_wait_again() {
        let policy = |command| Command::from(waiting(PendingPolicy::OnFulfilled, 0, command));
        let fulfilled = ObserveOrder { fulfilled_at: Some(at(5)), ..order(5, 5493) };
        assert_eq!(release([policy(fulfilled), policy(order(6, 5493))]), Some(Release::AwaitingFulfilment));
    }

    /// Catches: points that are free at once because the days of the first fulfilment are over.
    #[test]
    fn an_order_that_is_fulfilled_again_counts_its_days_from_then() {
        let policy = |command| Command::from(waiting(PendingPolicy::DaysAfterFulfilled, 3, command));
        let fulfilled = |seconds| ObserveOrder { fulfilled_at: Some(at(seconds)), ..order(seconds, 5493) };
        for messages in all_orders(&[policy(fulfilled(5)), policy(order(6, 5493)), policy(fulfilled(20))]) {
            assert_eq!(release(messages), Some(Release::At(at(20 + 3 * DAY))));
        }
    }

    #[test]
    fn the_waiting_is_frozen_with_the_rule() {
        let later = waiting(PendingPolicy::OnFulfilled, 0, order(2, 6000));
        assert_eq!(release([order(1, 5493).into(), later.into()]), None);
    }

    #[test]
    fn payments_that_cover_the_order_make_it_paid_whichever_comes_first() {
        let parts = |one, other| {
            [
                Command::from(unpaid(10)),
                transaction(1, TransactionKind::Payment, one, 11).into(),
                transaction(2, TransactionKind::Payment, other, 12).into(),
            ]
        };
        for messages in all_orders(&parts(5000, 493)) {
            assert_eq!(standing(&state_after(messages)), (OrderStatus::Qualified, None, 54));
        }
        for messages in all_orders(&parts(5000, 492)) {
            let unpaid = Some(Code::fixed("unpaid").to_string());
            assert_eq!(standing(&state_after(messages)), (OrderStatus::Waiting, unpaid, 0));
        }
    }

    #[test]
    fn a_voided_authorisation_voids_an_order_that_nobody_paid() {
        let void = transaction(1, TransactionKind::Void, 5493, 12);
        let voided = Some("voided".to_owned());
        assert_eq!(
            standing(&state_after([Command::from(unpaid(10)), void.clone().into()])),
            (OrderStatus::Disqualified, voided, 0)
        );
        // The order was paid otherwise since, or had been paid already.
        for paid in [13, 5] {
            assert_eq!(standing(&state_after([Command::from(order(paid, 5493)), void.clone().into()])).2, 54);
        }
    }

    #[test]
    fn a_state_newer_than_a_transaction_knows_of_it() {
        let payment = transaction(1, TransactionKind::Payment, 5493, 9);
        let state = state_after([Command::from(unpaid(10)), payment.into()]);
        assert_eq!(standing(&state).0, OrderStatus::Waiting);
    }

    #[test]
    fn a_transaction_counts_once_and_with_other_content_is_a_conflict() {
        let payment = |minor| transaction(1, TransactionKind::Payment, minor, 12);
        let history = || [Command::from(unpaid(10)), payment(5493).into()];
        when(history(), payment(5493)).then_unchanged();
        when(history(), payment(5494)).then_rejected(crate::Rejection::SourceConflict);
    }

    #[test]
    fn a_transaction_before_its_order_waits_for_it() {
        let state = state_after([transaction(1, TransactionKind::Payment, 5493, 12)]);
        assert_eq!(standing(&state), (OrderStatus::Waiting, Some("order-unknown".to_owned()), 0));
        let foreign = RecordTransaction {
            amount: Money { currency: "JPY".parse().unwrap(), ..usd(5493) },
            ..transaction(1, TransactionKind::Payment, 5493, 12)
        };
        assert_eq!(
            standing(&state_after([Command::from(foreign), unpaid(10).into()])).0,
            OrderStatus::Waiting
        );
        assert!(Timestamp::EPOCH < at(1));
    }
}
