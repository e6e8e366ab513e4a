//! The erasure is done here, and a certificate says so.
use event_schemas::{CertificateId, CertificateText, Timestamp, privacy_request::RedactionCompleted};
use serde::{Deserialize, Serialize};

use super::{Event, State, once};
use crate::Rejection;

/// Issues the certificate of level `live`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certify {
    /// Names it.
    pub certificate_id: CertificateId,
    /// The certificate.
    pub certificate: CertificateText,
    /// When.
    pub at: Timestamp,
}

pub(super) fn decide(state: &State, command: &Certify) -> Result<Vec<Event>, Rejection> {
    let redaction = state.asked_to_forget()?;
    let Certify { certificate_id, certificate, at } = command.clone();
    once(redaction.live.is_some(), redaction.verified.is_some(), || {
        RedactionCompleted { certificate_id, certificate, at }.into()
    })
}
