//! Bugs that tests plant to prove that they would find them; outside of tests none can be planted.

/// A known wrong way to do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutation {
    /// Answer as soon as the record was sent.
    AcknowledgeBeforeDelivery,
    /// Answer on the delivery report, without reading the record back.
    AcknowledgeBeforeReadBack,
    /// Recognise the record read back by its place instead of its hash.
    ReadBackByPlace,
    /// Use one writer id for all claims.
    ReuseWriterId,
    /// Serve once the claim is reported stored, from the state read before it.
    ClaimWithoutReadBack,
    /// Admit any record of the next height, whoever wrote it and whatever it extends.
    AdmitOnHeightOnly,
    /// Do not look at the last record read again.
    SkipRecheck,
    /// Answer before the transaction is committed.
    AcknowledgeBeforeCommit,
    /// Store a record without comparing the head.
    SkipFence,
    /// Do not hold the end of what was read against the store's head.
    SkipStoreHead,
    /// Admit all partitions of a pass by the state of the first.
    SweepByOneState,
    /// Read on behind where a span ends.
    SweepBeyondSpan,
    /// Do not remember that a record is missing.
    OverlookOrphans,
}

#[cfg(not(test))]
pub(crate) const fn planted(_: Mutation) -> bool {
    false
}

#[cfg(test)]
pub(crate) use planting::{plant, planted};

#[cfg(test)]
mod planting {
    use std::cell::RefCell;

    use super::Mutation;

    thread_local! {
        static PLANTED: RefCell<Vec<Mutation>> = const { RefCell::new(Vec::new()) };
    }

    /// Removes the planted bugs when dropped.
    pub(crate) struct Planted;

    /// Plants bugs on this thread; tests that do so run everything on it.
    #[must_use]
    pub(crate) fn plant(mutations: &[Mutation]) -> Planted {
        PLANTED.set(mutations.to_vec());
        Planted
    }

    pub(crate) fn planted(mutation: Mutation) -> bool {
        PLANTED.with_borrow(|planted| planted.contains(&mutation))
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.take();
        }
    }
}
