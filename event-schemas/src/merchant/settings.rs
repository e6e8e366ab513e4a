//! The settings document: one shape in the event, in the commands and over HTTP.
use crate::{ProductId, ProductTag, Rate, plain, words};

plain! {
    /// All settings of a programme.
    #[derive(Default)]
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

impl Default for Earn {
    fn default() -> Self {
        Self {
            points_per_unit: Rate::ONE,
            include_tax: false,
            include_shipping: false,
            qualify_on: QualifyOn::Paid,
            excluded_product_ids: Vec::new(),
            excluded_tags: Vec::new(),
            pending: Pending { policy: PendingPolicy::Immediate, days: 0 },
        }
    }
}

impl Default for Refund {
    fn default() -> Self {
        Self { when_short: WhenShort::Unlimited }
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
