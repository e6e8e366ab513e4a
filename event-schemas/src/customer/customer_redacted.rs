//! A person was erased.
use crate::{RequestId, payload};

payload! {
    /// A person was erased: nothing that was sealed for them can be read any more, and nothing is any more sealed.
    CustomerRedacted {
        /// The request that asked for it.
        request: RequestId,
    }
    sample: Self { request: REQUEST }
}
