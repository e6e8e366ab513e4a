//! Points were set aside for a reward.
use crate::{
    Money, Points, RedemptionId, Timestamp, payload,
    points_account::{Allocation, Balances, PosEntry},
    reward::RewardUsed,
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
        /// The reward of the catalogue, if it is one.
        reward: Option<RewardUsed>,
        /// The till that gave the discount already, if one did.
        pos: Option<PosEntry>,
        /// When the customer asked for it, by the sender's clock: the account's last activity.
        at: Option<Timestamp>,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        redemption: REDEMPTION,
        points: points(40),
        allocations: vec![Allocation { lot: ENTRY, points: points(40) }],
        discount: usd(40),
        rule_version: 1,
        reward: None,
        pos: None,
        at: Some(time()),
        after: Balances {
            available: points(14),
            reserved: points(40),
            lifetime_earned: points(54),
            ..Balances::default()
        },
    },
    upcast: payload::with_defaults
}
