//! Requests about people's data: how far each is, until when it has to be done, and what it came to. Nothing in it is
//! personal.
use event_schemas::{
    Code, CustomerId, Digest, Event, MerchantId, RequestId, Timestamp,
    catalogue::PrivacyRequestEvent,
    privacy_request::{
        DataExportPrepared, ReadModelsPurged, RedactionCompleted, RedactionFailed, RedactionFenced,
        RedactionFinalized, RedactionScope, RedactionVerified, RequestSource, SubjectKeyDestroyed,
    },
    words,
};
use privacy::MerchantScope;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable,
    column::{Column as _, Json, word_column},
    conditions::Conditions,
    table::{Row as _, table},
};

words! {
    /// What was asked for.
    RequestKind {
        /// To be forgotten.
        Redaction = "redaction",
        /// To get what is held.
        DataRequest = "data-request",
    }
}

words! {
    /// How far a request is.
    RequestStatus {
        /// It was asked for.
        Requested = "requested",
        /// Nothing is opened or sealed any more.
        Fenced = "fenced",
        /// The keys are destroyed.
        Destroyed = "destroyed",
        /// What was derived is removed.
        Purged = "purged",
        /// The log was searched.
        Verified = "verified",
        /// The certificate is issued.
        Completed = "completed",
        /// The final certificate is issued.
        Finalized = "finalized",
        /// The export can be had.
        Prepared = "prepared",
        /// The export was fetched.
        Delivered = "delivered",
    }
}

word_column!(RequestKind, RequestStatus, RedactionScope, RequestSource);

impl RequestStatus {
    /// Whether what has to be done within the deadline is still to be done.
    #[must_use]
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Completed | Self::Finalized | Self::Prepared | Self::Delivered)
    }
}

table! {
    /// A request. Once its record expired, nothing is told of it.
    Request {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The request.
            request: RequestId,
        }
        /// What was asked for.
        kind: RequestKind,
        /// What a redaction is about; a data request is about a person.
        scope: RedactionScope,
        /// Who asked.
        source: RequestSource,
        /// How far it is.
        status: RequestStatus,
        /// When it was asked for.
        requested_at: Timestamp,
        /// When it has to be done.
        due_at: Timestamp,
        /// The customers that it is about.
        subjects: Json<Vec<CustomerId>>,
        /// The steps that are done, with what they came to.
        steps: Json<Steps>,
        /// Why the step ahead could not be done so far, as it was last told.
        failure: Option<Json<RedactionFailed>>,
        /// The newest certificate, as it is handed out.
        certificate: Option<String>,
        /// Whether its record expired.
        expired: bool,
        /// When any of this last changed.
        updated_at: Timestamp,
    }
    indexes ["merchant, requested_at, request", "status"]
}

/// The steps of a request that are done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// The fence stands.
    pub fenced: Option<RedactionFenced>,
    /// The keys are destroyed.
    pub destroyed: Option<SubjectKeyDestroyed>,
    /// What was derived is removed.
    pub purged: Option<ReadModelsPurged>,
    /// The log was searched.
    pub verified: Option<RedactionVerified>,
    /// The certificate of level `live`.
    pub live: Option<Certified>,
    /// The certificate of level `final`.
    pub last: Option<Certified>,
    /// The export.
    pub export: Option<Export>,
}

/// A certificate that was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// Names it.
    pub id: event_schemas::CertificateId,
    /// When it was issued.
    pub at: Timestamp,
}

/// An export of what is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// How many files it has.
    pub files: u32,
    /// How large they are together.
    pub bytes: u64,
    /// Keyed digest of the manifest.
    pub manifest: Digest,
    /// When it was made.
    pub prepared_at: Timestamp,
    /// Until when it can be had.
    pub expires_at: Timestamp,
    /// When the whole of it was fetched.
    pub delivered_at: Option<Timestamp>,
}

impl Request {
    /// The newest certificate, the final one if there is one.
    #[must_use]
    pub fn certified(&self) -> Option<Certified> {
        self.steps.0.last.or(self.steps.0.live)
    }
}

/// The projection.
pub struct GdprRequests;

impl Projection for GdprRequests {
    type Row = Request;
    type Change = ();
    const NAME: &'static str = "gdpr_requests";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<(Key<Request>, ())> {
        match event.event {
            Event::PrivacyRequest(_) => {
                vec![(Request::at(event.merchant, RequestId(event.stream)), ())]
            }
            _ => Vec::new(),
        }
    }

    fn fold(before: Option<Request>, event: &Recorded, (): ()) -> Result<Request, Unfoldable> {
        let Event::PrivacyRequest(happened) = &event.event else {
            return before.ok_or_else(|| Unfoldable::without("request"));
        };
        if let Some(asked) = asked(event, happened) {
            return Ok(asked);
        }
        let request = before.ok_or_else(|| Unfoldable::without("request"))?;
        let request = Request { updated_at: event.recorded_at, ..request };
        Ok(match happened {
            PrivacyRequestEvent::RedactionFailed(failed) => {
                Request { failure: Some(Json(failed.clone())), ..request }
            }
            PrivacyRequestEvent::PrivacyRecordExpired(_) => forgotten(&request),
            step => went_on(request, event, step),
        })
    }
}

