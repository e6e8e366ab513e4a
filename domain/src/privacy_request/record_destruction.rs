//! The keys are overwritten, and what leads to the subjects with them.
use event_schemas::privacy_request::SubjectKeyDestroyed;
use serde::{Deserialize, Serialize};

use super::{Event, State, once};
use crate::Rejection;

/// Records what was destroyed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordDestruction {
    /// What.
    pub destroyed: SubjectKeyDestroyed,
}

pub(super) fn decide(state: &State, command: &RecordDestruction) -> Result<Vec<Event>, Rejection> {
    let redaction = state.asked_to_forget()?;
    once(redaction.destroyed.is_some(), redaction.fenced.is_some(), || command.destroyed.clone().into())
}
