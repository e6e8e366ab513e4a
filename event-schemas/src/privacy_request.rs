//! Events of a request about a person's data. People stand in them by our own ids; nothing in them is personal.
mod data_export;
mod privacy_record_expired;
mod read_models_purged;
mod redaction_certified;
mod redaction_failed;
mod redaction_fenced;
mod redaction_requested;
mod redaction_verified;
mod subject_key_destroyed;

pub use data_export::{DataExportDelivered, DataExportPrepared, DataRequestReceived};
pub use privacy_record_expired::PrivacyRecordExpired;
pub use read_models_purged::ReadModelsPurged;
pub use redaction_certified::{RedactionCompleted, RedactionFinalized};
pub use redaction_failed::{RedactionFailed, RedactionStep};
pub use redaction_fenced::RedactionFenced;
pub use redaction_requested::{RedactionRequested, RedactionScope, RequestSource};
pub use redaction_verified::{RedactionVerified, Scanned};
pub use subject_key_destroyed::SubjectKeyDestroyed;
