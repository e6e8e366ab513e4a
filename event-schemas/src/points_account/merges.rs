//! Two accounts become one: the first leaves its estate, the second takes it in, in as many parts as it needs.
use crate::{
    CustomerId, EntryId, Points, payload,
    points_account::{Allocation, Balances, Estate},
};

payload! {
    /// A part of the account's estate left, and more is to come. From the first part on the account answers only for its
    /// own business keys; it ends with [`PointsAccountMerged`], which carries the last part.
    EstatePartMoved {
        /// The entry.
        entry: EntryId,
        /// Whose account goes on.
        into: CustomerId,
        /// Which part it is, counted from 1.
        part: u32,
        /// What left.
        estate: Estate,
        /// The account after it: what is left for the next parts.
        after: Balances,
    }
    sample: Self {
        entry: OTHER_ENTRY,
        into: OTHER_CUSTOMER,
        part: 1,
        estate: Estate::sample(),
        after: Balances {
            available: points(20),
            lifetime_earned: points(74),
            lifetime_transferred: points(-54),
            ..Balances::default()
        },
    }
}

payload! {
    /// The account took in a part of another one's estate; [`PointsAccountAbsorbed`] tells of the last part. Debt of
    /// either is repaid by points of either.
    EstatePartAbsorbed {
        /// The entry.
        entry: EntryId,
        /// Whose account ends.
        from: CustomerId,
        /// Which part it is, counted from 1.
        part: u32,
        /// What arrived.
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
        part: 1,
        estate: Estate::sample(),
        repaid: points(4),
        allocations: vec![Allocation { lot: ENTRY, points: points(4) }],
        after: Balances { available: points(50), lifetime_transferred: points(54), ..Balances::default() },
    }
}

payload! {
    /// The account ended: everything of it lives on at another one. It still answers for its own business keys.
    PointsAccountMerged {
        /// The entry.
        entry: EntryId,
        /// Whose account goes on.
        into: CustomerId,
        /// What lives on; if parts of it left before, the rest.
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
        /// What lives on; if parts of it arrived before, the rest.
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
