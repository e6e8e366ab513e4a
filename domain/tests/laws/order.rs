//! Laws of the order, and of order and account together: 12, 14, and that arrival in any order ends the same.
//!
//! The model beside them is plain arithmetic over what was sent; it shares no code with the rules.
use domain::{
    Aggregate, Decider, Effect, Rejection, StreamRef,
    loyalty_order::{self, Line, ObserveOrder, RecordRefund, RefundFacts, Shipping, State},
    points_account::{self, CommitRedemption, ExpiryRule, ReservePoints},
    policies,
    testing::fold,
};
use event_schemas::{
    EntryId, Event, EventId, Points, RecordId, RedemptionId, RefundId, StreamType, Timestamp,
    catalogue::LoyaltyOrderEvent,
    loyalty_order::{EarnRule, OrderStage, RefundLine},
    merchant::{Pending, StoreCredit},
    sample::{CUSTOMER, ORDER, usd},
};
use proptest::prelude::*;
use uuid::Uuid;

/// What every order here costs.
const TOTAL_MINOR: i64 = 100_000;

/// An order as Shopify knows it: its states through time, and its refunds.
#[derive(Clone, Debug)]
struct World {
    taxes_included: bool,
    include_tax: bool,
    include_shipping: bool,
    /// Points per 100 major units.
    percent: i64,
    test: bool,
    /// The first state that carries the customer.
    customer_from: usize,
    states: Vec<Seen>,
    refunds: Vec<Back>,
}

/// One state: it was sent once per stage, with the same `updated_at`.
#[derive(Clone, Debug)]
struct Seen {
    stages: Vec<OrderStage>,
    sold: Vec<Sold>,
    shipping: (i64, i64),
    refunds_embedded: usize,
}

/// Subtotal, tax and whether it is a gift card.
type Sold = (i64, i64, bool);

/// What comes back of a line, and what is paid beyond it; below zero, what of the line is not.
type Back = (Sold, i64);

#[derive(Clone, Debug)]
enum Message {
    State { place: usize, stage: OrderStage },
    Refund(usize),
}

fn sold(most: i64) -> impl Strategy<Value = Sold> {
    (0..most, 0..most / 5, prop::bool::weighted(0.2))
        .prop_map(|(minor, tax, gift)| (minor, tax.min(minor), gift))
}

fn seen() -> impl Strategy<Value = Seen> {
    let stage = prop_oneof![
        1 => Just(OrderStage::Unpaid),
        6 => Just(OrderStage::Paid),
        1 => Just(OrderStage::Refunded),
        1 => Just(OrderStage::Voided),
        1 => Just(OrderStage::Cancelled),
    ];
    let sold = prop::collection::vec(sold(8_000), 0..4);
    (prop::collection::vec(stage, 1..3), sold, 0..900_i64, 0..5_usize).prop_map(
        |(stages, sold, shipping, refunds_embedded)| Seen {
            stages,
            sold,
            shipping: (shipping, shipping / 6),
            refunds_embedded,
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.1));
    let states = prop::collection::vec(seen(), 1..5);
    let beyond = prop_oneof![2 => Just(0), 2 => -3_000..5_000_i64];
    let refunds = prop::collection::vec((sold(4_000), beyond), 0..5);
    (flags, 0..300_i64, 0..6_usize, states, refunds).prop_map(
        |((taxes_included, include_tax, include_shipping, test), percent, customer_from, states, refunds)| {
            World {
                taxes_included,
                include_tax,
                include_shipping,
                percent,
                test,
                customer_from: customer_from.saturating_sub(2),
                states,
                refunds,
            }
        },
    )
}

/// A world with all its messages, shuffled, some of them repeated.
fn delivered() -> impl Strategy<Value = (World, Vec<Message>)> {
    (world(), prop::collection::vec(any::<prop::sample::Index>(), 0..12)).prop_flat_map(|(world, repeats)| {
        let mut messages = world.messages();
        let extra: Vec<_> = repeats.iter().map(|which| which.get(&messages).clone()).collect();
        messages.extend(extra);
        (Just(world), Just(messages).prop_shuffle())
    })
}

impl World {
    fn messages(&self) -> Vec<Message> {
        let states = self.states.iter().enumerate().flat_map(|(place, seen)| {
            seen.stages.iter().map(move |stage| Message::State { place, stage: *stage })
        });
        // Some refunds are never told of but by the states that embed them.
        let embedded = self.states.iter().map(|seen| seen.refunds_embedded).max().unwrap_or(0);
        let told = (0..self.refunds.len()).filter(|number| number % 2 == 1 || *number >= embedded);
        states.chain(told.map(Message::Refund)).collect()
    }

