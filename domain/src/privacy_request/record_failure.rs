//! A step could not be done. It is tried again; people see why it takes so long.
use event_schemas::{
    Code, Timestamp,
    privacy_request::{RedactionFailed, RedactionStep},
};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Records why a step could not be done, once for each reason until the next step is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordFailure {
    /// The step.
    pub step: RedactionStep,
    /// Why.
    pub reason: Code,
    /// When it was found.
    pub at: Timestamp,
}

pub(super) fn decide(state: &State, command: &RecordFailure) -> Result<Vec<Event>, Rejection> {
    let redaction = state.asked_to_forget()?;
    let RecordFailure { step, reason, at } = command.clone();
    if redaction.last.is_some() {
        return Err(Rejection::RequestEnded);
    }
    if redaction.failures.contains(&(step, reason.clone())) {
        return Ok(Vec::new());
    }
    Ok(vec![RedactionFailed { step, reason, at }.into()])
}
