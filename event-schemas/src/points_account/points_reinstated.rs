//! Points of a cancelled redemption came back.
use crate::{
    Code, EntryId, Points, RedemptionId, Timestamp, payload,
    points_account::{Allocation, Balances, LotExpiry},
};

payload! {
    /// Points of a cancelled redemption came back to the lots they were spent from, once.
    PointsReinstated {
        /// The entry.
        entry: EntryId,
        /// The redemption.
        redemption: RedemptionId,
        /// Why the redemption was cancelled.
        #[serde(default)]
        reason: Option<Code>,
        /// All points that came back.
        points: Points,
        /// The lots they came back to, with what repaid debt already taken off.
        allocations: Vec<Allocation>,
        /// How many of them repaid debt at once.
        repaid: Points,
        /// Lots that got a new date because theirs was over.
        #[serde(default)]
        expiries: Vec<LotExpiry>,
        /// When, by the sender's clock: points that come to an account without any start its period of inactivity.
        #[serde(default)]
        at: Option<Timestamp>,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: OTHER_ENTRY,
        redemption: REDEMPTION,
        reason: Some(Code::fixed("order-cancelled")),
        points: points(40),
        allocations: vec![Allocation { lot: ENTRY, points: points(40) }],
        repaid: points(0),
        expiries: vec![LotExpiry { lot: ENTRY, expires_at: expiry() }],
        at: Some(time()),
        after: Balances { available: points(54), lifetime_earned: points(54), ..Balances::default() },
    },
    upcast: payload::with_defaults
}
