//! A redemption from reservation to reward: reserve, request, issue, spend, complete; or release; or cancel and give back.
//!
//! `RedemptionRequested` is the intent behind the outside call, so a crash at any step goes on where it stopped.
use event_schemas::{
    CustomerId, Event, EventId, RedemptionId,
    catalogue::{PointsAccountEvent, RedemptionEvent},
};

use crate::{
    Effect, Reaction, StreamRef,
    points_account::{CommitRedemption, ReinstatePoints, ReleaseReservation},
    redemption::{CompleteRedemption, RequestRedemption},
};

pub(crate) fn react(id: EventId, stream: StreamRef, event: &Event) -> Vec<Reaction> {
    let Some(customer) = stream.subject() else { return Vec::new() };
    match event {
        Event::PointsAccount(event) => of_account(customer, event),
        Event::Redemption(event) => of_redemption(id, customer, RedemptionId(stream.id), event),
        _ => Vec::new(),
    }
}

fn of_account(customer: CustomerId, event: &PointsAccountEvent) -> Vec<Reaction> {
    match event {
        PointsAccountEvent::PointsReserved(reserved) => vec![Reaction::command(
            "request-redemption",
            StreamRef::redemption(reserved.redemption, customer),
            RequestRedemption { customer, points: reserved.points, discount: reserved.discount },
        )],
        PointsAccountEvent::PointsRedeemed(redeemed) => vec![Reaction::command(
            "complete-redemption",
            StreamRef::redemption(redeemed.redemption, customer),
            CompleteRedemption {},
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
    let account = StreamRef::account(customer);
    match event {
        RedemptionEvent::RedemptionRequested(requested) => vec![Reaction {
            step: "issue-code",
            effect: Effect::IssueCode {
                redemption,
                customer,
                points: requested.points,
                discount: requested.discount,
            },
        }],
        RedemptionEvent::DiscountCodeIssued(_) => {
            let commit = CommitRedemption { redemption, entry: id.entry("commit-redemption") };
            vec![Reaction::command("commit-redemption", account, commit)]
        }
        RedemptionEvent::RedemptionFailed(failed) => {
            let release = ReleaseReservation { redemption, reason: failed.reason.clone() };
            vec![Reaction::command("release-reservation", account, release)]
        }
        RedemptionEvent::RedemptionCancelled(_) => {
            let reinstate = ReinstatePoints { redemption, entry: id.entry("reinstate-points") };
            vec![
                Reaction { step: "void-code", effect: Effect::VoidCode { redemption, customer } },
                Reaction::command("reinstate-points", account, reinstate),
            ]
        }
        RedemptionEvent::RedemptionCompleted(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Code, RecordId,
        payload::Payload,
        points_account::{PointsRedeemed, PointsReserved},
        redemption::{DiscountCodeIssued, RedemptionCancelled, RedemptionFailed, RedemptionRequested},
        sample::{CUSTOMER, ENTRY, REDEMPTION, points, usd},
    };

    use super::*;

    const ID: EventId = EventId { record: RecordId(ENTRY.0), index: 0 };
    const REWARD: StreamRef = StreamRef::redemption(REDEMPTION, CUSTOMER);
    const ACCOUNT: StreamRef = StreamRef::account(CUSTOMER);

    fn on_account(event: impl Into<PointsAccountEvent>) -> Vec<Reaction> {
        react(ID, ACCOUNT, &event.into().into())
    }

    fn on_redemption(event: impl Into<RedemptionEvent>) -> Vec<Reaction> {
        react(ID, REWARD, &event.into().into())
    }

    #[test]
    fn a_reservation_requests_its_reward() {
        let request = RequestRedemption { customer: CUSTOMER, points: points(40), discount: usd(40) };
        assert_eq!(
            on_account(PointsReserved::sample()),
            [Reaction::command("request-redemption", REWARD, request)]
        );
    }

    #[test]
    fn a_request_issues_a_code_named_after_the_redemption() {
        let all = on_redemption(RedemptionRequested::sample());
        let [Reaction { effect: Effect::IssueCode { redemption, customer, .. }, .. }] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!((*redemption, *customer), (REDEMPTION, CUSTOMER));
    }

    #[test]
    fn an_issued_code_spends_the_points_and_spent_points_complete_it() {
        let commit = CommitRedemption { redemption: REDEMPTION, entry: ID.entry("commit-redemption") };
        assert_eq!(
            on_redemption(DiscountCodeIssued::sample()),
            [Reaction::command("commit-redemption", ACCOUNT, commit)]
        );
        assert_eq!(
            on_account(PointsRedeemed::sample()),
            [Reaction::command("complete-redemption", REWARD, CompleteRedemption {})]
        );
    }

    #[test]
    fn a_failure_releases_the_reservation_with_its_reason() {
        let reason = Code::fixed("code-not-issued");
        let release = ReleaseReservation { redemption: REDEMPTION, reason: reason.clone() };
        assert_eq!(
            on_redemption(RedemptionFailed { reason }),
            [Reaction::command("release-reservation", ACCOUNT, release)]
        );
    }

    #[test]
    fn a_cancellation_voids_the_code_before_the_points_come_back() {
        let steps: Vec<_> =
            on_redemption(RedemptionCancelled::sample()).iter().map(|reaction| reaction.step).collect();
        assert_eq!(steps, ["void-code", "reinstate-points"]);
    }
}