    fn command(&self, message: &Message) -> loyalty_order::Command {
        match *message {
            Message::State { place, stage } => self.observe(place, stage).into(),
            Message::Refund(number) => RecordRefund { refund: self.refund(number) }.into(),
        }
    }

    fn observe(&self, place: usize, stage: OrderStage) -> ObserveOrder {
        let seen = &self.states[place];
        let lines = seen.sold.iter().map(|(subtotal_minor, tax_minor, gift_card)| Line {
            product_id: None,
            gift_card: *gift_card,
            tip: false,
            tags: Vec::new(),
            subtotal_minor: *subtotal_minor,
            tax_minor: *tax_minor,
        });
        ObserveOrder {
            updated_at: Timestamp::from_micros(place as i64),
            ordered_at: Timestamp::EPOCH,
            paid_at: None,
            fulfilled_at: None,
            stage,
            test: self.test,
            customer: (place >= self.customer_from).then_some(CUSTOMER),
            taxes_included: self.taxes_included,
            lines: lines.collect(),
            shipping: Shipping { minor: seen.shipping.0, tax_minor: seen.shipping.1 },
            total: usd(TOTAL_MINOR),
            codes_used: Vec::new(),
            refunds: (0..seen.refunds_embedded.min(self.refunds.len())).map(|one| self.refund(one)).collect(),
            rule: EarnRule {
                version: 1,
                points_per_unit: format!("{}.{:02}", self.percent / 100, self.percent % 100).parse().unwrap(),
                include_tax: self.include_tax,
                include_shipping: self.include_shipping,
                excluded_product_ids: Vec::new(),
                excluded_tags: Vec::new(),
                include_tips: false,
                include_gift_cards: false,
                store_credit: StoreCredit::ClawBack,
                pending: Pending::default(),
                bonuses: Vec::new(),
                judged_product_ids: Vec::new(),
            },
        }
    }

    fn refund(&self, number: usize) -> RefundFacts {
        let ((subtotal_minor, tax_minor, gift_card), beyond_minor) = self.refunds[number];
        RefundFacts {
            refund: RefundId(Uuid::from_u128(number as u128)),
            refunded_at: Timestamp::EPOCH,
            currency: usd(0).currency,
            lines: vec![RefundLine { product_id: None, gift_card, tip: false, subtotal_minor, tax_minor }],
            shipping_minor: 0,
            shipping_tax_minor: 0,
            store_credit: false,
            beyond_minor,
            beyond_tax_minor: 0,
        }
    }

    /// Status and points in the end, from nothing but the newest state and the set of refunds.
    fn model(&self) -> (&'static str, i64) {
        let newest = &self.states[self.states.len() - 1];
        let stage = newest.stages.iter().max().unwrap();
        let tax_counts = i64::from(self.include_tax) - i64::from(self.taxes_included);
        let worth = |all: &[Sold]| -> i64 {
            all.iter().filter(|(_, _, gift)| !gift).map(|(minor, tax, _)| minor + tax_counts * tax).sum()
        };
        let shipping = newest.shipping.0 + tax_counts * newest.shipping.1;
        let eligible = worth(&newest.sold) + if self.include_shipping { shipping } else { 0 };
        let (lines, beyond): (Vec<_>, Vec<_>) = self.refunds.iter().copied().unzip();
        let net = (eligible - worth(&lines) - beyond.iter().sum::<i64>().max(0)).max(0);
        match stage {
            OrderStage::Cancelled => ("cancelled", 0),
            _ if self.test => ("disqualified", 0),
            OrderStage::Voided => ("disqualified", 0),
            OrderStage::Unpaid => ("waiting", 0),
            OrderStage::Paid | OrderStage::Refunded if self.customer_from >= self.states.len() => {
                ("waiting", 0)
            }
            OrderStage::Paid | OrderStage::Refunded if eligible == 0 => ("disqualified", 0),
            OrderStage::Paid | OrderStage::Refunded if net == 0 => ("refunded", 0),
            // `percent` per 100 major units of 100 minor units each.
            OrderStage::Paid | OrderStage::Refunded => ("qualified", net * self.percent / 10_000),
        }
    }
}

