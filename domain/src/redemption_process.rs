//! A redemption from reservation to reward: reserve, request, issue, spend, complete; or release; or cancel and give
//! back, also when the order that used the code came to nothing.
//!
//! `RedemptionRequested` is the intent behind the outside call, so a crash at any step goes on where it stopped.
use event_schemas::{
    Code, CustomerId, Event, EventId, RedemptionId, Timestamp,
    catalogue::{LoyaltyOrderEvent, PointsAccountEvent, RedemptionEvent},
    loyalty_order::OrderCodeReturned,
    reward::Benefit,
};

use crate::{
    Effect, Reaction, StreamRef,
    planted::{self, Bug},
    points_account::{CommitRedemption, ExpiryRule, Grace, ReinstatePoints, ReleaseReservation},
    redemption::{CancelRedemption, CodeUse, CompleteRedemption, RecordCodeIssued, RequestRedemption},
};

pub(crate) fn react(id: EventId, stream: StreamRef, event: &Event) -> Vec<Reaction> {
    if let Event::LoyaltyOrder(LoyaltyOrderEvent::OrderCodeReturned(returned)) = event {
        return vec![of_order(returned)];
    }
    let Some(customer) = stream.subject() else { return Vec::new() };
    match event {
        Event::PointsAccount(event) => of_account(customer, event),
        Event::Redemption(event) => of_redemption(id, customer, RedemptionId(stream.id), event),
        _ => Vec::new(),
    }
}

fn of_order(returned: &OrderCodeReturned) -> Reaction {
    let cancel = CancelRedemption { reason: returned.reason.clone(), code: CodeUse::Returned };
    Reaction::command(
        "cancel-redemption",
        StreamRef::redemption(returned.redemption, returned.customer),
        cancel,
    )
}

fn of_account(customer: CustomerId, event: &PointsAccountEvent) -> Vec<Reaction> {
    match event {
        PointsAccountEvent::PointsReserved(reserved) => vec![Reaction::command(
            "request-redemption",
            StreamRef::redemption(reserved.redemption, customer),
            RequestRedemption {
                customer,
                points: reserved.points,
                discount: reserved.discount,
                reward: reserved.reward,
                pos: reserved.pos,
            },
        )],
        _ => Vec::new(),
    }
}

