//! A shop was erased, with everybody in it.
use crate::{RequestId, payload};

payload! {
    /// A shop was erased: nothing that was sealed for anybody in it can be read any more. It cannot come back as this one.
    ShopRedacted {
        /// The request that asked for it.
        request: RequestId,
    }
    sample: Self { request: REQUEST }
}
