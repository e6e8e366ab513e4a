//! A redemption failed.
use crate::{Code, payload};

payload! {
    /// No code was issued; the reservation is to be released.
    RedemptionFailed {
        /// Why.
        reason: Code,
    }
    sample: Self { reason: Code::fixed("code-not-issued") }
}
