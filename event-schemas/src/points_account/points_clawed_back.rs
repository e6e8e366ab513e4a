//! Points of an order were taken back.
use serde_json::Value;

use crate::{
    Code, EntryId, OrderId, Personal, Points, payload,
    points_account::{Allocation, Balances},
};

payload! {
    /// Points of an order were taken back, to the level of its assessment.
    PointsClawedBack {
        /// The entry.
        entry: EntryId,
        /// The order.
        order: OrderId,
        /// Version of the assessment.
        version: u32,
        /// What of the order: `purchase`, or a bonus.
        rule: Code,
        /// Why, such as `refunded`.
        reason: Code,
        /// All points of the clawback: active, debt and forgiven, and pending ones in older versions.
        points: Points,
        /// From lots that were still pending; empty since `PointsVoided` tells those.
        from_pending: Vec<Allocation>,
        /// From active lots: the order's own first, then others.
        from_active: Vec<Allocation>,
        /// What became debt.
        to_debt: Points,
        /// What was let go for good.
        forgiven: Points,
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
        reason: Code::fixed("refunded"),
        points: points(20),
        from_pending: Vec::new(),
        from_active: vec![Allocation { lot: ENTRY, points: points(15) }],
        to_debt: points(5),
        forgiven: points(0),
        reference: sealed(),
        after: Balances {
            debt: points(5),
            lifetime_earned: points(54),
            lifetime_redeemed: points(39),
            lifetime_clawed_back: points(20),
            ..Balances::default()
        },
    },
    upcast: upcast
}

/// Version 1 knew no bonuses.
fn upcast(_from: u16, mut data: Value) -> Result<Value, String> {
    let fields = data.as_object_mut().ok_or("the data is not an object")?;
    fields.insert("rule".to_owned(), Value::from("purchase"));
    Ok(data)
}
