//! A till sent a batch.
use crate::{payload, plain};

plain! {
    /// Sequence numbers without a gap, both ends included.
    #[derive(Copy)]
    SequenceRange {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    }
}

payload! {
    /// A till sent a batch with something new in it.
    PosBatchReceived {
        /// Lowest sequence number in it.
        first: u64,
        /// Highest sequence number in it.
        last: u64,
        /// What was never seen below the highest number known after it.
        missing: Vec<SequenceRange>,
    }
    sample: Self { first: 4, last: 6, missing: vec![SequenceRange { first: 3, last: 3 }] }
}
