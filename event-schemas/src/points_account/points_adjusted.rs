//! Points were adjusted by hand.
use crate::{
    Code, Digest, EntryId, Personal, Points, Timestamp, payload,
    points_account::{Allocation, Balances},
};

payload! {
    /// Points were added or taken by hand. Added ones are a new lot, less what repays debt.
    PointsAdjusted {
        /// The entry, and the lot it grants if it adds.
        entry: EntryId,
        /// Signed, never zero.
        points: Points,
        /// Why.
        reason: Code,
        /// What the customer may read.
        public_note: Option<Personal<String>>,
        /// What only staff may read.
        internal_note: Option<Personal<String>>,
        /// The lots that points were taken from.
        allocations: Vec<Allocation>,
        /// What became debt, if it was allowed to go below zero.
        to_debt: Points,
        /// How many added points repaid debt at once.
        repaid: Points,
        /// From when on an added lot cannot be spent, if ever.
        expires_at: Option<Timestamp>,
        /// When, by the sender's clock: points that come to an account without any start its period of inactivity.
        #[serde(default)]
        at: Option<Timestamp>,
        /// Keyed digest of the command's content.
        content: Digest,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: ENTRY,
        points: points(-20),
        reason: Code::fixed("correction"),
        public_note: sealed(),
        internal_note: sealed(),
        allocations: vec![Allocation { lot: OTHER_ENTRY, points: points(15) }],
        to_debt: points(5),
        repaid: points(0),
        expires_at: None,
        at: Some(time()),
        content: DIGEST,
        after: Balances {
            debt: points(5),
            lifetime_earned: points(15),
            lifetime_adjusted: points(-20),
            ..Balances::default()
        },
    },
    upcast: payload::with_defaults
}
