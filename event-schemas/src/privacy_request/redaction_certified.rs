//! What an erasure ends in: a certificate at once, and another one when no stale copy can be opened any more.
use crate::{CertificateId, CertificateText, Timestamp, payload};

payload! {
    /// The erasure is done here; copies that somebody kept die with their epoch.
    RedactionCompleted {
        /// Names the certificate.
        certificate_id: CertificateId,
        /// The certificate, of level `live`.
        certificate: CertificateText,
        /// When it was issued.
        at: Timestamp,
    }
    sample: Self { certificate_id: CERTIFICATE, certificate: certificate(), at: time() }
}

payload! {
    /// The last epoch under which the keys were ever wrapped is destroyed.
    RedactionFinalized {
        /// Names the certificate.
        certificate_id: CertificateId,
        /// The certificate, of level `final`.
        certificate: CertificateText,
        /// When it was issued.
        at: Timestamp,
    }
    sample: Self { certificate_id: OTHER_CERTIFICATE, certificate: certificate(), at: time() }
}
