//! A request about somebody's data: to forget them, step by step to the certificates, or to hand over what is held.
mod certify;
mod deliver_export;
mod expire_record;
mod finalize;
mod open_data_request;
mod open_redaction;
mod prepare_export;
mod record_destruction;
mod record_failure;
mod record_fence;
mod record_purge;
mod record_verification;

pub use certify::Certify;
pub use deliver_export::DeliverExport;
pub use expire_record::ExpireRecord;
pub use finalize::Finalize;
pub use open_data_request::OpenDataRequest;
pub use open_redaction::OpenRedaction;
pub use prepare_export::PrepareExport;
pub use record_destruction::RecordDestruction;
pub use record_failure::RecordFailure;
pub use record_fence::RecordFence;
pub use record_purge::RecordPurge;
pub use record_verification::RecordVerification;

use std::collections::BTreeSet;

use event_schemas::{
    CertificateId, Code, CustomerId, StreamType, Timestamp,
    catalogue::PrivacyRequestEvent as Event,
    privacy_request::{
        DataExportPrepared, DataRequestReceived, ReadModelsPurged, RedactionFenced, RedactionRequested,
        RedactionScope, RedactionStep, RedactionVerified, RequestSource, SubjectKeyDestroyed,
    },
};
use serde::{Deserialize, Serialize};

use crate::{Decider, Due, DueKind, Rejection, decider::commands};

/// Days within which a request has to be done.
pub const DEADLINE_DAYS: u32 = 30;
/// Days after which no stale copy of a destroyed key can be opened any more.
pub const FINAL_DAYS: u32 = 7;
/// Days for which an export can be had.
pub const EXPORT_DAYS: u32 = 7;
/// Days for which a request that came to its end is shown.
pub const RECORD_DAYS: u32 = 90;

commands! {
    PrivacyRequest {
        OpenRedaction = "open-redaction" in open_redaction;
        RecordFence = "record-fence" in record_fence;
        RecordDestruction = "record-destruction" in record_destruction;
        RecordPurge = "record-purge" in record_purge;
        RecordVerification = "record-verification" in record_verification;
        Certify = "certify" in certify;
        Finalize = "finalize" in finalize;
        RecordFailure = "record-failure" in record_failure;
        OpenDataRequest = "open-data-request" in open_data_request;
        PrepareExport = "prepare-export" in prepare_export;
        DeliverExport = "deliver-export" in deliver_export;
        ExpireRecord = "expire-record" in expire_record;
    }
}

/// A request after its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    asked: Option<Asked>,
    expired: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Asked {
    Forget(Redaction),
    HandOver(DataRequest),
}

/// How far a redaction came, with what its certificates tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Redaction {
    /// What was asked for.
    pub requested: RedactionRequested,
    /// The fence.
    pub fenced: Option<RedactionFenced>,
    /// What was destroyed.
    pub destroyed: Option<SubjectKeyDestroyed>,
    /// What was removed, by the name of the store that held it.
    pub purged: Option<ReadModelsPurged>,
    /// What was searched.
    pub verified: Option<RedactionVerified>,
    /// The certificate of level `live`.
    pub live: Option<Certified>,
    /// The certificate of level `final`.
    pub last: Option<Certified>,
    /// Why the step ahead could not be done so far.
    pub failures: BTreeSet<(RedactionStep, Code)>,
}

/// A certificate that was issued; its text stands in its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// Names it.
    pub id: CertificateId,
    /// When it was issued.
    pub at: Timestamp,
}

/// How far a data request came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRequest {
    /// What was asked for.
    pub received: DataRequestReceived,
    /// The export.
    pub prepared: Option<DataExportPrepared>,
    /// When the whole of it was fetched.
    pub delivered_at: Option<Timestamp>,
}

impl Redaction {
    fn of(requested: RedactionRequested) -> Self {
        Self {
            requested,
            fenced: None,
            destroyed: None,
            purged: None,
            verified: None,
            live: None,
            last: None,
            failures: BTreeSet::new(),
        }
    }

    /// What has to be recorded next; nothing after the final certificate. That the subjects' streams are told comes
    /// between the destruction and the purge, and is recorded there.
    #[must_use]
    pub const fn ahead(&self) -> Option<RedactionStep> {
        match self {
            Self { fenced: None, .. } => Some(RedactionStep::Fence),
            Self { destroyed: None, .. } => Some(RedactionStep::Destroy),
            Self { purged: None, .. } => Some(RedactionStep::Purge),
            Self { verified: None, .. } => Some(RedactionStep::Verify),
            Self { live: None, .. } => Some(RedactionStep::Certify),
            Self { last: None, .. } => Some(RedactionStep::Finalize),
            Self { last: Some(_), .. } => None,
        }
    }

    /// Whether nothing is held of the person it asks about.
    #[must_use]
    pub fn is_of_nobody(&self) -> bool {
        self.requested.scope == RedactionScope::Customer && self.requested.subjects.is_empty()
    }
}

impl State {
    /// The redaction, if that is what was asked for.
    #[must_use]
    pub const fn redaction(&self) -> Option<&Redaction> {
        match &self.asked {
            Some(Asked::Forget(redaction)) => Some(redaction),
            _ => None,
        }
    }

    /// The data request, if that is what was asked for.
    #[must_use]
    pub const fn data_request(&self) -> Option<&DataRequest> {
        match &self.asked {
            Some(Asked::HandOver(request)) => Some(request),
            _ => None,
        }
    }

