//! An account is stopped for what people and programs ask of it, and goes on.
use crate::{Code, Personal, payload};

payload! {
    /// What a person or a program asks is refused from now on. What must be settled goes on.
    PointsAccountFrozen {
        /// Why.
        reason: Code,
        /// What only staff may read.
        note: Option<Personal<String>>,
    }
    sample: Self { reason: Code::fixed("suspected-fraud"), note: sealed() }
}

payload! {
    /// The account goes on.
    PointsAccountUnfrozen {
        /// Why.
        reason: Code,
    }
    sample: Self { reason: Code::fixed("cleared") }
}
