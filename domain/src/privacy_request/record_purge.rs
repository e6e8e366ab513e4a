//! All stores that held something of the subjects are without it.
use std::collections::BTreeMap;

use event_schemas::{Code, Timestamp, privacy_request::ReadModelsPurged};
use serde::{Deserialize, Serialize};

use super::{Event, State, once};
use crate::Rejection;

/// Records what was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordPurge {
    /// What, by the name of the store that held it.
    pub purged: BTreeMap<Code, u64>,
    /// When that was done.
    pub at: Timestamp,
}

pub(super) fn decide(state: &State, command: &RecordPurge) -> Result<Vec<Event>, Rejection> {
    let redaction = state.asked_to_forget()?;
    once(redaction.purged.is_some(), redaction.destroyed.is_some(), || {
        ReadModelsPurged { purged: command.purged.clone(), at: command.at }.into()
    })
}