    /// The customers that it is about; none once its record expired.
    #[must_use]
    pub fn subjects(&self) -> &[CustomerId] {
        match &self.asked {
            Some(Asked::Forget(redaction)) => &redaction.requested.subjects,
            Some(Asked::HandOver(request)) => &request.received.subjects,
            None => &[],
        }
    }

    /// Who asked.
    #[must_use]
    pub fn source(&self) -> Option<RequestSource> {
        self.asked.as_ref().map(|asked| match asked {
            Asked::Forget(redaction) => redaction.requested.source,
            Asked::HandOver(request) => request.received.source,
        })
    }

    /// When it has to be done.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        self.asked.as_ref().map(|asked| match asked {
            Asked::Forget(redaction) => redaction.requested.due_at,
            Asked::HandOver(request) => request.received.due_at,
        })
    }

    /// Whether its record expired.
    #[must_use]
    pub const fn expired(&self) -> bool {
        self.expired
    }

    /// When the request came to its end.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.asked.as_ref()? {
            Asked::Forget(redaction) => redaction.last.map(|certified| certified.at),
            Asked::HandOver(request) => {
                request.delivered_at.or(request.prepared.as_ref().map(|export| export.expires_at))
            }
        }
    }

    /// Whether the request's time of being shown is over.
    #[must_use]
    pub fn is_over(&self, as_of: Timestamp) -> bool {
        self.ended_at().is_some_and(|end| days_after(end, RECORD_DAYS) <= as_of)
    }

    fn asked_to_forget(&self) -> Result<&Redaction, Rejection> {
        self.redaction().ok_or(Rejection::UnknownRequest)
    }

    fn asked_to_hand_over(&self) -> Result<&DataRequest, Rejection> {
        self.data_request().ok_or(Rejection::UnknownRequest)
    }

    /// The next thing to be done, and from when on.
    fn ahead(&self) -> Option<Timestamp> {
        let ended = self.ended_at().map(|end| days_after(end, RECORD_DAYS));
        ended.or(match self.asked.as_ref()? {
            Asked::Forget(Redaction { live: Some(live), .. }) => Some(days_after(live.at, FINAL_DAYS)),
            Asked::Forget(redaction) => Some(redaction.requested.requested_at),
            Asked::HandOver(request) => Some(request.received.requested_at),
        })
    }

    fn redact(&mut self, change: impl FnOnce(&mut Redaction)) {
        if let Some(Asked::Forget(redaction)) = &mut self.asked {
            redaction.failures.clear();
            change(redaction);
        }
    }

    fn hand_over(&mut self, change: impl FnOnce(&mut DataRequest)) {
        if let Some(Asked::HandOver(request)) = &mut self.asked {
            change(request);
        }
    }

    /// What remains is that there was a request, and how it ended.
    fn forget(&mut self) {
        self.expired = true;
        self.redact(|redaction| {
            redaction.requested.subjects.clear();
            redaction.purged = None;
            redaction.verified = None;
        });
        self.hand_over(|request| request.received.subjects.clear());
    }
}

/// A step that is recorded once, and not before the one before it.
fn once(is_done: bool, may_come: bool, event: impl FnOnce() -> Event) -> Result<Vec<Event>, Rejection> {
    match (is_done, may_come) {
        (true, _) => Ok(Vec::new()),
        (false, true) => Ok(vec![event()]),
        (false, false) => Err(Rejection::StepTooEarly),
    }
}

fn days_after(time: Timestamp, days: u32) -> Timestamp {
    Timestamp::from_micros(time.micros().saturating_add(i64::from(days) * 86_400_000_000))
}

impl Decider for State {
    const STREAM: StreamType = StreamType::PrivacyRequest;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        dispatch(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::RedactionRequested(event) => {
                self.asked = Some(Asked::Forget(Redaction::of(event.clone())));
            }
            Event::RedactionFenced(event) => self.redact(|one| one.fenced = Some(event.clone())),
            Event::SubjectKeyDestroyed(event) => self.redact(|one| one.destroyed = Some(event.clone())),
            Event::ReadModelsPurged(event) => self.redact(|one| one.purged = Some(event.clone())),
            Event::RedactionVerified(event) => self.redact(|one| one.verified = Some(event.clone())),
            Event::RedactionCompleted(event) => self.redact(|one| {
                one.live = Some(Certified { id: event.certificate_id, at: event.at });
            }),
            Event::RedactionFinalized(event) => self.redact(|one| {
                one.last = Some(Certified { id: event.certificate_id, at: event.at });
            }),
            Event::RedactionFailed(event) => {
                if let Some(Asked::Forget(redaction)) = &mut self.asked {
                    redaction.failures.insert((event.step, event.reason.clone()));
                }
            }
            Event::DataRequestReceived(event) => {
                let received = event.clone();
                self.asked =
                    Some(Asked::HandOver(DataRequest { received, prepared: None, delivered_at: None }));
            }
            Event::DataExportPrepared(event) => self.hand_over(|one| one.prepared = Some(event.clone())),
            Event::DataExportDelivered(event) => {
                self.hand_over(|one| one.delivered_at = Some(event.delivered_at));
            }
            Event::PrivacyRecordExpired(_) => self.forget(),
        }
    }

    fn due(&self) -> Vec<Due> {
        let ahead = self.ahead().filter(|_| !self.expired);
        ahead.map(|at| Due { kind: DueKind::Privacy, at }).into_iter().collect()
    }
}

#[cfg(test)]
mod specs;
