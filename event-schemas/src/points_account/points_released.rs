//! Pending points became active.
use crate::{EntryId, Points, Timestamp, payload, points_account::Balances};

payload! {
    /// All pending points of a lot can be spent from now on, less what repays debt.
    PointsReleased {
        /// The entry.
        entry: EntryId,
        /// The lot: the entry that granted it.
        lot: EntryId,
        /// All points released.
        points: Points,
        /// How many of them repaid debt at once.
        repaid: Points,
        /// From when on the lot cannot be spent, if ever.
        expires_at: Option<Timestamp>,
        /// When, by the sender's clock: points that come to an account without any start its period of inactivity.
        #[serde(default)]
        at: Option<Timestamp>,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: OTHER_ENTRY,
        lot: ENTRY,
        points: points(54),
        repaid: points(0),
        expires_at: Some(expiry()),
        at: Some(time()),
        after: Balances { available: points(54), lifetime_earned: points(54), ..Balances::default() },
    },
    upcast: payload::with_defaults
}
