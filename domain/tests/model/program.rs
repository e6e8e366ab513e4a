//! Random shops and what happens at them, as plain numbers: neither the rules nor the model are known here.
use proptest::prelude::*;

/// How many people there are.
pub(super) const PEOPLE: usize = 4;
/// How many redemptions there may be.
pub(super) const REDEMPTIONS: u8 = 8;
/// Minutes of a day.
pub(super) const DAY: i64 = 24 * 60;

/// What a programme's settings say. All times are minutes since the shop opened, at midnight of 2026-01-31, in UTC.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Points per 100 major units.
    pub(super) rate: i64,
    pub(super) include_tax: bool,
    pub(super) include_shipping: bool,
    pub(super) include_tips: bool,
    pub(super) include_gift_cards: bool,
    pub(super) wait: Policy,
    pub(super) bonuses: Vec<Bonus>,
    pub(super) short: Short,
    pub(super) keep_store_credit: bool,
    pub(super) ending: Ending,
    pub(super) grace_days: i64,
}

/// What points of an order wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Nothing,
    DaysAfterPaid(i64),
    Fulfilment,
    DaysAfterFulfilment(i64),
}

/// More points for the whole order, or for new products only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bonus {
    /// The purchase's rate is multiplied with so many tenths.
    pub(super) tenths: i64,
    pub(super) new_only: bool,
}

/// How far a clawback reaches when points are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    Debt,
    WithinBalance,
    OnlyPending,
}

/// What makes points end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Never,
    Lot(u32),
    Inactivity(u32),
}

/// One line of an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) minor: i64,
    pub(super) tax: i64,
}

/// What is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Goods,
    /// Its product's tag is excluded.
    Sale,
    /// Its product's tag earns a bonus.
    New,
    GiftCard,
    Tip,
}

/// How far an order is, in a state of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Unpaid,
    Paid,
    Voided,
    Cancelled,
}

/// An order as the shop knows it.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) buyer: usize,
    /// The first state that names the buyer; a guest's order if there is none.
    pub(super) named_from: usize,
    pub(super) placed: i64,
    pub(super) taxes_included: bool,
    pub(super) test: bool,
    pub(super) shipping: (i64, i64),
    /// Lines in all states; refunds are of these.
    pub(super) lines: Vec<Line>,
    pub(super) states: Vec<State>,
    /// The first state that is fulfilled.
    pub(super) fulfilled_from: usize,
    pub(super) refunds: Vec<Refund>,
}

/// One state of an order: an edit adds lines and takes them away.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) more: Vec<Line>,
    /// It embeds so many of the refunds.
    pub(super) refunds: usize,
}

/// A refund of a line, of shipping, of both, or of so much money.
#[derive(Clone, Debug)]
pub(super) struct Refund {
    pub(super) line: Option<(prop::sample::Index, i64)>,
    pub(super) shipping: bool,
    pub(super) store_credit: bool,
    /// What was paid beyond line and shipping; below zero, what of them was not.
    pub(super) beyond: i64,
}

impl Order {
    /// When this state is from.
    pub(super) fn updated(&self, state: usize) -> i64 {
        self.placed + i64::try_from(state).unwrap() * 3 * 60
    }

    /// When it was fulfilled, as this state tells it.
    pub(super) fn fulfilled(&self, state: usize) -> Option<i64> {
        (state >= self.fulfilled_from).then(|| self.updated(self.fulfilled_from))
    }

