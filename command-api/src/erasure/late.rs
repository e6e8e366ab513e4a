//! Requests that take too long, by the word of their owner: also where read models have not heard of them.
use std::{
    collections::HashMap,
    ops::AddAssign,
    sync::{Mutex, PoisonError},
};

use chrono::TimeDelta;
use domain::Aggregate;
use event_schemas::{RequestId, Timestamp, privacy_request::RedactionStep};

use super::{Process, bugs::Bug, certificates::after, setback::Cause, steps::Request};
use crate::owner::DueStream;

/// After so many days people are told of a request that is not done, each time once; the last are all that it has.
pub(crate) const TOLD_AFTER_DAYS: [i64; 4] = [7, 21, 27, 30];
/// So long after an epoch was to be closed, or destroyed, certificates that wait for it are late.
const GRACE: TimeDelta = TimeDelta::days(1);
/// What a request is told to wait for then.
const EPOCH_STAYS: &str = "epoch-not-destroyed";
const DAY_US: i64 = 86_400 * 1_000_000;

/// How many requests are late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Late {
    /// Open for a week and more.
    pub(super) open: u32,
    /// Certified, and never finally.
    pub(super) not_final: u32,
}

impl AddAssign for Late {
    fn add_assign(&mut self, other: Self) {
        self.open = self.open.saturating_add(other.open);
        self.not_final = self.not_final.saturating_add(other.not_final);
    }
}

impl Late {
    pub(super) fn publish(self) {
        for (what, count) in [("open", self.open), ("not-final", self.not_final)] {
            metrics::gauge!("privacy_requests_late", "what" => what).set(f64::from(count));
        }
    }
}

/// How often each request was told of, open or not final; few are ever late.
#[derive(Default)]
pub(super) struct Told(Mutex<HashMap<(RequestId, bool), usize>>);

impl Told {
    /// Notes that it is to be told of so often by now; whether that is news.
    fn is_news(&self, request: RequestId, is_final: bool, times: usize) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times > 0 && told.insert((request, is_final), times).is_none_or(|before| before < times)
    }
}

/// How many of these days are over.
pub(crate) fn times_over(since_us: i64, now: Timestamp) -> usize {
    let days = now.micros().saturating_sub(since_us) / DAY_US;
    TOLD_AFTER_DAYS.iter().filter(|after| days >= **after).count()
}

/// Whether this request is to be done still, or fails to become final.
fn is_open(aggregate: &Aggregate) -> bool {
    let Aggregate::PrivacyRequest(state) = aggregate else { return true };
    match (state.redaction(), state.data_request()) {
        (Some(redaction), _) => redaction.live.is_none() || !redaction.failures.is_empty(),
        (None, Some(asked)) => asked.prepared.is_none(),
        (None, None) => true,
    }
}

impl Process {
    /// Tells of a request that is due for long, or waits for long for the end of its epoch.
    pub(super) async fn tell_late(&self, due: &DueStream, now: Timestamp) -> Late {
        let request = Request { merchant: due.merchant, id: RequestId(due.stream.id), stream: due.stream };
        let days = now.micros().saturating_sub(due.at.micros()) / DAY_US;
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&request.id).copied();
        let Some(epoch) = waiting else {
            let over = times_over(due.at.micros(), now);
            let times = if over > 0 && self.is_open(&request).await { over } else { 0 };
            if self.told.is_news(request.id, false, times) {
                tracing::error!(privacy.request = %request.id, merchant.id = %request.merchant,
                    "ALARM: request {} about somebody's data is due for {days} days", request.id);
            }
            return Late { open: u32::from(times > 0), not_final: 0 };
        };
        let is_late = self.is_late_epoch(epoch, now);
        if self.told.is_news(request.id, true, usize::from(is_late)) {
            tracing::error!(privacy.request = %request.id, merchant.id = %request.merchant,
                "ALARM: the certificate of request {} is not final: epoch {epoch} of the keys is not destroyed",
                request.id);
            let why = format!("epoch {epoch} of the keys is not destroyed");
            self.tell_failure(&request, &Cause::new(EPOCH_STAYS, why).at(RedactionStep::Finalize)).await;
        }
        Late { open: 0, not_final: u32::from(is_late) }
    }

    /// Whether people wait for it. What is done is due as well: to become final, and for the end of its record.
    async fn is_open(&self, request: &Request) -> bool {
        let is_open = self.parts.commander.read(request.merchant, request.stream, is_open);
        // Who cannot be asked may have people wait.
        self.bugs.has(Bug::TellsOfTheEnded) || is_open.await.unwrap_or(true)
    }

    /// Whether this epoch, or one before it, should be closed or destroyed by now and was not, as of the last look.
    fn is_late_epoch(&self, number: u32, now: Timestamp) -> bool {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = epochs.iter().filter(|epoch| epoch.number <= number && epoch.destroyed_at.is_none());
        left.any(|epoch| match epoch.closed_at {
            Some(closed) => after(closed, self.periods.keep_epochs + GRACE) <= now,
            None => after(epoch.opened_at, self.periods.rotate + GRACE) <= now,
        })
    }
}
