//! Pending points got a date, or lost it.
use crate::{EntryId, OrderId, Timestamp, payload, points_account::Release};

payload! {
    /// An order was fulfilled and its pending points got a date, or another one; or the fulfilment was taken back.
    PointsReleaseScheduled {
        /// The order.
        order: OrderId,
        /// Version of the assessment.
        version: u32,
        /// Its pending lots.
        lots: Vec<EntryId>,
        /// When they can be spent; they wait for the fulfilment again if missing.
        #[serde(default)]
        release_at: Option<Timestamp>,
    }
    sample: Self { order: ORDER, version: 2, lots: vec![ENTRY], release_at: Some(time()) },
    upcast: payload::with_defaults
}

impl PointsReleaseScheduled {
    /// What the lots wait for.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release_at.map_or(Release::AwaitingFulfilment, Release::At)
    }
}