    /// What a refund gives back of lines: the line, its amount and its tax.
    pub(super) fn back(&self, refund: &Refund) -> Option<Line> {
        let (which, percent) = refund.line.as_ref()?;
        let line = *self.lines.get(which.index(self.lines.len()))?;
        Some(Line { minor: line.minor * percent / 100, tax: line.tax * percent / 100, ..line })
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A message about an order arrives; any of them, in any order, any number of times.
    Deliver(prop::sample::Index),
    Attach {
        order: prop::sample::Index,
        who: usize,
    },
    Delete {
        order: prop::sample::Index,
    },
    Earn {
        who: usize,
        source: u8,
        points: i64,
        wait_days: Option<i64>,
    },
    Act {
        who: usize,
        deed: u8,
        period: u8,
    },
    Adjust {
        who: usize,
        points: i64,
        allow_negative: bool,
    },
    /// A redemption is always the same person's.
    Redeem {
        redemption: u8,
        points: i64,
    },
    Issue {
        redemption: u8,
        succeeds: bool,
    },
    Cancel {
        redemption: u8,
    },
    Transfer {
        from: usize,
        to: usize,
        points: i64,
    },
    Freeze {
        who: usize,
        frozen: bool,
    },
    Merge {
        gone: usize,
        kept: usize,
    },
    Extend {
        who: usize,
        days: i64,
    },
    Pass {
        minutes: i64,
    },
    /// To midnight: what ends then has ended, and no job has run yet.
    Nights {
        days: i64,
    },
}

/// A message about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Message {
    State { order: usize, state: usize },
    Refund { order: usize, refund: usize },
}

/// A shop and what happens at it.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) settings: Settings,
    pub(super) orders: Vec<Order>,
    pub(super) steps: Vec<Step>,
    /// Where the chance of processes that are late starts.
    pub(super) chance: u64,
}

impl Program {
    /// Everything that there is to tell of the orders.
    pub(super) fn messages(&self) -> Vec<Message> {
        let of = |(order, told): (usize, &Order)| {
            let states = (0..told.states.len()).map(move |state| Message::State { order, state });
            states.chain((0..told.refunds.len()).map(move |refund| Message::Refund { order, refund }))
        };
        self.orders.iter().enumerate().flat_map(of).collect()
    }
}

