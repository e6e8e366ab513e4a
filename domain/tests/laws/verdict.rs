//! Laws of an order's verdict alone: whatever is told of an order, in any order and repeatedly, comes to the same points,
//! bonuses and release.
//!
//! The model beside them is plain arithmetic over the set of what was sent; it shares no code with the rules.
use domain::{
    Decider,
    loyalty_order::{
        Command, DeleteOrder, Line, ObserveOrder, RecordRefund, RecordTransaction, RefundFacts, Shipping,
        State,
    },
};
use event_schemas::{
    Code, Digest, ProductId, RefundId, Timestamp,
    loyalty_order::{EarnRule, OrderStage, OrderStatus, RefundLine, TransactionKind},
    merchant::{Bonus, Pending, PendingPolicy, StoreCredit},
    points_account::Release,
    sample::{CUSTOMER, usd},
};
use proptest::prelude::*;
use uuid::Uuid;

const TOTAL_MINOR: i64 = 1_000_000;
const PLACED: i64 = 50;
const DAY: i64 = 86_400;
/// What the bonuses add, in tenths of the rate: the first is for the whole order, the second for product 1.
const EXTRA_TENTHS: [i64; 2] = [15, 5];

/// What is sold or refunded: minor units, kind, product.
type Sold = (i64, Kind, u8);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Goods,
    GiftCard,
    Tip,
}

#[derive(Clone, Debug)]
struct World {
    percent: i64,
    include_tips: bool,
    include_gift_cards: bool,
    keep_on_store_credit: bool,
    pending: (PendingPolicy, u32),
    /// Stage, lines, and whether all of it is fulfilled; the state `n` is of second `100 × (n + 1)`.
    states: Vec<(OrderStage, Vec<Sold>, bool)>,
    /// What is refunded, and whether as store credit.
    refunds: Vec<(Sold, bool)>,
    /// Second, and minor units paid.
    payments: Vec<(i64, i64)>,
    deleted: bool,
}

#[derive(Clone, Debug)]
enum Message {
    State(usize),
    Refund(usize),
    Payment(usize),
    Deletion,
}

fn sold(most: i64) -> impl Strategy<Value = Sold> {
    let kind = prop_oneof![4 => Just(Kind::Goods), 1 => Just(Kind::GiftCard), 1 => Just(Kind::Tip)];
    (0..most, kind, 0..3_u8)
}

fn world() -> impl Strategy<Value = World> {
    let stage = prop_oneof![3 => Just(OrderStage::Unpaid), 6 => Just(OrderStage::Paid), 1 => Just(OrderStage::Cancelled)];
    let state = (stage, prop::collection::vec(sold(9_000), 0..4), any::<bool>());
    let policy = prop_oneof![
        Just((PendingPolicy::Immediate, 0)),
        (1..40_u32).prop_map(|days| (PendingPolicy::DaysAfterPaid, days)),
        Just((PendingPolicy::OnFulfilled, 0)),
        (0..40_u32).prop_map(|days| (PendingPolicy::DaysAfterFulfilled, days)),
    ];
    let payment = (1..700_i64, prop_oneof![Just(TOTAL_MINOR), Just(TOTAL_MINOR / 2), 1..TOTAL_MINOR]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.1));
    let told = (
        prop::collection::vec(state, 1..6),
        prop::collection::vec((sold(4_000), any::<bool>()), 0..4),
        prop::collection::vec(payment, 0..3),
    );
    (0..300_i64, flags, policy, told).prop_map(|(percent, flags, pending, (states, refunds, payments))| {
        let (include_tips, include_gift_cards, keep_on_store_credit, deleted) = flags;
        World {
            percent,
            include_tips,
            include_gift_cards,
            keep_on_store_credit,
            pending,
            states,
            refunds,
            payments,
            deleted,
        }
    })
}

