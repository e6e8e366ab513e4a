//! Points ended.
use crate::{
    EntryId, Points, Timestamp, payload,
    points_account::{Allocation, Balances},
    words,
};

words! {
    /// Why points ended.
    ExpiryReason {
        /// Their lot's date came.
        Lot = "lot",
        /// The account was inactive too long.
        Inactivity = "inactivity",
    }
}

payload! {
    /// Points ended. Pending and reserved ones never do.
    PointsExpired {
        /// The entry.
        entry: EntryId,
        /// The time at which they were found to have ended.
        as_of: Timestamp,
        /// Why.
        reason: ExpiryReason,
        /// The lots, each with all that could be spent of it.
        allocations: Vec<Allocation>,
        /// All points that ended.
        points: Points,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: OTHER_ENTRY,
        as_of: expiry(),
        reason: ExpiryReason::Lot,
        allocations: vec![Allocation { lot: ENTRY, points: points(54) }],
        points: points(54),
        after: Balances {
            lifetime_earned: points(54),
            lifetime_expired: points(54),
            ..Balances::default()
        },
    }
}
