//! Exports in work.db: what waits, what is ready, and the sealed parts of the files.
use std::collections::HashSet;

use event_schemas::{CustomerId, Digest, MerchantId, RequestId, Timestamp};
use group_commit::{Cells, Session, StoreError, values};

use crate::{
    requests::{Kept, read_kept},
    webhooks::blind,
};

/// A request whose export is still to be made, or to be recorded.
pub(super) struct Waiting {
    pub(super) kept: Kept,
    /// Counts what takes the files away: what was gathered before that is not kept after it.
    pub(super) round: u32,
    /// The files are kept.
    pub(super) prepared: Option<Prepared>,
}

/// What an export came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prepared {
    pub(super) files: u32,
    pub(super) bytes: u64,
    pub(super) manifest: Digest,
    pub(super) at: Timestamp,
}

/// One part of a file.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) sealed: Vec<u8>,
}

/// Where an export stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) status: String,
    pub(super) expires_at: Timestamp,
    /// The files are sealed under the key of this day: they are about nobody who has one.
    pub(super) day: Option<String>,
    /// Which files were fetched, by their places.
    pub(super) fetched: u32,
}

/// What is to be done, oldest first.
pub(super) fn waiting(work: &dyn Session) -> Result<Vec<Waiting>, StoreError> {
    const WAITING: &str = "SELECT privacy_request.request, privacy_request.merchant, route, subjects, round, status, files, bytes, \
        manifest, prepared_at FROM export JOIN privacy_request ON privacy_request.request = export.request \
        WHERE status IN ('waiting', 'made') ORDER BY asked_at";
    work.all(WAITING, values![], |row| {
        let request = RequestId::from_bytes(row.at(0)?);
        let prepared = match row.cell(5)?.text()? {
            "made" => Some(prepared(row)?),
            _ => None,
        };
        Ok(Waiting { kept: read_kept(request, row, 1)?, round: row.at(4)?, prepared })
    })
}

fn prepared(row: &dyn Cells) -> Result<Prepared, StoreError> {
    let at = Timestamp::from_micros(row.at(9)?);
    Ok(Prepared { files: row.at(6)?, bytes: row.at(7)?, manifest: Digest(row.at(8)?), at })
}

/// Keeps the files, unless something took them away since `round`. Says whether it did.
pub(super) fn keep(
    work: &dyn Session,
    request: RequestId,
    round: u32,
    prepared: Prepared,
    day: Option<&str>,
    parts: &[Part],
) -> Result<bool, StoreError> {
    const MADE: &str = "UPDATE export SET status = 'made', files = ?3, bytes = ?4, manifest = ?5, prepared_at = ?6, day = ?7 \
        WHERE request = ?1 AND round = ?2 AND status = 'waiting'";
    const PART: &str = "INSERT INTO export_part(request, name, part, body) VALUES (?1, ?2, ?3, ?4)";
    let Prepared { files, bytes, manifest, at } = prepared;
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let id = request.bytes();
    let values = values![&id, round, files, bytes, &manifest.0, at.micros(), day];
    if work.execute(MADE, values)? == 0 {
        return Ok(false);
    }
    remove_parts(work, request)?;
    for part in parts {
        work.execute(PART, values![&request.bytes(), part.name, part.number, &part.sealed])?;
    }
    Ok(true)
}

/// The export can be had until then.
pub(super) fn ready(work: &dyn Session, request: RequestId, expires_at: Timestamp) -> Result<(), StoreError> {
    const READY: &str =
        "UPDATE export SET status = 'ready', expires_at = ?2 WHERE request = ?1 AND status = 'made'";
    work.execute(READY, values![&request.bytes(), expires_at.micros()]).map(drop)
}

/// There will be no files: whoever could have had them is erased.
pub(super) fn ended(work: &dyn Session, request: RequestId) -> Result<(), StoreError> {
    const ENDED: &str = "UPDATE export SET status = 'erased', round = round + 1 WHERE request = ?1";
    work.execute(ENDED, values![&request.bytes()])?;
    remove_parts(work, request).map(drop)
}

