//! Accounts that refused what was due: asked again after a day, because what is due stays so and each refusal is a record.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::TimeDelta;
use event_schemas::{MerchantId, Timestamp};
use uuid::Uuid;

use crate::owner::DueStream;

/// How long an account that refused is left alone.
const LEFT_ALONE: TimeDelta = TimeDelta::days(1);

/// A job and the account that refused it.
type Refusal = (&'static str, MerchantId, Uuid);

/// Who refused what, and when. Of this process alone: the next one asks once more.
#[derive(Default)]
pub(super) struct Refused(Mutex<HashMap<Refusal, Timestamp>>);

impl Refused {
    pub(super) fn note(&self, job: &'static str, due: &DueStream, at: Timestamp) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert((job, due.merchant, due.stream.id), at);
    }

    /// Whether it refused less than a day ago.
    pub(super) fn is_recent(&self, job: &'static str, due: &DueStream) -> bool {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.contains_key(&(job, due.merchant, due.stream.id))
    }

    /// Forgets whoever refused the job a day before `now`.
    pub(super) fn forget_old(&self, job: &'static str, now: Timestamp) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Timestamp| now.utc().signed_duration_since(at.utc()) < LEFT_ALONE;
        refused.retain(|(of, ..), at| *of != job || is_recent(at));
    }
}
