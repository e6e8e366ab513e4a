//! Law of the redemption: 15, over random commands and through the whole process.
use domain::{
    Aggregate, Command, Decider, Effect, StreamRef,
    points_account::{EarnPoints, EarnSource, ExpiryRule, ReservePoints},
    policies,
    redemption::{
        self, CancelRedemption, CompleteRedemption, ExpireRedemption, FailRedemption, RecordCodeIssued,
        RequestRedemption, State, Status,
    },
    testing::played,
};
use event_schemas::{
    Code, Digest, Event, EventId, Points, RecordId, StreamType, Timestamp,
    catalogue::RedemptionEvent,
    sample::{CUSTOMER, ENTRY, REDEMPTION, usd},
};
use proptest::prelude::*;
use uuid::Uuid;

fn command() -> impl Strategy<Value = redemption::Command> {
    prop_oneof![
        Just(
            RequestRedemption {
                customer: CUSTOMER,
                points: Points(40),
                discount: usd(40),
                reward: None,
                pos: None
            }
            .into()
        ),
        Just(RecordCodeIssued { code: None, issuer: Code::fixed("local") }.into()),
        Just(CompleteRedemption {}.into()),
        Just(ExpireRedemption {}.into()),
        Just(FailRedemption { reason: Code::fixed("code-not-issued") }.into()),
        Just(CancelRedemption { reason: Code::fixed("requested"), code_used: false }.into()),
    ]
}

/// An account and a redemption driven by the policies until nothing is left to do.
struct Process {
    account: Aggregate,
    redemption: Aggregate,
    codes_issued: u32,
    codes_voided: u32,
    issuer_works: bool,
    records: u128,
}

impl Process {
    fn new(issuer_works: bool) -> Self {
        Self {
            account: Aggregate::new(StreamType::PointsAccount),
            redemption: Aggregate::new(StreamType::Redemption),
            codes_issued: 0,
            codes_voided: 0,
            issuer_works,
            records: 0,
        }
    }

    fn send(&mut self, stream: StreamRef, command: &Command) {
        let aggregate = match stream.stream_type {
            StreamType::PointsAccount => &mut self.account,
            _ => &mut self.redemption,
        };
        let events = aggregate.decide(command).unwrap_or_default();
        for event in &events {
            aggregate.evolve(event).unwrap();
        }
        self.records += 1;
        let record = RecordId(Uuid::from_u128(self.records));
        for (index, event) in (0_u16..).zip(&events) {
            self.react(EventId { record, index }, stream, event);
        }
    }

    fn react(&mut self, id: EventId, stream: StreamRef, event: &Event) {
        for reaction in policies().iter().flat_map(|policy| (policy.react)(id, stream, event)) {
            match reaction.effect {
                Effect::Command { stream, command, .. } => self.send(stream, &command),
                Effect::IssueCode { redemption, customer, .. } => {
                    let to = StreamRef::redemption(redemption, customer);
                    if self.issuer_works {
                        self.codes_issued += 1;
                        self.send(to, &RecordCodeIssued { code: None, issuer: Code::fixed("local") }.into());
                    } else {
                        self.send(to, &FailRedemption { reason: Code::fixed("code-not-issued") }.into());
                    }
                }
                Effect::VoidCode { .. } => self.codes_voided += 1,
            }
        }
    }

    fn redeem(&mut self, earned: i64, points: i64) {
        let account = StreamRef::account(CUSTOMER);
        let earn = EarnPoints {
            entry: ENTRY,
            points: Points(earned),
            reason: Code::fixed("bonus"),
            source: EarnSource::Api(Digest([1; 16])),
            rule: None,
            release: None,
            at: Timestamp::EPOCH,
            expiry: ExpiryRule::none(),
            reference: None,
            content: Digest([1; 16]),
        };
        self.send(account, &earn.into());
        let reserve = ReservePoints {
            redemption: REDEMPTION,
            points: Points(points),
            discount: usd(points),
            rule_version: 1,
            reward: None,
            pos: None,
            at: Timestamp::EPOCH,
            expiry: ExpiryRule::none(),
        };
        self.send(account, &reserve.into());
    }

    fn balances(&self) -> (i64, i64, i64) {
        let Aggregate::PointsAccount(account) = &self.account else { unreachable!("it is an account") };
        let all = account.balances();
        (all.available.0, all.reserved.0, all.lifetime_redeemed.0)
    }

    fn status(&self) -> Option<Status> {
        let Aggregate::Redemption(redemption) = &self.redemption else { unreachable!("it is a redemption") };
        redemption.status()
    }
}

proptest! {
    #![proptest_config(crate::cases())]

    /// Catches: a second code that is recorded after the redemption completed.
    #[test]
    fn law_15_no_code_without_a_request_and_never_two(
        commands in prop::collection::vec(command(), 0..20),
    ) {
        let events = played::<State>(commands);
        let place = |wanted: fn(&RedemptionEvent) -> bool| events.iter().position(wanted);
        let codes = events.iter().filter(|event| matches!(event, RedemptionEvent::DiscountCodeIssued(_)));
        prop_assert!(codes.count() <= 1);
        if let Some(issued) = place(|event| matches!(event, RedemptionEvent::DiscountCodeIssued(_))) {
            let requested = place(|event| matches!(event, RedemptionEvent::RedemptionRequested(_)));
            prop_assert!(requested.is_some_and(|requested| requested < issued));
            let gave_up = |event: &RedemptionEvent| {
                matches!(event, RedemptionEvent::RedemptionFailed(_) | RedemptionEvent::RedemptionExpired(_))
            };
            prop_assert!(place(gave_up).is_none());
        }
    }

    /// Catches: a failure that releases nothing.
    #[test]
    fn a_redemption_ends_spent_with_a_code_or_released_without_one(
        earned in 1..100_i64,
        points in 1..100_i64,
        issuer_works in any::<bool>(),
    ) {
        let mut process = Process::new(issuer_works);
        process.redeem(earned, points);
        let expected = match (points <= earned, issuer_works) {
            (false, _) => (None, 0, (earned, 0, 0)),
            (true, false) => (Some(Status::Failed), 0, (earned, 0, 0)),
            (true, true) => (Some(Status::Completed), 1, (earned - points, 0, points)),
        };
        prop_assert_eq!((process.status(), process.codes_issued, process.balances()), expected);

        let cancel = CancelRedemption { reason: Code::fixed("requested"), code_used: false };
        process.send(StreamRef::redemption(REDEMPTION, CUSTOMER), &cancel.into());
        // Voided also where no code is known: nobody can tell that none was made.
        let voided = (points <= earned).into();
        prop_assert_eq!((process.codes_voided, process.balances()), (voided, (earned, 0, 0)));
    }
}

#[test]
fn the_state_of_a_redemption_survives_being_written() {
    let requested = RequestRedemption {
        customer: CUSTOMER,
        points: Points(40),
        discount: usd(40),
        reward: None,
        pos: None,
    };
    let state: State = domain::testing::fold(played::<State>([requested.into()]));
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    assert!(state.decide(&CompleteRedemption {}.into()).is_err());
}

/// The laws by short names, for the bugs that are planted against them.
#[cfg(feature = "planted-bugs")]
pub(crate) mod laws {
    pub(crate) const LAW_15: fn() = super::law_15_no_code_without_a_request_and_never_two;
    pub(crate) const ENDS: fn() = super::a_redemption_ends_spent_with_a_code_or_released_without_one;
}
