//! A person turned out to be another one.
use crate::{CustomerId, payload};

payload! {
    /// This person was merged into another one, who lives on.
    CustomersMerged {
        /// Who lives on.
        into: CustomerId,
    }
    sample: Self { into: OTHER_CUSTOMER }
}
