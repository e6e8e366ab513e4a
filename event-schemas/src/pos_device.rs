//! Events of a till. Nothing in them is personal: people stand in them by our own ids.
mod pos_batch_received;
mod pos_entries;

pub use pos_batch_received::{PosBatchReceived, SequenceRange};
pub use pos_entries::{PosEntryAccepted, PosEntryKind, PosEntryRejected};
