//! Points were set aside for a reward.
use crate::{
    Money, Points, RedemptionId, payload,
    points_account::{Allocation, Balances},
};

payload! {
    /// Points were set aside while a reward is issued.
    PointsReserved {
        /// The redemption.
        redemption: RedemptionId,
        /// All points set aside.
        points: Points,
        /// The lots they come from, soonest expiry first.
        allocations: Vec<Allocation>,
        /// What they buy.
        discount: Money,
        /// Version of the settings that priced it.
        rule_version: u32,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        redemption: REDEMPTION,
        points: points(40),
        allocations: vec![Allocation { lot: ENTRY, points: points(40) }],
        discount: usd(40),
        rule_version: 1,
        after: Balances {
            available: points(14),
            reserved: points(40),
            lifetime_earned: points(54),
            ..Balances::default()
        },
    }
}