pub(super) fn program() -> impl Strategy<Value = Program> {
    let steps = prop::collection::vec(step(), 1..70);
    let orders = prop::collection::vec(order(), 1..5);
    (settings(), orders, steps, any::<u64>()).prop_map(|(settings, orders, steps, chance)| Program {
        settings,
        orders,
        steps,
        chance,
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let flag = || prop::bool::weighted(0.3);
    let wait = prop_oneof![
        4 => Just(Policy::Nothing),
        2 => (0..20_i64).prop_map(Policy::DaysAfterPaid),
        1 => Just(Policy::Fulfilment),
        2 => (0..20_i64).prop_map(Policy::DaysAfterFulfilment),
    ];
    let short =
        prop_oneof![4 => Just(Short::Debt), 1 => Just(Short::WithinBalance), 1 => Just(Short::OnlyPending)];
    let ending = prop_oneof![
        2 => Just(Ending::Never),
        3 => (1..4_u32).prop_map(Ending::Lot),
        1 => (1..4_u32).prop_map(Ending::Inactivity),
    ];
    let bonus = (11..40_i64, any::<bool>()).prop_map(|(tenths, new_only)| Bonus { tenths, new_only });
    let bonuses = prop::collection::vec(bonus, 0..3);
    let flags = (flag(), flag(), flag(), flag(), flag());
    (0..400_i64, flags, wait, bonuses, short, ending, 0..40_i64).prop_map(
        |(rate, flags, wait, bonuses, short, ending, grace_days)| Settings {
            rate,
            include_tax: flags.0,
            include_shipping: flags.1,
            include_tips: flags.2,
            include_gift_cards: flags.3,
            wait,
            bonuses,
            short,
            keep_store_credit: flags.4,
            ending,
            grace_days,
        },
    )
}

fn line() -> impl Strategy<Value = Line> {
    let kind = prop_oneof![
        5 => Just(Kind::Goods),
        1 => Just(Kind::Sale),
        2 => Just(Kind::New),
        1 => Just(Kind::GiftCard),
        1 => Just(Kind::Tip),
    ];
    (kind, 0..8_000_i64, 0..1_600_i64).prop_map(|(kind, minor, tax)| Line {
        kind,
        minor,
        tax: tax.min(minor),
    })
}

fn order() -> impl Strategy<Value = Order> {
    let stage = prop_oneof![
        2 => Just(Stage::Unpaid),
        10 => Just(Stage::Paid),
        1 => Just(Stage::Voided),
        1 => Just(Stage::Cancelled),
    ];
    let more = prop::collection::vec(line(), 0..3);
    let state = (stage, more, 0..3_usize).prop_map(|(stage, more, refunds)| State { stage, more, refunds });
    let line_back = prop::option::weighted(0.8, (any::<prop::sample::Index>(), 1..=100_i64));
    let beyond = prop_oneof![3 => Just(0), 2 => -3_000..6_000_i64];
    let refund = (line_back, prop::bool::weighted(0.2), prop::bool::weighted(0.2), beyond)
        .prop_map(|(line, shipping, store_credit, beyond)| Refund { line, shipping, store_credit, beyond });
    let who = (0..PEOPLE, prop_oneof![6 => Just(0), 2 => 1..6_usize]);
    let when = (0..40 * DAY, 0..6_usize);
    let flags = (any::<bool>(), prop::bool::weighted(0.05));
    let lines = prop::collection::vec(line(), 1..4);
    let (states, refunds) = (prop::collection::vec(state, 1..5), prop::collection::vec(refund, 0..4));
    (who, when, flags, 0..900_i64, lines, states, refunds).prop_map(
        |(who, when, flags, shipping, lines, states, refunds)| Order {
            buyer: who.0,
            named_from: who.1,
            placed: when.0,
            taxes_included: flags.0,
            test: flags.1,
            shipping: (shipping, shipping / 6),
            lines,
            states,
            fulfilled_from: when.1,
            refunds,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    let of_orders = prop_oneof![
        16 => which().prop_map(Step::Deliver),
        1 => (which(), 0..PEOPLE).prop_map(|(order, who)| Step::Attach { order, who }),
        1 => which().prop_map(|order| Step::Delete { order }),
    ];
    prop_oneof![18 => of_orders, 10 => by_hand(), 14 => redeemed(), 6 => between(), 8 => time()]
}

fn by_hand() -> impl Strategy<Value = Step> {
    let wait_days = prop::option::weighted(0.3, 0..20_i64);
    prop_oneof![
        4 => (0..PEOPLE, 0..4_u8, 1..60_i64, wait_days)
            .prop_map(|(who, source, points, wait_days)| Step::Earn { who, source, points, wait_days }),
        2 => (0..PEOPLE, 0..5_u8, 0..2_u8).prop_map(|(who, deed, period)| Step::Act { who, deed, period }),
        3 => (0..PEOPLE, -60..60_i64, any::<bool>())
            .prop_map(|(who, points, allow_negative)| Step::Adjust { who, points, allow_negative }),
    ]
}

fn redeemed() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..REDEMPTIONS, 1..80_i64).prop_map(|(redemption, points)| Step::Redeem { redemption, points }),
        5 => (0..REDEMPTIONS, prop::bool::weighted(0.7))
            .prop_map(|(redemption, succeeds)| Step::Issue { redemption, succeeds }),
        3 => (0..REDEMPTIONS).prop_map(|redemption| Step::Cancel { redemption }),
    ]
}

fn between() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..PEOPLE, 0..PEOPLE, 1..60_i64)
            .prop_map(|(from, to, points)| Step::Transfer { from, to, points }),
        2 => (0..PEOPLE, prop::bool::weighted(0.4)).prop_map(|(who, frozen)| Step::Freeze { who, frozen }),
        1 => (0..PEOPLE, 0..PEOPLE).prop_map(|(gone, kept)| Step::Merge { gone, kept }),
    ]
}

fn time() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..10 * DAY).prop_map(|minutes| Step::Pass { minutes }),
        2 => (1..100_i64).prop_map(|days| Step::Nights { days }),
        2 => (1..5 * 60_i64).prop_map(|minutes| Step::Pass { minutes }),
        1 => (0..PEOPLE, 1..90_i64).prop_map(|(who, days)| Step::Extend { who, days }),
    ]
}