/// An order and its customer's account, joined by the policies.
struct Shop {
    order: State,
    account: Aggregate,
    records: u128,
    spent: i64,
}

impl Shop {
    fn new() -> Self {
        let account = Aggregate::new(StreamType::PointsAccount);
        Self { order: State::default(), account, records: 0, spent: 0 }
    }

    fn receive(&mut self, command: &loyalty_order::Command) -> Result<(), Rejection> {
        let events = self.order.decide(command)?;
        self.records += 1;
        let record = RecordId(Uuid::from_u128(self.records));
        for (index, event) in (0_u16..).zip(events) {
            self.order.evolve(&event);
            self.settle(EventId { record, index }, &event.into());
        }
        Ok(())
    }

    fn settle(&mut self, id: EventId, event: &Event) {
        for reaction in
            policies().iter().flat_map(|policy| (policy.react)(id, StreamRef::order(ORDER), event))
        {
            let Effect::Command { stream, command, .. } = reaction.effect else { continue };
            assert_eq!(stream, StreamRef::account(CUSTOMER));
            self.ask(&command);
        }
    }

    fn ask(&mut self, command: &domain::Command) {
        for event in self.account.decide(command).unwrap_or_default() {
            self.account.evolve(&event).unwrap();
        }
    }

    /// Spends up to this many points, as far as there are any.
    fn spend(&mut self, points: i64) {
        let points = points.min(self.balances().available.0);
        if points > 0 {
            self.records += 1;
            let redemption = RedemptionId(Uuid::from_u128(self.records));
            let reserve = ReservePoints {
                redemption,
                points: Points(points),
                discount: usd(points),
                rule_version: 1,
                reward: None,
                pos: None,
                at: Timestamp::EPOCH,
                expiry: ExpiryRule::none(),
            };
            self.ask(&reserve.into());
            let entry = EntryId(Uuid::from_u128(self.records << 64));
            self.ask(&CommitRedemption { redemption, entry }.into());
            self.spent += points;
        }
    }

    fn balances(&self) -> event_schemas::points_account::Balances {
        let Aggregate::PointsAccount(account) = &self.account else { unreachable!("it is an account") };
        points_account::State::balances(account)
    }

    fn standing(&self) -> (&'static str, i64) {
        let assessment = self.order.assessment().unwrap();
        (assessment.status.as_str(), assessment.target.0)
    }
}

