//! What was derived from the subjects' data is gone.
use std::collections::BTreeMap;

use crate::{Code, Timestamp, payload};

payload! {
    /// Everything outside the log that held something of the subjects is without it.
    ReadModelsPurged {
        /// What was removed, by the name of the store that held it; a store that held nothing says so.
        purged: BTreeMap<Code, u64>,
        /// When that was done.
        at: Timestamp,
    }
    sample: Self {
        purged: [("inbox", 2), ("read-models", 19), ("snapshots", 3)]
            .map(|(store, count)| (Code::fixed(store), count))
            .into(),
        at: time(),
    }
}
