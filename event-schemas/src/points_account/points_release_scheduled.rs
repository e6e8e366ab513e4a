//! Pending points got a date.
use crate::{EntryId, OrderId, Timestamp, payload};

payload! {
    /// An order was fulfilled and its pending points got a date, or another one.
    PointsReleaseScheduled {
        /// The order.
        order: OrderId,
        /// Version of the assessment.
        version: u32,
        /// Its pending lots.
        lots: Vec<EntryId>,
        /// When they can be spent.
        release_at: Timestamp,
    }
    sample: Self { order: ORDER, version: 2, lots: vec![ENTRY], release_at: time() }
}
