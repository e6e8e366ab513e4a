//! The log was searched.
use crate::{Hash, Timestamp, payload, plain};

plain! {
    /// What was searched of one partition.
    Scanned {
        /// The partition.
        partition: u32,
        /// Position of the first record searched.
        from: u64,
        /// Position of the last record searched.
        to: u64,
        /// Head of the chain there.
        head: Hash,
        /// The subjects' records found.
        records: u64,
        /// Sealed fields found in them. Each was tried, and each answered that it was shredded.
        fields: u64,
    }
}

payload! {
    /// All ciphertexts of the subjects in the log were tried, and none opened.
    RedactionVerified {
        /// What was searched, by partition.
        scanned: Vec<Scanned>,
        /// When that was done.
        at: Timestamp,
    }
    sample: Self {
        scanned: vec![Scanned {
            partition: 3,
            from: 1,
            to: 4711,
            head: Hash::try_new("ab".repeat(32)).unwrap_or_else(|error| panic!("{error}")),
            records: 12,
            fields: 31,
        }],
        at: time(),
    }
}
