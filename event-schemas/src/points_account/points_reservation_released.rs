//! Reserved points went back.
use crate::{
    Code, Points, RedemptionId, payload,
    points_account::{Allocation, Balances, LotExpiry},
};

payload! {
    /// The reserved points of a redemption went back: it failed.
    PointsReservationReleased {
        /// The redemption.
        redemption: RedemptionId,
        /// All points given back.
        points: Points,
        /// The lots they went back to.
        allocations: Vec<Allocation>,
        /// How many of them repaid debt at once.
        repaid: Points,
        /// Why it failed.
        reason: Code,
        /// Lots that got a new date because theirs was over.
        #[serde(default)]
        expiries: Vec<LotExpiry>,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        redemption: REDEMPTION,
        points: points(40),
        allocations: vec![Allocation { lot: ENTRY, points: points(40) }],
        repaid: points(0),
        reason: Code::fixed("code-not-issued"),
        expiries: vec![LotExpiry { lot: ENTRY, expires_at: expiry() }],
        after: Balances { available: points(54), lifetime_earned: points(54), ..Balances::default() },
    },
    upcast: payload::with_defaults
}
