//! A reward's code was issued.
use crate::{Code, Personal, payload};

payload! {
    /// A discount code was issued, the only one of its redemption.
    DiscountCodeIssued {
        /// The code.
        code: Option<Personal<String>>,
        /// Who issued it, such as `local`.
        issuer: Code,
    }
    sample: Self { code: sealed(), issuer: Code::fixed("local") }
}
