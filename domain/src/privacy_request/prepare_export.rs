//! What is held of a person can be fetched, for some days.
use event_schemas::{Digest, Timestamp, privacy_request::DataExportPrepared};
use serde::{Deserialize, Serialize};

use super::{EXPORT_DAYS, Event, State, days_after, once};
use crate::Rejection;

/// Tells that the export can be had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrepareExport {
    /// How many files it has.
    pub files: u32,
    /// How large they are together.
    pub bytes: u64,
    /// Keyed digest of the manifest.
    pub manifest_digest: Digest,
    /// When it was made.
    pub prepared_at: Timestamp,
}

pub(super) fn decide(state: &State, command: &PrepareExport) -> Result<Vec<Event>, Rejection> {
    let request = state.asked_to_hand_over()?;
    let PrepareExport { files, bytes, manifest_digest, prepared_at } = *command;
    let expires_at = days_after(prepared_at, EXPORT_DAYS);
    once(request.prepared.is_some(), true, || {
        DataExportPrepared { files, bytes, manifest_digest, expires_at }.into()
    })
}
