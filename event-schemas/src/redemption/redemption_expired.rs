//! A redemption took too long.
use crate::payload;

payload! {
    /// No code was issued in time; the reservation is to be released.
    RedemptionExpired {}
    sample: Self {}
}
