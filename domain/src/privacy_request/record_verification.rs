//! The log was searched, and none of the subjects' ciphertexts opened.
use event_schemas::{
    Timestamp,
    privacy_request::{RedactionVerified, Scanned},
};
use serde::{Deserialize, Serialize};

use super::{Event, State, once};
use crate::Rejection;

/// Records what was searched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordVerification {
    /// What, by partition.
    pub scanned: Vec<Scanned>,
    /// When that was done.
    pub at: Timestamp,
}

pub(super) fn decide(state: &State, command: &RecordVerification) -> Result<Vec<Event>, Rejection> {
    let redaction = state.asked_to_forget()?;
    once(redaction.verified.is_some(), redaction.purged.is_some(), || {
        RedactionVerified { scanned: command.scanned.clone(), at: command.at }.into()
    })
}
