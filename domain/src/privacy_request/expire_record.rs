//! A request that came to its end long ago is no longer shown.
use event_schemas::{Timestamp, privacy_request::PrivacyRecordExpired};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Ends the record of a request, if its time is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpireRecord {
    /// The time up to which.
    pub as_of: Timestamp,
}

pub(super) fn decide(state: &State, command: &ExpireRecord) -> Result<Vec<Event>, Rejection> {
    if state.asked.is_none() {
        return Err(Rejection::UnknownRequest);
    }
    let ends = !state.expired() && state.is_over(command.as_of);
    Ok(ends.then(|| PrivacyRecordExpired {}.into()).into_iter().collect())
}