/// Where a shop's export stands.
pub(super) fn standing(
    work: &dyn Session,
    merchant: MerchantId,
    request: RequestId,
) -> Result<Option<Standing>, StoreError> {
    const STANDING: &str =
        "SELECT status, expires_at, day, fetched FROM export WHERE request = ?1 AND merchant = ?2";
    work.first(STANDING, values![&request.bytes(), &merchant.bytes()], |row| {
        let expires_at = Timestamp::from_micros(row.at(1)?);
        Ok(Standing { status: row.at(0)?, expires_at, day: row.at(2)?, fetched: row.at(3)? })
    })
}

/// The sealed parts of a file, in order.
pub(super) fn parts(
    work: &dyn Session,
    request: RequestId,
    name: &str,
) -> Result<Vec<(u32, Vec<u8>)>, StoreError> {
    const PARTS: &str = "SELECT part, body FROM export_part WHERE request = ?1 AND name = ?2 ORDER BY part";
    work.all(PARTS, values![&request.bytes(), name], |row| Ok((row.at(0)?, row.at(1)?)))
}

/// Remembers that a file was fetched; gives all that were.
pub(super) fn fetched(work: &dyn Session, request: RequestId, file: u32) -> Result<u32, StoreError> {
    const FETCHED: &str = "UPDATE export SET fetched = fetched | ?2 WHERE request = ?1";
    const ALL: &str = "SELECT fetched FROM export WHERE request = ?1";
    work.execute(FETCHED, values![&request.bytes(), file])?;
    work.one(ALL, values![&request.bytes()], |row| row.at(0))
}

/// Removes the files whose time is over; says of how many exports.
pub(crate) fn expire(work: &dyn Session, now: Timestamp) -> Result<u64, StoreError> {
    const OVER: &str = "SELECT request FROM export WHERE status = 'ready' AND expires_at <= ?1 LIMIT 100";
    const EXPIRED: &str = "UPDATE export SET status = 'expired' WHERE request = ?1";
    let over = work.all(OVER, values![now.micros()], |row| row.at(0).map(RequestId::from_bytes))?;
    for request in &over {
        work.execute(EXPIRED, values![&request.bytes()])?;
        remove_parts(work, *request)?;
    }
    Ok(over.len() as u64)
}

/// Removes the files of all exports that are about one of these people or name one of their orders by these blind
/// references, or of the whole shop; says of how many exports. In the caller's transaction. One that is still being made
/// comes to say that the person is erased.
///
/// # Errors
/// The store refused.
pub(crate) fn purge(
    work: &dyn Session,
    merchant: MerchantId,
    people: Option<&[CustomerId]>,
    references: &[u8],
) -> Result<u64, StoreError> {
    const ALL: &str = "SELECT export.request, privacy_request.merchant, route, subjects, status, people FROM export \
        JOIN privacy_request ON privacy_request.request = export.request WHERE export.merchant = ?1";
    const TAKE: &str = "UPDATE export SET round = round + 1, status = ?2 WHERE request = ?1";
    let all = work.all(ALL, values![&merchant.bytes()], |row| {
        let request = RequestId::from_bytes(row.at(0)?);
        Ok((read_kept(request, row, 1)?, row.at::<String>(4)?, row.at::<Vec<u8>>(5)?))
    })?;
    let orders: HashSet<_> = blind::of_orders(references).map(|(_, hash)| hash).collect();
    let mut purged = 0;
    for (kept, status, named) in all {
        let names_theirs = || blind::of_orders(&named).any(|(_, hash)| orders.contains(&hash));
        let is_of = |people: &[CustomerId]| kept.subjects.iter().any(|one| people.contains(one));
        let is_theirs = people.is_none_or(|people| is_of(people) || names_theirs());
        if !is_theirs || status == "expired" || status == "erased" {
            continue;
        }
        let now = if status == "ready" { "erased" } else { "waiting" };
        work.execute(TAKE, values![&kept.request.bytes(), now])?;
        purged += u64::from(remove_parts(work, kept.request)? > 0);
    }
    Ok(purged)
}

fn remove_parts(work: &dyn Session, request: RequestId) -> Result<u64, StoreError> {
    work.execute("DELETE FROM export_part WHERE request = ?1", values![&request.bytes()])
}