/// The row of a request that was just asked for.
fn asked(event: &Recorded, happened: &PrivacyRequestEvent) -> Option<Request> {
    let (kind, scope, source, requested_at, due_at, subjects) = match happened {
        PrivacyRequestEvent::RedactionRequested(asked) => {
            let (kind, subjects) = (RequestKind::Redaction, asked.subjects.clone());
            (kind, asked.scope, asked.source, asked.requested_at, asked.due_at, subjects)
        }
        PrivacyRequestEvent::DataRequestReceived(asked) => {
            let (kind, scope) = (RequestKind::DataRequest, RedactionScope::Customer);
            (kind, scope, asked.source, asked.requested_at, asked.due_at, asked.subjects.clone())
        }
        _ => return None,
    };
    Some(Request {
        merchant: event.merchant,
        request: RequestId(event.stream),
        kind,
        scope,
        source,
        status: RequestStatus::Requested,
        requested_at,
        due_at,
        subjects: Json(subjects),
        steps: Json(Steps::default()),
        failure: None,
        certificate: None,
        expired: false,
        updated_at: event.recorded_at,
    })
}

fn went_on(mut request: Request, event: &Recorded, step: &PrivacyRequestEvent) -> Request {
    let steps = &mut request.steps.0;
    let status = match step {
        PrivacyRequestEvent::RedactionFenced(done) => {
            steps.fenced = Some(done.clone());
            RequestStatus::Fenced
        }
        PrivacyRequestEvent::SubjectKeyDestroyed(done) => {
            steps.destroyed = Some(done.clone());
            RequestStatus::Destroyed
        }
        PrivacyRequestEvent::ReadModelsPurged(done) => {
            steps.purged = Some(done.clone());
            RequestStatus::Purged
        }
        PrivacyRequestEvent::RedactionVerified(done) => {
            steps.verified = Some(done.clone());
            RequestStatus::Verified
        }
        PrivacyRequestEvent::RedactionCompleted(RedactionCompleted { certificate_id, certificate, at }) => {
            steps.live = Some(Certified { id: *certificate_id, at: *at });
            request.certificate = Some(certificate.to_string());
            RequestStatus::Completed
        }
        PrivacyRequestEvent::RedactionFinalized(RedactionFinalized { certificate_id, certificate, at }) => {
            steps.last = Some(Certified { id: *certificate_id, at: *at });
            request.certificate = Some(certificate.to_string());
            RequestStatus::Finalized
        }
        PrivacyRequestEvent::DataExportPrepared(done) => {
            steps.export = Some(prepared(done, event.recorded_at));
            RequestStatus::Prepared
        }
        PrivacyRequestEvent::DataExportDelivered(done) => {
            if let Some(export) = &mut steps.export {
                export.delivered_at = Some(done.delivered_at);
            }
            RequestStatus::Delivered
        }
        PrivacyRequestEvent::RedactionRequested(_)
        | PrivacyRequestEvent::DataRequestReceived(_)
        | PrivacyRequestEvent::RedactionFailed(_)
        | PrivacyRequestEvent::PrivacyRecordExpired(_) => request.status,
    };
    Request { status, failure: None, ..request }
}

const fn prepared(done: &DataExportPrepared, prepared_at: Timestamp) -> Export {
    Export {
        files: done.files,
        bytes: done.bytes,
        manifest: done.manifest_digest,
        prepared_at,
        expires_at: done.expires_at,
        delivered_at: None,
    }
}

/// That there was one is all that stays.
fn forgotten(request: &Request) -> Request {
    Request {
        subjects: Json(Vec::new()),
        steps: Json(Steps::default()),
        failure: None,
        certificate: None,
        expired: true,
        ..request.clone()
    }
}

/// Which requests are wanted; all that are given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those that are that far.
    pub status: Option<RequestStatus>,
    /// Only those of this kind.
    pub kind: Option<RequestKind>,
}

/// Where a page of requests starts: behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// The request.
    pub request: RequestId,
}

/// The shop's requests, newest first, at most `limit`.
///
/// # Errors
/// [`Error::Store`].
pub async fn page(
    store: &ReadStore,
    scope: MerchantScope,
    filter: Filter,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<Request>, Error> {
    let mut wanted = Conditions::of(scope);
    wanted.and("expired = 0", []);
    if let Some(status) = filter.status {
        wanted.and("status = ?", [status.store()]);
    }
    if let Some(kind) = filter.kind {
        wanted.and("kind = ?", [kind.store()]);
    }
    if let Some(After { requested_at, request }) = after {
        wanted.and("(requested_at, request) < (?, ?)", [requested_at.store(), request.store()]);
    }
    let (wanted, values) = wanted.at_most(limit);
    store
        .query::<GdprRequests, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE {wanted}
                 ORDER BY requested_at DESC, request DESC LIMIT ?"
            );
            session.all(&sql, &values, Request::read)
        })
        .await
}

/// The request, unless its record expired.
///
/// # Errors
/// [`Error::Store`].
pub async fn find(
    store: &ReadStore,
    scope: MerchantScope,
    request: RequestId,
) -> Result<Option<Request>, Error> {
    let found = store.find::<GdprRequests>(scope, Request::at(scope.merchant(), request)).await?;
    Ok(found.filter(|request| !request.expired))
}

/// Every shop's requests that still have to be done, for whoever runs the installation: oldest deadline first, at most
/// `limit`.
///
/// # Errors
/// [`Error::Store`].
pub async fn open(store: &ReadStore, limit: u32) -> Result<Vec<Request>, Error> {
    let tables = store.tables();
    store
        .read(move |session| {
            let live = tables.of(session, GdprRequests::NAME)?;
            let (columns, table) = (live.shape.names(), &live.shape.table);
            let sql = format!(
                "SELECT {columns} FROM {table}
                 WHERE status IN ('requested', 'fenced', 'destroyed', 'purged', 'verified') AND expired = 0
                 ORDER BY due_at, request LIMIT ?"
            );
            Ok(session.all(&sql, &[limit.store()], Request::read)?)
        })
        .await
}

/// The name of a store in a report of what was purged.
#[must_use]
pub fn store_name(projection: &str) -> Option<Code> {
    Code::try_new(projection.replace('_', "-")).ok()
}