fn delivered() -> impl Strategy<Value = (World, Vec<Message>)> {
    (world(), prop::collection::vec(any::<prop::sample::Index>(), 0..8)).prop_flat_map(|(world, repeats)| {
        let mut messages = world.messages();
        let extra: Vec<_> = repeats.iter().map(|which| which.get(&messages).clone()).collect();
        messages.extend(extra);
        (Just(world), Just(messages).prop_shuffle())
    })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn product(number: u8) -> Option<ProductId> {
    (number > 0).then(|| ProductId::try_new(number.to_string()).unwrap())
}

fn bonus(id: &'static str, multiplier: &str, product_ids: Vec<ProductId>) -> Bonus {
    let multiplier = multiplier.parse().unwrap();
    Bonus { id: Code::fixed(id), multiplier, starts_at: None, ends_at: None, product_ids, tags: Vec::new() }
}

impl World {
    fn messages(&self) -> Vec<Message> {
        let states = (0..self.states.len()).map(Message::State);
        let refunds = (0..self.refunds.len()).map(Message::Refund);
        let payments = (0..self.payments.len()).map(Message::Payment);
        states.chain(refunds).chain(payments).chain(self.deleted.then_some(Message::Deletion)).collect()
    }

    fn command(&self, message: &Message) -> Command {
        match *message {
            Message::State(place) => self.observe(place).into(),
            Message::Refund(number) => RecordRefund { refund: self.refund(number) }.into(),
            Message::Payment(number) => {
                let (seconds, minor) = self.payments[number];
                let transaction = Digest((number as u128).to_be_bytes());
                RecordTransaction {
                    transaction,
                    kind: TransactionKind::Payment,
                    amount: usd(minor),
                    at: at(seconds),
                }
                .into()
            }
            Message::Deletion => DeleteOrder { currency: usd(0).currency }.into(),
        }
    }

    fn observe(&self, place: usize) -> ObserveOrder {
        let (stage, lines, fulfilled) = &self.states[place];
        let updated = updated(place);
        let line = |&(subtotal_minor, kind, number): &Sold| Line {
            product_id: product(number),
            gift_card: kind == Kind::GiftCard,
            tip: kind == Kind::Tip,
            tags: Vec::new(),
            subtotal_minor,
            tax_minor: 0,
        };
        ObserveOrder {
            updated_at: at(updated),
            ordered_at: at(PLACED),
            paid_at: (*stage == OrderStage::Paid).then(|| at(PLACED)),
            fulfilled_at: fulfilled.then(|| at(updated - 5)),
            stage: *stage,
            test: false,
            customer: Some(CUSTOMER),
            taxes_included: false,
            lines: lines.iter().map(line).collect(),
            shipping: Shipping::default(),
            total: usd(TOTAL_MINOR),
            codes_used: Vec::new(),
            refunds: Vec::new(),
            rule: self.rule(),
        }
    }

    fn rule(&self) -> EarnRule {
        let (policy, days) = self.pending;
        EarnRule {
            version: 1,
            points_per_unit: format!("{}.{:02}", self.percent / 100, self.percent % 100).parse().unwrap(),
            include_tax: false,
            include_shipping: false,
            include_tips: self.include_tips,
            include_gift_cards: self.include_gift_cards,
            // Product 2 earns nothing.
            excluded_product_ids: product(2).into_iter().collect(),
            excluded_tags: Vec::new(),
            store_credit: if self.keep_on_store_credit { StoreCredit::Keep } else { StoreCredit::ClawBack },
            pending: Pending { policy, days },
            bonuses: vec![
                bonus("whole", "2.5", Vec::new()),
                bonus("one", "1.5", product(1).into_iter().collect()),
            ],
            judged_product_ids: Vec::new(),
        }
    }

    fn refund(&self, number: usize) -> RefundFacts {
        let ((subtotal_minor, kind, of), store_credit) = self.refunds[number];
        let line = RefundLine {
            product_id: product(of),
            gift_card: kind == Kind::GiftCard,
            tip: kind == Kind::Tip,
            subtotal_minor,
            tax_minor: 0,
        };
        RefundFacts {
            refund: RefundId(Uuid::from_u128(number as u128)),
            refunded_at: Timestamp::EPOCH,
            currency: usd(0).currency,
            lines: vec![line],
            shipping_minor: 0,
            shipping_tax_minor: 0,
            store_credit,
            beyond_minor: 0,
            beyond_tax_minor: 0,
        }
    }

    /// What of these earns; of product 1 only, if asked.
    fn worth<'a>(&self, all: impl Iterator<Item = &'a Sold>, only_one: bool) -> i64 {
        all.filter(|(_, kind, number)| {
            let earns = match kind {
                Kind::Goods => true,
                Kind::GiftCard => self.include_gift_cards,
                Kind::Tip => self.include_tips,
            };
            earns && *number != 2 && (!only_one || *number == 1)
        })
        .map(|(minor, _, _)| minor)
        .sum()
    }

    fn net(&self, only_one: bool) -> (i64, i64) {
        let (_, lines, _) = self.states.last().unwrap();
        let counted = self.refunds.iter().filter(|(_, credit)| !(*credit && self.keep_on_store_credit));
        let eligible = self.worth(lines.iter(), only_one);
        (eligible, (eligible - self.worth(counted.map(|(sold, _)| sold), only_one)).max(0))
    }

    fn paid_up(&self) -> Option<i64> {
        let mut payments = self.payments.clone();
        payments.sort_unstable();
        let mut paid = 0;
        payments.into_iter().find_map(|(second, minor)| {
            paid += minor;
            (paid >= TOTAL_MINOR).then_some(second)
        })
    }

    fn first(&self, which: impl Fn(&(OrderStage, Vec<Sold>, bool)) -> bool) -> Option<i64> {
        self.states.iter().position(which).map(updated)
    }

    fn release(&self) -> Option<Release> {
        let (policy, days) = self.pending;
        let after = |seconds: i64| Some(Release::At(at(seconds + i64::from(days) * DAY)));
        match policy {
            PendingPolicy::Immediate => None,
            PendingPolicy::DaysAfterPaid => {
                let unpaid = self.first(|(stage, _, _)| *stage == OrderStage::Unpaid);
                let paid = self.first(|(stage, _, _)| *stage == OrderStage::Paid);
                let by_states = match (unpaid, paid) {
                    (Some(unpaid), Some(paid)) if unpaid < paid => paid,
                    _ => PLACED,
                };
                after(self.paid_up().unwrap_or(by_states))
            }
            PendingPolicy::OnFulfilled | PendingPolicy::DaysAfterFulfilled => {
                let last = self.states.len() - 1;
                let first = self.states.iter().position(|(_, _, fulfilled)| *fulfilled);
                match (first, self.states.iter().rposition(|(_, _, fulfilled)| !fulfilled)) {
                    (None, _) => Some(Release::AwaitingFulfilment),
                    (_, Some(unfulfilled)) if unfulfilled == last => Some(Release::AwaitingFulfilment),
                    (Some(first), Some(unfulfilled)) if first < unfulfilled => after(updated(last) - 5),
                    (Some(first), _) => after(updated(first) - 5),
                }
            }
        }
    }

    /// Status, points, points by each bonus, and what they wait for.
    fn model(&self) -> (OrderStatus, i64, [i64; 2], Option<Release>) {
        let (stage, _, _) = self.states.last().unwrap();
        let paid_since = self.paid_up().is_some_and(|second| second >= updated(self.states.len() - 1));
        let (eligible, net) = self.net(false);
        let status = match stage {
            _ if self.deleted => OrderStatus::Cancelled,
            OrderStage::Cancelled => OrderStatus::Cancelled,
            OrderStage::Unpaid if !paid_since => OrderStatus::Waiting,
            _ if eligible == 0 => OrderStatus::Disqualified,
            _ if net == 0 => OrderStatus::Refunded,
            _ => OrderStatus::Qualified,
        };
        if status != OrderStatus::Qualified {
            return (status, 0, [0, 0], None);
        }
        let extra = |only_one, tenths| self.net(only_one).1 * self.percent * tenths / 100_000;
        let bonuses = [extra(false, EXTRA_TENTHS[0]), extra(true, EXTRA_TENTHS[1])];
        (status, net * self.percent / 10_000, bonuses, self.release())
    }
}

