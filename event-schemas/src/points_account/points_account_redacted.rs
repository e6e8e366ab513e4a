//! The account's customer was erased.
use crate::{RequestId, payload};

payload! {
    /// The account's customer was erased. Its points stay until their time is over; nobody asks anything of it any more.
    PointsAccountRedacted {
        /// The request that asked for it.
        request: RequestId,
    }
    sample: Self { request: REQUEST }
}
