//! Law of the redemption: 15, over random commands and through the whole process; and 6, when an order gives its code back.
use std::collections::BTreeSet;

use domain::{
    Aggregate, Command, Decider, Effect, StreamRef,
    loyalty_order::{ObserveOrder, RecordRefund, RefundFacts, Shipping},
    points_account::{EarnPoints, EarnSource, ExpiryRule, ReservePoints},
    policies,
    redemption::{
        self, CancelRedemption, CodeUse, CompleteRedemption, ExpireRedemption, FailRedemption,
        RecordCodeIssued, RequestRedemption, State, Status,
    },
    testing::played,
};
use event_schemas::{
    Code, Digest, Event, EventId, Points, Rate, RecordId, RefundId, StreamType, Timestamp,
    catalogue::{LoyaltyOrderEvent, RedemptionEvent},
    loyalty_order::{CodeUsed, EarnRule, OrderStage},
    merchant::{Pending, StoreCredit},
    sample::{CUSTOMER, ENTRY, ORDER, REDEMPTION, usd},
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
        Just(CancelRedemption { reason: Code::fixed("requested"), code: CodeUse::Unused }.into()),
        Just(CancelRedemption { reason: Code::fixed("order-cancelled"), code: CodeUse::Returned }.into()),
    ]
}

/// What an order costs that used the code; half of it is refunded at a time.
const TOTAL_MINOR: i64 = 1_000;

/// What is told of an order: a state, one of an earlier time, or that half of it was refunded.
#[derive(Clone, Debug)]
enum Told {
    State { place: i64, stage: OrderStage },
    Half(u8),
}

fn told() -> impl Strategy<Value = Told> {
    let stage = prop_oneof![
        2 => Just(OrderStage::Unpaid),
        4 => Just(OrderStage::Paid),
        1 => Just(OrderStage::Refunded),
        1 => Just(OrderStage::Voided),
        1 => Just(OrderStage::Cancelled),
    ];
    prop_oneof![
        4 => (0..6_i64, stage).prop_map(|(place, stage)| Told::State { place, stage }),
        1 => (0..3_u8).prop_map(Told::Half),
    ]
}

/// A guest's order, which earns nothing.
fn observe(place: i64, stage: OrderStage) -> ObserveOrder {
    ObserveOrder {
        updated_at: Timestamp::from_micros(place),
        ordered_at: Timestamp::EPOCH,
        paid_at: None,
        fulfilled_at: None,
        stage,
        test: false,
        customer: None,
        taxes_included: true,
        lines: Vec::new(),
        shipping: Shipping::default(),
        total: usd(TOTAL_MINOR),
        codes_used: vec![CodeUsed { redemption: REDEMPTION, customer: CUSTOMER }],
        refunds: Vec::new(),
        rule: EarnRule {
            version: 1,
            points_per_unit: Rate::ONE,
            include_tax: false,
            include_shipping: false,
            include_tips: false,
            include_gift_cards: false,
            excluded_product_ids: Vec::new(),
            excluded_tags: Vec::new(),
            store_credit: StoreCredit::ClawBack,
            pending: Pending::default(),
            bonuses: Vec::new(),
            judged_product_ids: Vec::new(),
        },
    }
}

fn half(number: u8) -> RecordRefund {
    let refund = RefundFacts {
        refund: RefundId(Uuid::from_u128(number.into())),
        refunded_at: Timestamp::EPOCH,
        currency: usd(0).currency,
        lines: Vec::new(),
        shipping_minor: 0,
        shipping_tax_minor: 0,
        store_credit: false,
        beyond_minor: TOTAL_MINOR / 2,
        beyond_tax_minor: 0,
    };
    RecordRefund { refund }
}

/// Whether nothing was left of the order at any time, from nothing but what was told in turn.
fn ever_nothing(all: &[Told]) -> bool {
    let mut newest: Option<(i64, OrderStage)> = None;
    let mut halves = BTreeSet::new();
    all.iter().any(|told| {
        match *told {
            // The later stage of two at one time counts.
            Told::State { place, stage } => newest = newest.max(Some((place, stage))),
            Told::Half(number) => drop(halves.insert(number)),
        }
        match newest.map(|(_, stage)| stage) {
            None | Some(OrderStage::Unpaid) => false,
            Some(OrderStage::Paid) => halves.len() >= 2,
            Some(OrderStage::Refunded | OrderStage::Voided | OrderStage::Cancelled) => true,
        }
    })
}

/// An account, a redemption and the order that used its code, driven by the policies until nothing is left to do.
struct Process {
    account: Aggregate,
    redemption: Aggregate,
    order: Aggregate,
    codes_returned: u32,
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
            order: Aggregate::new(StreamType::LoyaltyOrder),
            codes_returned: 0,
            codes_issued: 0,
            codes_voided: 0,
            issuer_works,
            records: 0,
        }
    }

    fn send(&mut self, stream: StreamRef, command: &Command) {
        let aggregate = match stream.stream_type {
            StreamType::PointsAccount => &mut self.account,
            StreamType::LoyaltyOrder => &mut self.order,
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
        if matches!(event, Event::LoyaltyOrder(LoyaltyOrderEvent::OrderCodeReturned(_))) {
            self.codes_returned += 1;
        }
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

        let cancel = CancelRedemption { reason: Code::fixed("requested"), code: CodeUse::Unused };
        process.send(StreamRef::redemption(REDEMPTION, CUSTOMER), &cancel.into());
        // Voided also where no code is known: nobody can tell that none was made.
        let voided = (points <= earned).into();
        prop_assert_eq!((process.codes_voided, process.balances()), (voided, (earned, 0, 0)));
    }
}

proptest! {
    #![proptest_config(crate::cases())]

    /// Catches: a code that every later state of its order gives back again; a refund of a part that gives it back.
    #[test]
    fn law_6_an_order_that_comes_to_nothing_gives_what_its_code_cost_back_once(
        earned in 40..100_i64,
        points in 1..40_i64,
        issuer_works in any::<bool>(),
        all in prop::collection::vec(told(), 0..14),
    ) {
        let mut process = Process::new(issuer_works);
        process.redeem(earned, points);
        for told in &all {
            let command = match *told {
                Told::State { place, stage } => Command::from(observe(place, stage)),
                Told::Half(number) => half(number).into(),
            };
            process.send(StreamRef::order(ORDER), &command);
        }
        let returned = ever_nothing(&all);
        prop_assert_eq!(process.codes_returned, u32::from(returned));
        let kept = if issuer_works && !returned { points } else { 0 };
        prop_assert_eq!(process.balances(), (earned - kept, 0, kept));
        let expected = match (issuer_works, returned) {
            (false, _) => Status::Failed,
            (true, true) => Status::Cancelled,
            (true, false) => Status::Completed,
        };
        prop_assert_eq!((process.status(), process.codes_voided), (Some(expected), u32::from(kept == 0)));
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
    pub(crate) const RETURNED: fn() =
        super::law_6_an_order_that_comes_to_nothing_gives_what_its_code_cost_back_once;
    pub(crate) const ENDS: fn() = super::a_redemption_ends_spent_with_a_code_or_released_without_one;
}
