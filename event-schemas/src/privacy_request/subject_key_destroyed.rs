//! The keys are gone.
use crate::{Timestamp, payload};

payload! {
    /// The subjects' keys and what leads to them were overwritten, and read back as such.
    SubjectKeyDestroyed {
        /// Keys overwritten.
        keys: u64,
        /// Rows of the directory overwritten and deleted.
        directory_rows: u64,
        /// Bare tombstones that stay.
        tombstones: u64,
        /// The epoch under which the keys were wrapped; stale copies die with it.
        epoch: u32,
        /// When that was done.
        at: Timestamp,
    }
    sample: Self { keys: 2, directory_rows: 7, tombstones: 3, epoch: 4, at: time() }
}
