//! The fence stands: nothing is sealed or opened for the subjects any more.
use event_schemas::{Timestamp, privacy_request::RedactionFenced};
use serde::{Deserialize, Serialize};

use super::{Event, State, once};
use crate::Rejection;

/// Records the fence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordFence {
    /// Its number.
    pub fence: u64,
    /// When it was known on every node.
    pub at: Timestamp,
}

pub(super) fn decide(state: &State, command: &RecordFence) -> Result<Vec<Event>, Rejection> {
    let redaction = state.asked_to_forget()?;
    let RecordFence { fence, at } = *command;
    once(redaction.fenced.is_some(), true, || RedactionFenced { fence, at }.into())
}
