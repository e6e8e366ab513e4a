//! The buckets of an account after an event.
use crate::{Points, plain};

plain! {
    /// The buckets of an account. What was earned, less what was redeemed, expired, clawed back and voided, plus what
    /// was adjusted and transferred, is `available + pending + reserved − debt`; points in transit are transferred
    /// already.
    #[derive(Copy, Default)]
    #[serde(default)]
    Balances {
        /// Can be spent.
        available: Points,
        /// Earned, not to be spent yet.
        #[serde(skip_serializing_if = "Points::is_zero")]
        pending: Points,
        /// Held while a reward is issued.
        #[serde(skip_serializing_if = "Points::is_zero")]
        reserved: Points,
        /// Sent to another customer and neither arrived nor returned yet.
        #[serde(skip_serializing_if = "Points::is_zero")]
        in_transit: Points,
        /// Owed; earnings repay it first.
        #[serde(skip_serializing_if = "Points::is_zero")]
        debt: Points,
        /// All that was ever earned.
        #[serde(skip_serializing_if = "Points::is_zero")]
        lifetime_earned: Points,
        /// All that was ever redeemed, less what was given back.
        #[serde(skip_serializing_if = "Points::is_zero")]
        lifetime_redeemed: Points,
        /// All that ever expired.
        #[serde(skip_serializing_if = "Points::is_zero")]
        lifetime_expired: Points,
        /// All that was ever clawed back, with what became debt.
        #[serde(skip_serializing_if = "Points::is_zero")]
        lifetime_clawed_back: Points,
        /// The signed sum of all adjustments.
        #[serde(skip_serializing_if = "Points::is_zero")]
        lifetime_adjusted: Points,
        /// All pending points that were ever voided.
        #[serde(skip_serializing_if = "Points::is_zero")]
        lifetime_voided: Points,
        /// The signed sum of all transfers and merges.
        #[serde(skip_serializing_if = "Points::is_zero")]
        lifetime_transferred: Points,
    }
}
