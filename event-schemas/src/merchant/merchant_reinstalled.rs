//! A shop came back.
use crate::payload;

payload! {
    /// A shop that had left came back to the history it left.
    MerchantReinstalled {}
    sample: Self {}
}
