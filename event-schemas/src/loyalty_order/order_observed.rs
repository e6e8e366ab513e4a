//! A state of an order was seen.
use crate::{
    Code, CustomerId, Money, ProductId, ProductTag, Rate, RedemptionId, Timestamp,
    merchant::{Bonus, Pending, StoreCredit},
    payload, plain, words,
};

words! {
    /// How far an order has come; of two states with the same `updated_at` the later stage wins.
    OrderStage {
        /// Not (wholly) paid yet.
        Unpaid = "unpaid",
        /// Paid, perhaps refunded in part since.
        Paid = "paid",
        /// Paid, and all of it was refunded since.
        Refunded = "refunded",
        /// The authorisation was given up.
        Voided = "voided",
        /// Cancelled.
        Cancelled = "cancelled",
    }
}

plain! {
    /// The part of the settings that decides what an order earns, as it stood when the order was seen.
    EarnRule {
        /// Version of the settings.
        version: u32,
        /// Points per major unit.
        points_per_unit: Rate,
        /// Whether tax earns too.
        include_tax: bool,
        /// Whether shipping earns too.
        include_shipping: bool,
        /// Products that earn nothing.
        excluded_product_ids: Vec<ProductId>,
        /// Product tags that earn nothing.
        excluded_tags: Vec<ProductTag>,
        /// Whether tips earn too.
        #[serde(default)]
        include_tips: bool,
        /// Whether gift cards that are bought earn too.
        #[serde(default)]
        include_gift_cards: bool,
        /// What a refund paid out as store credit does.
        #[serde(default)]
        store_credit: StoreCredit,
        /// How long the points wait.
        #[serde(default)]
        pending: Pending,
        /// The bonuses in force.
        #[serde(default)]
        bonuses: Vec<Bonus>,
        /// Products whose tags were looked at, if the rule names tags: what they said then holds for this order.
        #[serde(default)]
        judged_product_ids: Vec<ProductId>,
    }
}

plain! {
    /// What of an order earns one bonus.
    BonusEligible {
        /// The bonus.
        rule: Code,
        /// What of the order earns it, before refunds.
        eligible: Money,
    }
}

plain! {
    /// A discount code of ours that an order used.
    CodeUsed {
        /// The redemption that it was issued for.
        redemption: RedemptionId,
        /// Who redeemed, whoever ordered.
        customer: CustomerId,
    }
}

payload! {
    /// A state of an order was seen: a newer one, or an older one that teaches something, such as a higher total.
    OrderObserved {
        /// Shopify's `updated_at` of that state.
        updated_at: Timestamp,
        /// When it was paid, if known.
        paid_at: Option<Timestamp>,
        /// When it was fulfilled wholly, if it was.
        fulfilled_at: Option<Timestamp>,
        /// How far it has come.
        stage: OrderStage,
        /// Whether it is a test order.
        test: bool,
        /// Who ordered, unless it is a guest's.
        customer: Option<CustomerId>,
        /// Whether prices contain tax.
        taxes_included: bool,
        /// What of it earns under `rule`, before refunds.
        eligible: Money,
        /// What of it earns each bonus of `rule`, before refunds.
        #[serde(default)]
        bonuses: Vec<BonusEligible>,
        /// What it cost in all: no sum of refunds goes above it.
        total: Money,
        /// All codes of ours that the order is known to have used so far.
        #[serde(default)]
        codes_used: Vec<CodeUsed>,
        /// The rule that `eligible` follows.
        rule: EarnRule,
    }
    sample: Self {
        updated_at: time(),
        paid_at: Some(time()),
        fulfilled_at: None,
        stage: OrderStage::Paid,
        test: false,
        customer: Some(CUSTOMER),
        taxes_included: false,
        eligible: usd(5493),
        bonuses: Vec::new(),
        total: usd(6493),
        codes_used: vec![CodeUsed { redemption: REDEMPTION, customer: CUSTOMER }],
        rule: EarnRule {
            version: 1,
            points_per_unit: Rate::ONE,
            include_tax: false,
            include_shipping: false,
            excluded_product_ids: vec![ProductId::try_new("632910392").unwrap_or_else(|e| panic!("{e}"))],
            excluded_tags: Vec::new(),
            include_tips: false,
            include_gift_cards: false,
            store_credit: StoreCredit::ClawBack,
            pending: Pending::default(),
            bonuses: Vec::new(),
            judged_product_ids: Vec::new(),
        },
    },
    upcast: payload::with_defaults
}
