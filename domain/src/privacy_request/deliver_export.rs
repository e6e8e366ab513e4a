//! The person, or the merchant for them, fetched the whole export.
use event_schemas::{Timestamp, privacy_request::DataExportDelivered};
use serde::{Deserialize, Serialize};

use super::{Event, State, once};
use crate::Rejection;

/// Tells that the export was fetched; the first time counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliverExport {
    /// When.
    pub delivered_at: Timestamp,
}

pub(super) fn decide(state: &State, command: &DeliverExport) -> Result<Vec<Event>, Rejection> {
    let request = state.asked_to_hand_over()?;
    let delivered_at = command.delivered_at;
    once(request.delivered_at.is_some(), request.prepared.is_some(), || {
        DataExportDelivered { delivered_at }.into()
    })
}
