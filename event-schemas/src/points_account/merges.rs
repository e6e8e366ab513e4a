//! Two accounts become one: the first leaves its estate, the second takes it in.
use crate::{
    CustomerId, EntryId, Points, payload,
    points_account::{Allocation, Balances, Estate},
};

payload! {
    /// The account ended: everything of it lives on at another one. It still answers for its own business keys.
    PointsAccountMerged {
        /// The entry.
        entry: EntryId,
        /// Whose account goes on.
        into: CustomerId,
        /// What lives on.
        estate: Estate,
        /// The account after it: nothing is left.
        after: Balances,
    }
    sample: Self {
        entry: OTHER_ENTRY,
        into: OTHER_CUSTOMER,
        estate: Estate::sample(),
        after: Balances {
            lifetime_earned: points(54),
            lifetime_transferred: points(-54),
            ..Balances::default()
        },
    }
}

payload! {
    /// The account took in another one's estate. Debt of either is repaid by points of either.
    PointsAccountAbsorbed {
        /// The entry.
        entry: EntryId,
        /// Whose account ended.
        from: CustomerId,
        /// What lives on.
        estate: Estate,
        /// How many points repaid debt.
        repaid: Points,
        /// The lots they came from, of either account.
        allocations: Vec<Allocation>,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: ENTRY,
        from: OTHER_CUSTOMER,
        estate: Estate::sample(),
        repaid: points(4),
        allocations: vec![Allocation { lot: ENTRY, points: points(4) }],
        after: Balances { available: points(50), lifetime_transferred: points(54), ..Balances::default() },
    }
}