fn of_redemption(
    id: EventId,
    customer: CustomerId,
    redemption: RedemptionId,
    event: &RedemptionEvent,
) -> Vec<Reaction> {
    let own = StreamRef::redemption(redemption, customer);
    // Also where no code is known: the call that should have made it may have been answered by nobody.
    let void = Reaction { step: "void-code", effect: Effect::VoidCode { redemption, customer } };
    let released = |reason| {
        // The sender fills in when, and how long the points live on at least.
        let release = ReleaseReservation { redemption, reason, at: Timestamp::EPOCH, grace: Grace::none() };
        vec![void.clone(), Reaction::to_account("release-reservation", customer, release)]
    };
    match event {
        RedemptionEvent::RedemptionRequested(requested) if requested.pos.is_some() => {
            // The till gave the discount already: there is no code, and the till stands for the issuer.
            let given = RecordCodeIssued { code: None, issuer: Code::fixed("pos") };
            vec![Reaction::command("record-given", own, given)]
        }
        RedemptionEvent::RedemptionRequested(requested) => {
            let benefit = match requested.reward {
                Some(reward) => reward.benefit,
                None => Benefit::FixedDiscount { amount: requested.discount },
            };
            vec![Reaction { step: "issue-code", effect: Effect::IssueCode { redemption, customer, benefit } }]
        }
        RedemptionEvent::DiscountCodeIssued(_) => {
            let commit = CommitRedemption { redemption, entry: id.entry("commit-redemption") };
            vec![
                Reaction::to_account("commit-redemption", customer, commit),
                Reaction::command("complete-redemption", own, CompleteRedemption {}),
            ]
        }
        RedemptionEvent::RedemptionFailed(_) | RedemptionEvent::RedemptionExpired(_)
            if planted::is(Bug::FailureReleasesNothing) =>
        {
            Vec::new()
        }
        RedemptionEvent::RedemptionFailed(failed) => released(failed.reason.clone()),
        RedemptionEvent::RedemptionExpired(_) => released(Code::fixed("reservation-timed-out")),
        RedemptionEvent::RedemptionCancelled(cancelled) => {
            let reason = cancelled.reason.clone();
            let entry = id.entry("reinstate-points");
            let (at, expiry) = (Timestamp::EPOCH, ExpiryRule::none());
            let reinstate = ReinstatePoints { redemption, entry, reason, at, grace: Grace::none(), expiry };
            vec![void, Reaction::to_account("reinstate-points", customer, reinstate)]
        }
        RedemptionEvent::RedemptionCompleted(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Code, RecordId,
        payload::Payload,
        points_account::{PointsReserved, PosEntry},
        redemption::{
            DiscountCodeIssued, RedemptionCancelled, RedemptionExpired, RedemptionFailed, RedemptionRequested,
        },
        reward::RewardUsed,
        sample::{CUSTOMER, DEVICE, ENTRY, ORDER, REDEMPTION, REWARD, points, usd},
    };

    use super::*;

    const ID: EventId = EventId { record: RecordId(ENTRY.0), index: 0 };
    const REWARD_STREAM: StreamRef = StreamRef::redemption(REDEMPTION, CUSTOMER);
    const ACCOUNT: StreamRef = StreamRef::account(CUSTOMER);

    fn on_account(event: impl Into<PointsAccountEvent>) -> Vec<Reaction> {
        react(ID, ACCOUNT, &event.into().into())
    }

    fn on_redemption(event: impl Into<RedemptionEvent>) -> Vec<Reaction> {
        react(ID, REWARD_STREAM, &event.into().into())
    }

    fn till() -> Option<PosEntry> {
        Some(PosEntry { device: DEVICE, sequence: 4 })
    }

    #[test]
    fn a_reservation_requests_its_reward() {
        for pos in [None, till()] {
            let request = RequestRedemption {
                customer: CUSTOMER,
                points: points(40),
                discount: usd(40),
                reward: None,
                pos,
            };
            assert_eq!(
                on_account(PointsReserved { pos, ..PointsReserved::sample() }),
                [Reaction::command("request-redemption", REWARD_STREAM, request)]
            );
        }
    }

    #[test]
    fn a_request_issues_a_code_named_after_the_redemption_for_what_the_reward_gives() {
        let used = |benefit| Some(RewardUsed { reward: REWARD, version: 2, benefit });
        let fixed = Benefit::FixedDiscount { amount: usd(40) };
        for (reward, expected) in [
            (None, fixed),
            (used(Benefit::Percentage { percent: 15 }), Benefit::Percentage { percent: 15 }),
            (used(Benefit::FreeShipping), Benefit::FreeShipping),
        ] {
            let requested = RedemptionRequested { reward, ..RedemptionRequested::sample() };
            let issue = Effect::IssueCode { redemption: REDEMPTION, customer: CUSTOMER, benefit: expected };
            assert_eq!(on_redemption(requested), [Reaction { step: "issue-code", effect: issue }]);
        }
    }

    #[test]
    fn a_discount_that_a_till_gave_gets_no_code() {
        let requested = RedemptionRequested { pos: till(), ..RedemptionRequested::sample() };
        let given = RecordCodeIssued { code: None, issuer: Code::fixed("pos") };
        assert_eq!(on_redemption(requested), [Reaction::command("record-given", REWARD_STREAM, given)]);
    }

    #[test]
    fn an_issued_code_spends_the_points_and_then_completes_the_redemption() {
        let commit = CommitRedemption { redemption: REDEMPTION, entry: ID.entry("commit-redemption") };
        assert_eq!(
            on_redemption(DiscountCodeIssued::sample()),
            [
                Reaction::to_account("commit-redemption", CUSTOMER, commit),
                Reaction::command("complete-redemption", REWARD_STREAM, CompleteRedemption {}),
            ]
        );
    }

    /// Whoever ordered: the redemption is its redeemer's. No tail is held up by what the order's account waits for.
    #[test]
    fn a_code_that_an_order_returned_cancels_its_redemption() {
        let returned = OrderCodeReturned { customer: CUSTOMER, ..OrderCodeReturned::sample() };
        let event = LoyaltyOrderEvent::from(returned).into();
        let cancel = CancelRedemption { reason: Code::fixed("order-cancelled"), code: CodeUse::Returned };
        assert_eq!(
            react(ID, StreamRef::order(ORDER), &event),
            [Reaction::command("cancel-redemption", REWARD_STREAM, cancel)]
        );
    }

    /// The release must come last: a code that stays good would be one without a reservation.
    #[test]
    fn a_code_is_void_before_its_points_come_back() {
        let steps = |reactions: Vec<Reaction>| reactions.iter().map(|one| one.step).collect::<Vec<_>>();
        let failed = on_redemption(RedemptionFailed { reason: Code::fixed("code-taken") });
        assert_eq!(steps(failed), ["void-code", "release-reservation"]);
        assert_eq!(steps(on_redemption(RedemptionExpired {})), ["void-code", "release-reservation"]);
        let cancelled = on_redemption(RedemptionCancelled::sample());
        assert_eq!(steps(cancelled), ["void-code", "reinstate-points"]);
    }
}
