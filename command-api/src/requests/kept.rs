//! What is kept of a request: random ids and, until what they find is purged, blind references.
use domain::StreamRef;
use event_schemas::{CustomerId, MerchantId, RequestId, Timestamp};
use group_commit::{Cells, Session, StoreError, values};
use privacy::Kind;
use uuid::Uuid;

use crate::{idempotency, webhooks::blind};

pub(super) const REDACTION: &str = "redaction";
pub(super) const SHOP_REDACTION: &str = "shop-redaction";
pub(crate) const EXPORT: &str = "export";

/// Whom a request was found to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) request: RequestId,
    pub(crate) merchant: MerchantId,
    /// What its stream is routed by.
    pub(crate) route: Uuid,
    /// The customers; the first is the one whose key seals what is handed over.
    pub(crate) subjects: Vec<CustomerId>,
}

impl Kept {
    /// The request's stream.
    pub(crate) const fn stream(&self) -> StreamRef {
        StreamRef::privacy_request(self.request, self.route)
    }
}

/// Keeps a request unless it is kept already; gives what is kept.
pub(super) fn keep(
    work: &dyn Session,
    kept: &Kept,
    kind: &str,
    references: &[u8],
    at: Timestamp,
) -> Result<Kept, StoreError> {
    const KEEP: &str = "INSERT INTO privacy_request(request, merchant, kind, route, subjects, people, asked_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    const WAIT: &str =
        "INSERT INTO export(request, merchant, status) VALUES (?1, ?2, 'waiting') ON CONFLICT DO NOTHING";
    let (request, merchant) = (kept.request.bytes(), kept.merchant.bytes());
    let subjects: Vec<u8> = kept.subjects.iter().flat_map(|subject| subject.bytes()).collect();
    let values =
        values![&request, &merchant, kind, kept.route.as_bytes(), &subjects, references, at.micros()];
    if work.execute(KEEP, values)? == 1 && kind == EXPORT {
        work.execute(WAIT, values![&request, &merchant])?;
    }
    find(work, kept.request)?.ok_or(StoreError::Missing)
}

/// What is kept of a request.
pub(super) fn find(work: &dyn Session, request: RequestId) -> Result<Option<Kept>, StoreError> {
    const FIND: &str = "SELECT merchant, route, subjects FROM privacy_request WHERE request = ?1";
    work.first(FIND, values![&request.bytes()], |row| read(request, row, 0))
}

/// The same of a request that is made again: it has its day to reach the log from now on, lest it be forgotten just then.
pub(super) fn again(
    work: &dyn Session,
    request: RequestId,
    at: Timestamp,
) -> Result<Option<Kept>, StoreError> {
    const AGAIN: &str = "UPDATE privacy_request SET asked_at = ?2 WHERE request = ?1 AND asked_at < ?2";
    work.execute(AGAIN, values![&request.bytes(), at.micros()])?;
    find(work, request)
}

/// Reads merchant, route and subjects from this column on.
pub(crate) fn read(request: RequestId, row: &dyn Cells, at: usize) -> Result<Kept, StoreError> {
    let subjects = row.cell(at + 2)?.bytes()?;
    Ok(Kept {
        request,
        merchant: MerchantId::from_bytes(row.at(at)?),
        route: Uuid::from_bytes(row.at(at + 1)?),
        subjects: subjects.as_chunks::<16>().0.iter().map(|id| CustomerId::from_bytes(*id)).collect(),
    })
}

/// Keeps the directory's references of those whom a redaction is about, beside what it named. Nobody may have kept it so
/// far: who turns out to be an erased person is asked for by no one. In the caller's transaction.
pub(crate) fn add_people(
    work: &dyn Session,
    kept: &Kept,
    references: &[(Kind, [u8; 32])],
    at: Timestamp,
) -> Result<(), StoreError> {
    keep(work, kept, REDACTION, &[], at)?;
    let known = people(work, kept.request)?.unwrap_or_default();
    set_people(work, kept.request, &blind::joined(&known, references))
}

/// The blind references of those whom a request is about, until they are forgotten.
pub(crate) fn people(work: &dyn Session, request: RequestId) -> Result<Option<Vec<u8>>, StoreError> {
    const PEOPLE: &str = "SELECT people FROM privacy_request WHERE request = ?1";
    work.first(PEOPLE, values![&request.bytes()], |row| row.at(0))
}

/// Forgets the blind references of a request, once what they find is purged. In the caller's transaction.
pub(crate) fn forget(work: &dyn Session, request: RequestId) -> Result<(), StoreError> {
    set_people(work, request, &[])
}

/// Keeps again what is to be handed over by the log's word, where the store knows nothing of it: it is an older copy.
pub(crate) fn keep_export(work: &dyn Session, kept: &Kept, at: Timestamp) -> Result<(), StoreError> {
    keep(work, kept, EXPORT, &[], at).map(drop)
}

/// Requests of before that were kept and may never have reached the log: those that still wait for what follows it. What
/// finds the people of a data request stays with it, and says nothing of that.
pub(crate) fn unasked(work: &dyn Session, asked_before: i64) -> Result<Vec<Kept>, StoreError> {
    const UNASKED: &str = "SELECT privacy_request.request, privacy_request.merchant, route, subjects FROM privacy_request \
        LEFT JOIN export ON export.request = privacy_request.request \
        WHERE asked_at < ?1 AND ((kind <> 'export' AND length(people) > 0) OR status = 'waiting')";
    work.all(UNASKED, values![asked_before], |row| read(RequestId::from_bytes(row.at(0)?), row, 1))
}

/// Forgets a request that was found unasked, unless it was made again since; whether it did.
pub(crate) fn remove_unasked(work: &dyn Session, kept: &Kept, asked_before: i64) -> Result<bool, StoreError> {
    const OLD: &str = "SELECT 1 FROM privacy_request WHERE request = ?1 AND asked_at < ?2";
    let is_old = work.first(OLD, values![&kept.request.bytes(), asked_before], |_| Ok(()))?.is_some();
    if is_old {
        remove(work, kept)?;
    }
    Ok(is_old)
}

/// Forgets a request, with what is kept of the call that it came by.
fn remove(work: &dyn Session, kept: &Kept) -> Result<(), StoreError> {
    idempotency::forget(work, kept.merchant, kept.request.0)?;
    let request = kept.request.bytes();
    work.execute("DELETE FROM export WHERE request = ?1", values![&request])?;
    work.execute("DELETE FROM privacy_request WHERE request = ?1", values![&request]).map(drop)
}

/// Forgets whom requests of before were about, but for those whose files can still be had.
pub(crate) fn drop_ended(work: &dyn Session, asked_before: i64) -> Result<(), StoreError> {
    const EXPORTS: &str = "DELETE FROM export WHERE status IN ('expired', 'erased') \
        AND request IN (SELECT request FROM privacy_request WHERE asked_at < ?1)";
    const ENDED: &str = "SELECT request, merchant, route, subjects FROM privacy_request WHERE asked_at < ?1 \
        AND request NOT IN (SELECT request FROM export)";
    work.execute(EXPORTS, values![asked_before])?;
    let ended = work.all(ENDED, values![asked_before], |row| read(RequestId::from_bytes(row.at(0)?), row, 1));
    ended?.iter().try_for_each(|kept| remove(work, kept))
}

fn set_people(work: &dyn Session, request: RequestId, people: &[u8]) -> Result<(), StoreError> {
    const SET: &str = "UPDATE privacy_request SET people = ?2 WHERE request = ?1";
    work.execute(SET, values![&request.bytes(), people]).map(drop)
}