proptest! {
    #![proptest_config(crate::cases())]

    /// Catches: an older state that is applied; a refund embedded in an older state that is dropped; an earlier stage that
    /// wins at the same time; money beyond lines that is summed for each refund alone; debt that is not told as clawed back.
    #[test]
    fn any_order_of_arrival_with_repeats_ends_like_the_plain_model(
        (world, messages) in delivered(),
        spending in prop::collection::vec(0..60_i64, 24),
    ) {
        let mut shop = Shop::new();
        for (message, spend) in messages.iter().zip(spending.into_iter().chain(std::iter::repeat(0))) {
            prop_assert_eq!(shop.receive(&world.command(message)), Ok(()));
            shop.spend(spend);
        }
        let (status, points) = world.model();
        prop_assert_eq!(shop.standing(), (status, points));
        let all = shop.balances();
        prop_assert_eq!(all.available.0 - all.debt.0, points - shop.spent);
        prop_assert_eq!(all.lifetime_earned.0 - all.lifetime_clawed_back.0, points);
    }

    /// Catches: a verdict that is repeated although it is in force.
    #[test]
    fn what_was_delivered_before_changes_nothing((world, messages) in delivered()) {
        let mut shop = Shop::new();
        for message in &messages {
            prop_assert_eq!(shop.receive(&world.command(message)), Ok(()));
        }
        for message in &messages {
            prop_assert_eq!(shop.order.decide(&world.command(message)), Ok(Vec::new()), "{:?}", message);
        }
    }

    /// Catches: refunds that are rounded by themselves instead of the difference of the whole.
    #[test]
    fn any_split_of_a_refund_ends_at_the_same_balance(
        eligible in 1..50_000_i64,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        percent in 1..300_i64,
        by_amount in prop::collection::vec(any::<bool>(), 9),
    ) {
        let split = parts(eligible, &cuts).into_iter().zip(by_amount);
        let world = World {
            taxes_included: false,
            include_tax: false,
            include_shipping: false,
            percent,
            test: false,
            customer_from: 0,
            states: vec![Seen {
                stages: vec![OrderStage::Paid],
                sold: vec![(eligible, 0, false)],
                shipping: (0, 0),
                refunds_embedded: 0,
            }],
            refunds: split.map(|(minor, by_amount)| back(minor, by_amount)).collect(),
        };
        let mut shop = Shop::new();
        let mut left = eligible;
        for message in world.messages() {
            prop_assert_eq!(shop.receive(&world.command(&message)), Ok(()));
            if let Message::Refund(number) = message {
                let ((minor, _, _), beyond) = world.refunds[number];
                left -= minor + beyond;
            }
            prop_assert_eq!(shop.balances().available.0, left * percent / 10_000);
        }
    }

    /// Catches: refunds that take more back than the order earned.
    #[test]
    fn law_12_an_orders_refunds_never_exceed_its_total_and_each_counts_once(
        refunds in prop::collection::vec((0..6_usize, 1..60_000_i64), 1..20),
    ) {
        let mut world = World {
            taxes_included: true,
            include_tax: true,
            include_shipping: false,
            percent: 100,
            test: false,
            customer_from: 0,
            states: vec![Seen {
                stages: vec![OrderStage::Paid],
                sold: vec![(TOTAL_MINOR, 0, false)],
                shipping: (0, 0),
                refunds_embedded: 0,
            }],
            refunds: vec![back(0, false); 6],
        };
        let mut shop = Shop::new();
        prop_assert_eq!(shop.receive(&world.observe(0, OrderStage::Paid).into()), Ok(()));
        let mut told = [None; 6];
        for (number, minor) in refunds {
            world.refunds[number] = back(minor, number % 2 == 1);
            let answer = shop.receive(&world.command(&Message::Refund(number)));
            let expected = match told[number] {
                Some(known) if known != minor => Err(Rejection::SourceConflict),
                _ => Ok(()),
            };
            prop_assert_eq!(&answer, &expected);
            told[number] = told[number].or(Some(minor));
            let left = TOTAL_MINOR - told.into_iter().flatten().sum::<i64>();
            let status = if left > 0 { "qualified" } else { "refunded" };
            prop_assert_eq!(shop.standing(), (status, left.max(0) / 100));
            let refunded = shop.order.assessment().unwrap().refunded.minor;
            prop_assert_eq!(refunded, TOTAL_MINOR - left.max(0));
        }
    }

    /// Catches: a state that forgets part of itself when it is written (tried with the most that the order ever cost).
    #[test]
    fn law_14_a_snapshot_and_the_rest_give_the_same_state_as_all_events(
        (world, messages) in delivered(),
        cut in any::<prop::sample::Index>(),
    ) {
        let commands = messages.iter().map(|message| world.command(message));
        let events = domain::testing::played::<State>(commands);
        let cut = cut.index(events.len());
        let snapshot = serde_json::to_string(&fold::<State>(events[..cut].to_vec())).unwrap();
        let mut state: State = serde_json::from_str(&snapshot).unwrap();
        events[cut..].iter().for_each(|event: &LoyaltyOrderEvent| state.evolve(event));
        prop_assert_eq!(state, fold::<State>(events));
    }
}

/// The amount in parts, cut at these places.
fn parts(amount: i64, cuts: &[prop::sample::Index]) -> Vec<i64> {
    let most = usize::try_from(amount).unwrap();
    let mut places: Vec<i64> = cuts.iter().map(|cut| i64::try_from(cut.index(most)).unwrap()).collect();
    places.extend([0, amount]);
    places.sort_unstable();
    places.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// So much back, as a line or as money only.
const fn back(minor: i64, by_amount: bool) -> Back {
    if by_amount { ((0, 0, false), minor) } else { ((minor, 0, false), 0) }
}

/// The laws by short names, for the bugs that are planted against them.
#[cfg(feature = "planted-bugs")]
pub(crate) mod laws {
    pub(crate) const ANY_ORDER: fn() = super::any_order_of_arrival_with_repeats_ends_like_the_plain_model;
    pub(crate) const REPEATS: fn() = super::what_was_delivered_before_changes_nothing;
    pub(crate) const ANY_SPLIT: fn() = super::any_split_of_a_refund_ends_at_the_same_balance;
    pub(crate) const LAW_12: fn() =
        super::law_12_an_orders_refunds_never_exceed_its_total_and_each_counts_once;
}
