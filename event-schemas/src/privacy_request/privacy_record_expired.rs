//! The request is no longer shown.
use crate::payload;

payload! {
    /// The request's time is over: nothing but the log tells of it any more.
    PrivacyRecordExpired {}
    sample: Self {}
}
