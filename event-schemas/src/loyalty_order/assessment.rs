//! What an order comes to, as a whole: the level that the account is settled to.
use crate::{Code, CustomerId, Money, Points, Rate, plain, points_account::Release, words};

words! {
    /// Where an order stands.
    OrderStatus {
        /// Something is missing that may still come (the reason says what).
        Waiting = "waiting",
        /// It earns.
        Qualified = "qualified",
        /// It earns nothing (the reason says why).
        Disqualified = "disqualified",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Everything eligible was refunded.
        Refunded = "refunded",
    }
}

plain! {
    /// An order's standing after everything known so far. Each one replaces those before it.
    Assessment {
        /// Counts up by one in the order's stream.
        version: u32,
        /// Where the order stands.
        status: OrderStatus,
        /// Why, where the status alone does not say it.
        reason: Option<Code>,
        /// Who earns.
        customer: Option<CustomerId>,
        /// What of the order earns, before refunds.
        eligible: Money,
        /// What of that was refunded.
        refunded: Money,
        /// Points that the order is worth now.
        target: Points,
        /// The points rate used, frozen when the order first qualified.
        rate: Rate,
        /// Version of the settings that the rate and the eligible amount come from.
        rule_version: u32,
        /// What the points wait for; they can be spent at once if missing.
        release: Option<Release>,
        /// What it is worth by bonuses, each a level of its own.
        #[serde(default)]
        bonuses: Vec<BonusTarget>,
    }
}

plain! {
    /// What an order is worth by one bonus.
    BonusTarget {
        /// The bonus.
        rule: Code,
        /// What the rate is multiplied with.
        multiplier: Rate,
        /// What of the order earns it, less refunds.
        eligible: Money,
        /// Points that it is worth now.
        target: Points,
    }
}

impl Assessment {
    /// A sample.
    #[must_use]
    pub fn sample(status: OrderStatus, reason: Option<&'static str>, target: i64) -> Self {
        Self {
            version: 1,
            status,
            reason: reason.map(Code::fixed),
            customer: Some(crate::sample::CUSTOMER),
            eligible: crate::sample::usd(5493),
            refunded: crate::sample::usd(0),
            target: Points(target),
            rate: Rate::ONE,
            rule_version: 1,
            release: None,
            bonuses: Vec::new(),
        }
    }
}