const fn updated(place: usize) -> i64 {
    100 * (place as i64 + 1)
}

proptest! {
    #![proptest_config(crate::cases())]

    /// Each of these was planted, by bending the model the same way, and caught within 512 cases: a payment dated by the
    /// placing although the order was seen unpaid; a fulfilment dated by the newest state; one that was taken back and still counts; bonuses that refunds do not
    /// lower; store credit that always counts; a deletion that a later state undoes; payments older than a state that
    /// still says unpaid; a payment's own time ignored.
    #[test]
    fn whatever_is_told_in_any_order_comes_to_the_same_verdict((world, messages) in delivered()) {
        let mut state = State::default();
        for message in &messages {
            let events = state.decide(&world.command(message));
            prop_assert!(events.is_ok(), "{:?}: {:?}", message, events);
            events.unwrap_or_default().iter().for_each(|event| state.evolve(event));
        }
        let verdict = state.assessment().unwrap();
        let bonuses: Vec<_> = verdict.bonuses.iter().map(|bonus| bonus.target.0).collect();
        let (status, points, extra, release) = world.model();
        prop_assert_eq!((verdict.status, verdict.target.0, verdict.release), (status, points, release));
        prop_assert_eq!(bonuses, extra);
        for message in &messages {
            prop_assert_eq!(state.decide(&world.command(message)), Ok(Vec::new()), "{:?} again", message);
        }
    }
}
