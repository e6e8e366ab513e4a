//! A completed redemption was cancelled.
use crate::{Code, payload};

payload! {
    /// A completed redemption was cancelled: its code is void, its points are to come back.
    RedemptionCancelled {
        /// Why.
        reason: Code,
    }
    sample: Self { reason: Code::fixed("requested") }
}
