//! A redemption is done.
use crate::payload;

payload! {
    /// The code is issued and the points are spent.
    RedemptionCompleted {}
    sample: Self {}
}
