//! No copy that anybody kept can be opened any more, and a second certificate says so.
use event_schemas::{CertificateId, CertificateText, Timestamp, privacy_request::RedactionFinalized};
use serde::{Deserialize, Serialize};

use super::{Event, State, once};
use crate::Rejection;

/// Issues the certificate of level `final`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finalize {
    /// Names it.
    pub certificate_id: CertificateId,
    /// The certificate.
    pub certificate: CertificateText,
    /// When.
    pub at: Timestamp,
}

pub(super) fn decide(state: &State, command: &Finalize) -> Result<Vec<Event>, Rejection> {
    let redaction = state.asked_to_forget()?;
    let Finalize { certificate_id, certificate, at } = command.clone();
    once(redaction.last.is_some(), redaction.live.is_some(), || {
        RedactionFinalized { certificate_id, certificate, at }.into()
    })
}
