//! The settings document: one shape in the event, in the commands and over HTTP.
use std::collections::BTreeMap;

use crate::{Code, Points, ProductId, ProductTag, Rate, Timestamp, plain, words};

plain! {
    /// All settings of a programme.
    ProgramSettings {
        /// How orders earn.
        earn: Earn,
        /// What refunds take back.
        refund: Refund,
        /// When points end.
        expiry: Expiry,
        /// What points buy.
        redeem: Redeem,
        /// How fast deliveries are worked off.
        processing: Processing,
        /// What people earn for other things than orders, by the action's name.
        #[serde(default = "actions")]
        actions: BTreeMap<Code, Action>,
    }
}

plain! {
    /// How orders earn.
    Earn {
        /// Points per major unit of the shop's currency.
        points_per_unit: Rate,
        /// Whether tax earns too.
        include_tax: bool,
        /// Whether shipping earns too.
        include_shipping: bool,
        /// When an order qualifies.
        qualify_on: QualifyOn,
        /// Products that earn nothing.
        excluded_product_ids: Vec<ProductId>,
        /// Product tags that earn nothing.
        excluded_tags: Vec<ProductTag>,
        /// How long earned points wait.
        pending: Pending,
        /// Whether tips earn too.
        #[serde(default)]
        include_tips: bool,
        /// Whether gift cards that are bought earn too.
        #[serde(default)]
        include_gift_cards: bool,
        /// What earns more than the rest, or at times.
        #[serde(default)]
        bonuses: Vec<Bonus>,
    }
}

plain! {
    /// More points for some products, for some time, or both. It is an entry of its own beside the purchase's.
    Bonus {
        /// Its name: the rule of its entries.
        id: Code,
        /// Above one: what the purchase's rate is multiplied with; the entry holds what that adds.
        multiplier: Rate,
        /// From when on it holds; always if missing.
        #[serde(default)]
        starts_at: Option<Timestamp>,
        /// When it ends; never if missing.
        #[serde(default)]
        ends_at: Option<Timestamp>,
        /// Products that earn it; with no tags either, the whole order does.
        #[serde(default)]
        product_ids: Vec<ProductId>,
        /// Product tags that earn it.
        #[serde(default)]
        tags: Vec<ProductTag>,
    }
}

plain! {
    /// What an action earns.
    Action {
        /// Points; none = the action is off.
        points: Points,
        /// How often it earns.
        limit: ActionLimit,
    }
}

plain! {
    /// How often an action earns for one person.
    #[derive(Copy)]
    ActionLimit {
        /// So many times.
        count: u32,
        /// In each of these, counted in the shop's time zone.
        per: LimitPeriod,
    }
}

words! {
    /// What the times of an action are counted in.
    LimitPeriod {
        /// A calendar day.
        Day = "day",
        /// A calendar month.
        Month = "month",
        /// A calendar year.
        Year = "year",
        /// For ever.
        Lifetime = "lifetime",
    }
}

plain! {
    /// How long earned points wait before they can be spent.
    Pending {
        /// What they wait for.
        policy: PendingPolicy,
        /// Days, for the policies that count days.
        days: u32,
    }
}

plain! {
    /// What refunds take back.
    Refund {
        /// How far a clawback reaches when points are short.
        when_short: WhenShort,
        /// What a refund paid out as store credit does.
        #[serde(default)]
        store_credit: StoreCredit,
    }
}

plain! {
    /// When points end.
    Expiry {
        /// What counts.
        mode: ExpiryMode,
        /// Months until points end.
        months: u32,
    }
}

plain! {
    /// What points buy.
    Redeem {
        /// Points for one major unit of discount, above zero.
        points_per_unit: u64,
        /// Fewest points per redemption, above zero.
        min_points: u64,
        /// Days that given-back points live at least.
        reinstate_grace_days: u32,
    }
}

plain! {
    /// How fast a shop's deliveries are worked off; they are accepted at any rate.
    Processing {
        /// Deliveries per second, 1 to 1,000,000.
        per_second: u32,
        /// Deliveries at once after a quiet time, 1 to 1,000,000.
        burst: u32,
    }
}

words! {
    /// When an order qualifies.
    QualifyOn {
        /// When it is paid.
        Paid = "paid",
    }
}

words! {
    /// What earned points wait for.
    PendingPolicy {
        /// Nothing.
        Immediate = "immediate",
        /// Days after the payment.
        DaysAfterPaid = "days_after_paid",
        /// The fulfilment.
        OnFulfilled = "on_fulfilled",
        /// Days after the fulfilment.
        DaysAfterFulfilled = "days_after_fulfilled",
    }
}

words! {
    /// How far a clawback reaches when points are short.
    WhenShort {
        /// The rest becomes debt.
        Unlimited = "unlimited",
        /// Takes what is there and forgives the rest for good.
        WithinBalance = "within_balance",
        /// Takes pending points only.
        OnlyPending = "only_pending",
    }
}

words! {
    /// What a refund paid out as store credit does.
    #[derive(Default)]
    StoreCredit {
        /// It takes points back as any refund.
        #[default]
        ClawBack = "claw_back",
        /// It leaves the points.
        Keep = "keep",
    }
}

words! {
    /// What makes points end.
    ExpiryMode {
        /// Nothing.
        None = "none",
        /// The age of their lot.
        PerLot = "per_lot",
        /// The account's inactivity.
        Inactivity = "inactivity",
    }
}

impl Default for ProgramSettings {
    fn default() -> Self {
        Self {
            earn: Earn::default(),
            refund: Refund::default(),
            expiry: Expiry::default(),
            redeem: Redeem::default(),
            processing: Processing::default(),
            actions: actions(),
        }
    }
}

/// The actions that every programme knows, all off.
fn actions() -> BTreeMap<Code, Action> {
    let known = [
        ("sign-up", 1, LimitPeriod::Lifetime),
        ("birthday", 1, LimitPeriod::Year),
        ("product-review", 5, LimitPeriod::Day),
    ];
    let action = |count, per| Action { points: Points::ZERO, limit: ActionLimit { count, per } };
    known.into_iter().map(|(name, count, per)| (Code::fixed(name), action(count, per))).collect()
}

impl Default for Earn {
    fn default() -> Self {
        Self {
            points_per_unit: Rate::ONE,
            include_tax: false,
            include_shipping: false,
            qualify_on: QualifyOn::Paid,
            excluded_product_ids: Vec::new(),
            excluded_tags: Vec::new(),
            pending: Pending::default(),
            include_tips: false,
            include_gift_cards: false,
            bonuses: Vec::new(),
        }
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self { policy: PendingPolicy::Immediate, days: 0 }
    }
}

impl Default for Refund {
    fn default() -> Self {
        Self { when_short: WhenShort::Unlimited, store_credit: StoreCredit::ClawBack }
    }
}

impl Default for Expiry {
    fn default() -> Self {
        Self { mode: ExpiryMode::None, months: 12 }
    }
}

impl Default for Redeem {
    fn default() -> Self {
        Self { points_per_unit: 100, min_points: 1, reinstate_grace_days: 30 }
    }
}

impl Default for Processing {
    fn default() -> Self {
        Self { per_second: 5, burst: 100 }
    }
}
