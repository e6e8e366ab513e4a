//! Pending points were taken back.
use crate::{
    Code, EntryId, OrderId, Personal, Points, payload,
    points_account::{Allocation, Balances},
};

payload! {
    /// Pending points of an order were taken back, to the level of its assessment.
    PointsVoided {
        /// The entry.
        entry: EntryId,
        /// The order.
        order: OrderId,
        /// Version of the assessment.
        version: u32,
        /// What of the order: `purchase`, or a bonus.
        rule: Code,
        /// Why, such as `cancelled`.
        reason: Code,
        /// The pending lots they were taken from.
        allocations: Vec<Allocation>,
        /// All points taken.
        points: Points,
        /// Shopify's order id.
        reference: Option<Personal<String>>,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: OTHER_ENTRY,
        order: ORDER,
        version: 2,
        rule: Code::fixed("purchase"),
        reason: Code::fixed("cancelled"),
        allocations: vec![Allocation { lot: ENTRY, points: points(54) }],
        points: points(54),
        reference: sealed(),
        after: Balances {
            lifetime_earned: points(54),
            lifetime_voided: points(54),
            ..Balances::default()
        },
    }
}
