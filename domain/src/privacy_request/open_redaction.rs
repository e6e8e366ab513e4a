//! Somebody asks that a person, or a shop, be forgotten. Asked again under the same id, whatever is held by then.
use event_schemas::{
    CustomerId, Timestamp,
    privacy_request::{RedactionRequested, RedactionScope, RequestSource},
};
use serde::{Deserialize, Serialize};

use super::{DEADLINE_DAYS, Event, State, days_after};
use crate::Rejection;

/// Opens a redaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenRedaction {
    /// What it is about.
    pub scope: RedactionScope,
    /// The person's customers, merged ones too; none if nothing is held, and none for a shop.
    pub subjects: Vec<CustomerId>,
    /// Who asks.
    pub source: RequestSource,
    /// When.
    pub requested_at: Timestamp,
}

pub(super) fn decide(state: &State, command: &OpenRedaction) -> Result<Vec<Event>, Rejection> {
    let OpenRedaction { scope, subjects, source, requested_at } = command.clone();
    match (&state.asked, state.redaction()) {
        (None, _) => {
            let due_at = days_after(requested_at, DEADLINE_DAYS);
            Ok(vec![RedactionRequested { scope, subjects, source, requested_at, due_at }.into()])
        }
        (_, Some(known)) if known.requested.scope == scope => Ok(Vec::new()),
        _ => Err(Rejection::SourceConflict),
    }
}
