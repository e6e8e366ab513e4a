//! Reserved points were spent.
use crate::{
    EntryId, Points, RedemptionId, payload,
    points_account::{Allocation, Balances},
};

payload! {
    /// The reserved points of a redemption were spent: its reward was issued.
    PointsRedeemed {
        /// The entry.
        entry: EntryId,
        /// The redemption.
        redemption: RedemptionId,
        /// All points spent.
        points: Points,
        /// The lots they came from.
        allocations: Vec<Allocation>,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: OTHER_ENTRY,
        redemption: REDEMPTION,
        points: points(40),
        allocations: vec![Allocation { lot: ENTRY, points: points(40) }],
        after: Balances {
            available: points(14),
            lifetime_earned: points(54),
            lifetime_redeemed: points(40),
            ..Balances::default()
        },
    }
}
