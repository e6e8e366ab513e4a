//! A step could not be done, which is tried again.
use crate::{Code, Timestamp, payload, words};

words! {
    /// The steps of a redaction, in their order.
    RedactionStep {
        /// Stop sealing and opening.
        Fence = "fence",
        /// Destroy the keys.
        Destroy = "destroy",
        /// Tell the subjects' streams.
        Mark = "mark",
        /// Remove what was derived.
        Purge = "purge",
        /// Search the log.
        Verify = "verify",
        /// Issue the certificate.
        Certify = "certify",
        /// Issue the final certificate.
        Finalize = "finalize",
    }
}

payload! {
    /// A step could not be done for this reason. It is tried again until it is; this is said once for each reason.
    RedactionFailed {
        /// The step.
        step: RedactionStep,
        /// Why.
        reason: Code,
        /// When it was found.
        at: Timestamp,
    }
    sample: Self { step: RedactionStep::Purge, reason: Code::fixed("projection-behind"), at: time() }
}
