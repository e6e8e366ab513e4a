//! A person asks what is held of them.
use event_schemas::{
    CustomerId, Timestamp,
    privacy_request::{DataRequestReceived, RequestSource},
};
use serde::{Deserialize, Serialize};

use super::{DEADLINE_DAYS, Event, State, days_after};
use crate::Rejection;

/// Opens a data request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenDataRequest {
    /// The person's customers, merged ones too; none if nothing is held.
    pub subjects: Vec<CustomerId>,
    /// Who asks.
    pub source: RequestSource,
    /// When.
    pub requested_at: Timestamp,
}

pub(super) fn decide(state: &State, command: &OpenDataRequest) -> Result<Vec<Event>, Rejection> {
    let OpenDataRequest { subjects, source, requested_at } = command.clone();
    match (&state.asked, state.data_request()) {
        (None, _) => {
            let due_at = days_after(requested_at, DEADLINE_DAYS);
            Ok(vec![DataRequestReceived { subjects, source, requested_at, due_at }.into()])
        }
        (_, Some(_)) => Ok(Vec::new()),
        _ => Err(Rejection::SourceConflict),
    }
}
