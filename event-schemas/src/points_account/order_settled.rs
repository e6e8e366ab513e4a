//! An order's newer assessment moved nothing.
use crate::{OrderId, payload};

payload! {
    /// An order's newer assessment moved nothing. Older ones that come after it move nothing either.
    OrderSettled {
        /// The order.
        order: OrderId,
        /// Version of the assessment.
        version: u32,
    }
    sample: Self { order: ORDER, version: 3 }
}
