//! From here nothing is opened or sealed.
use crate::{Timestamp, payload};

payload! {
    /// Nothing is opened or sealed for the subjects any more, on any node that knows of this fence.
    RedactionFenced {
        /// The fence's number: how many insertions the key store counted with it.
        fence: u64,
        /// When it was known on every node.
        at: Timestamp,
    }
    sample: Self { fence: 42, at: time() }
}
