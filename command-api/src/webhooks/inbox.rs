//! Deliveries, kept until they are worked off and after: accepted → processed or dead-lettered, and back by a re-drive.
mod known;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chrono::NaiveDate;
use event_schemas::{CorrelationId, CustomerId, MerchantId, Sealed, Timestamp, record::Trace};
use group_commit::{Database, Fault};
use http_edge::RequestContext;
use privacy::KeyStore;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use self::known::{Key, Known};
use super::{
    body::{packed, unpacked},
    translate::{self, Mentions},
};
use crate::chance;

/// A verified delivery as it came in.
pub(super) struct Arrival<'a> {
    pub(super) merchant: MerchantId,
    pub(super) topic: String,
    pub(super) webhook_id: String,
    pub(super) body: &'a [u8],
    /// Who occurs in it.
    pub(super) mentions: Mentions<'a>,
    pub(super) context: RequestContext,
    pub(super) received_at: Timestamp,
}

/// An arrival that is ready to be kept.
pub(super) struct Fresh {
    pub(super) row: Uuid,
    pub(super) merchant: MerchantId,
    topic: String,
    webhook_id: String,
    body_hash: [u8; 32],
    /// None if the topic has no effect: then the delivery is only remembered.
    sealed: Option<Sealed>,
    people: Vec<u8>,
    context: RequestContext,
    received_at: Timestamp,
    day: String,
}

/// What became of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its row, perhaps an earlier one's.
    pub(super) row: Uuid,
    /// Whether there is now something to work off.
    pub(super) open: bool,
}

/// An open delivery with its body in clear.
pub(super) struct Delivery {
    pub(super) row: Uuid,
    pub(super) merchant: MerchantId,
    pub(super) topic: String,
    pub(super) body: String,
    pub(super) received_at: Timestamp,
    pub(super) correlation: CorrelationId,
    pub(super) trace: Trace,
    pub(super) attempts: u32,
    pub(super) shared: bool,
    pub(super) edited: bool,
    pub(super) drive: u32,
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has its effect, or none is due (the reason says why).
    Processed { reason: Option<&'static str>, position: Option<String>, subject: Option<CustomerId> },
    /// It can have none as it stands.
    DeadLettered { reason: String },
}

/// Where a delivery stands, as its sender's side sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) position: Option<String>,
}

/// A delivery that ended without effect. Its body stays sealed.
#[derive(Clone, Debug)]
pub(super) struct DeadLetter {
    pub(super) row: Uuid,
    pub(super) topic: String,
    pub(super) webhook_id: String,
    pub(super) reason: String,
    pub(super) attempts: u32,
    pub(super) received_at: Timestamp,
    pub(super) edited: bool,
}

/// Why a dead letter was not driven again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotDriven {
    /// This merchant has no such delivery.
    Unknown,
    /// It is open or done.
    NotDead,
}

/// The inbox could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the inbox is not available")]
    Store(#[from] Fault),
    #[error("the keys of the inbox are not available")]
    Keys(#[from] privacy::Error),
    #[error("the stored body of a delivery is not text")]
    NotText,
    #[error("the stored body of a delivery cannot be unpacked")]
    NotUnpacked,
}

#[derive(Clone)]
pub(super) struct Inbox {
    work: Database,
    keys: KeyStore,
    known: Arc<Mutex<Known>>,
}

impl Inbox {
    pub(super) fn new(work: Database, keys: KeyStore) -> Self {
        Self { work, keys, known: Arc::default() }
    }

    /// Hashes and seals an arrival.
    pub(super) async fn prepare(&self, arrival: Arrival<'_>) -> Result<Fresh, Error> {
        let Arrival { merchant, topic, webhook_id, body, mentions, context, received_at } = arrival;
        let (row, day) = (chance::id(), day(received_at));
        let has_effect = translate::is_known(&topic);
        let sealed = if has_effect {
            Some(self.keys.seal_for_day(merchant, day, row, &packed(body)).await?)
        } else {
            None
        };
        let people = if has_effect { self.people(merchant, &topic, &mentions)? } else { Vec::new() };
        let body_hash = self.keys.global_hash("webhook-body", body);
        let day = day.to_string();
        Ok(Fresh { row, merchant, topic, webhook_id, body_hash, sealed, people, context, received_at, day })
    }

    /// Keyed hashes of whom a body is about, one after the other. The kind is hashed with the text.
    fn people(&self, merchant: MerchantId, topic: &str, mentions: &Mentions<'_>) -> Result<Vec<u8>, Error> {
        let found = mentions.references(topic);
        let texts: Vec<_> = found
            .into_iter()
            .map(|(kind, text)| (format!("inbox/{}", kind.as_str()), text.0.trim().to_lowercase()))
            .collect();
        let hashes: BTreeSet<[u8; 32]> = self.keys.hash_many(merchant, &texts)?.into_iter().collect();
        Ok(hashes.into_iter().flatten().collect())
    }

    /// Keeps deliveries, each once per shop, topic and body; all of them or none. Durable when it returns.
    pub(super) async fn keep(&self, fresh: Vec<Fresh>) -> Result<Vec<Kept>, Error> {
        let known = Arc::clone(&self.known);
        let kept = self.work.run(move |work| {
            let mut known = lock(&known);
            let kept = fresh.iter().map(|fresh| insert(work, &mut known, fresh)).collect();
            known.write_if_due(work)?;
            kept
        });
        Ok(kept.await?)
    }

    /// All open deliveries, oldest first, with the time before which they are not to be tried.
    pub(super) async fn open_rows(&self) -> Result<Vec<(MerchantId, Uuid, Timestamp)>, Error> {
        const OPEN: &str =
            "SELECT merchant, id, next_attempt FROM inbox WHERE status = 'accepted' ORDER BY seq";
        let rows = self.work.run(|work| {
            let mut open = work.prepare_cached(OPEN)?;
            let rows = open.query_map([], |row| {
                let at = Timestamp::from_micros(row.get(2)?);
                Ok((MerchantId::from_bytes(row.get(0)?), Uuid::from_bytes(row.get(1)?), at))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(rows.await?)
    }

    /// The delivery, if it is still open.
    pub(super) async fn load(&self, row: Uuid) -> Result<Option<Delivery>, Error> {
        const LOAD: &str = "SELECT merchant, topic, received_at, correlation, trace, attempts, shared, edited, drive, \
            day, body FROM inbox JOIN inbox_body USING (seq) WHERE id = ?1 AND status = 'accepted'";
        let found = self.work.run(move |work| {
            work.prepare_cached(LOAD)?.query_row([row.into_bytes()], |found| stored(row, found)).optional()
        });
        let Some((mut delivery, day, sealed)) = found.await? else { return Ok(None) };
        let clear = self.keys.open_for_day(delivery.merchant, day, row, &sealed).await?;
        delivery.body = String::from_utf8(unpacked(clear)?).map_err(|_| Error::NotText)?;
        Ok(Some(delivery))
    }

    /// Ends a delivery, unless it was ended meanwhile.
    pub(super) async fn finish(&self, row: Uuid, end: End) -> Result<(), Error> {
        const FINISH: &str = "UPDATE inbox SET status = ?2, reason = ?3, position = ?4, subject = ?5 \
            WHERE id = ?1 AND status = 'accepted'";
        let (status, reason, position, subject) = match end {
            End::Processed { reason, position, subject } => {
                ("processed", reason.map(str::to_owned), position, subject)
            }
            End::DeadLettered { reason } => ("dead_lettered", Some(reason), None, None),
        };
        let subject = subject.map(CustomerId::bytes);
        let finished = self.work.run(move |work| {
            work.prepare_cached(FINISH)?.execute(params![row.into_bytes(), status, reason, position, subject])
        });
        finished.await?;
        Ok(())
    }

    /// Remembers that a delivery was tried, and when to try it again after a restart.
    pub(super) async fn postpone(&self, row: Uuid, attempts: u32, until: Timestamp) -> Result<(), Error> {
        const POSTPONE: &str = "UPDATE inbox SET attempts = ?2, next_attempt = ?3 WHERE id = ?1";
        let postponed = self.work.run(move |work| {
            work.prepare_cached(POSTPONE)?.execute(params![row.into_bytes(), attempts, until.micros()])
        });
        postponed.await?;
        Ok(())
    }

    /// What became of the first body under this webhook id.
    pub(super) async fn standing(
        &self,
        merchant: MerchantId,
        webhook_id: String,
    ) -> Result<Option<Standing>, Error> {
        let known = Arc::clone(&self.known);
        Ok(self.work.run(move |work| standing(work, &mut lock(&known), merchant, &webhook_id)).await?)
    }

    /// A merchant's dead letters behind `after`, oldest first.
    pub(super) async fn dead_letters(
        &self,
        merchant: MerchantId,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, Error> {
        const LIST: &str = "SELECT id, topic, webhook_id, reason, attempts, received_at, edited FROM inbox \
            WHERE status = 'dead_lettered' AND merchant = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let rows = self.work.run(move |work| {
            let mut list = work.prepare_cached(LIST)?;
            let rows = list.query_map(params![merchant.bytes(), after.into_bytes(), limit], |row| {
                Ok(DeadLetter {
                    row: Uuid::from_bytes(row.get(0)?),
                    topic: row.get(1)?,
                    webhook_id: row.get(2)?,
                    reason: row.get(3)?,
                    attempts: row.get(4)?,
                    received_at: Timestamp::from_micros(row.get(5)?),
                    edited: row.get(6)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(rows.await?)
    }

    /// Opens a dead letter again, under new command keys, with its own body or an edited one.
    pub(super) async fn redrive(
        &self,
        merchant: MerchantId,
        row: Uuid,
        edited: Option<Bytes>,
        now: Timestamp,
    ) -> Result<Result<(), NotDriven>, Error> {
        // Under the keys of before, the streams would answer with the first outcome for ever.
        const REDRIVE: &str = "UPDATE inbox SET status = 'accepted', reason = NULL, attempts = 0, next_attempt = 0, \
            drive = drive + 1, day = coalesce(?3, day), edited = edited OR ?3 IS NOT NULL \
            WHERE id = ?1 AND merchant = ?2 AND status = 'dead_lettered'";
        const EDIT: &str =
            "UPDATE inbox_body SET body = ?2 WHERE seq = (SELECT seq FROM inbox WHERE id = ?1)";
        const EXISTS: &str = "SELECT EXISTS(SELECT 1 FROM inbox WHERE id = ?1 AND merchant = ?2)";
        let sealed = match &edited {
            Some(body) => Some(self.keys.seal_for_day(merchant, day(now), row, &packed(body)).await?),
            None => None,
        };
        let driven = self.work.run(move |work| {
            let (id, merchant) = (row.into_bytes(), merchant.bytes());
            let day = sealed.is_some().then(|| day(now).to_string());
            if work.prepare_cached(REDRIVE)?.execute(params![id, merchant, day])? == 1 {
                if let Some(Sealed(body)) = sealed {
                    work.prepare_cached(EDIT)?.execute(params![id, body])?;
                }
                return Ok(Ok(()));
            }
            let exists = work.prepare_cached(EXISTS)?.query_row(params![id, merchant], |row| row.get(0))?;
            Ok(Err(if exists { NotDriven::NotDead } else { NotDriven::Unknown }))
        });
        Ok(driven.await?)
    }

    /// Whether a customer is known from a body that also came under another shop's name, and from no order since.
    pub(super) async fn is_doubtful(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
    ) -> Result<bool, Error> {
        const DOUBTFUL: &str = "SELECT coalesce(max(shared AND topic LIKE 'customers/%'), 0) \
            AND NOT coalesce(max(topic LIKE 'orders/%'), 0) FROM inbox WHERE subject = ?1 AND merchant = ?2";
        let doubtful = self.work.run(move |work| {
            work.prepare_cached(DOUBTFUL)?
                .query_row(params![customer.bytes(), merchant.bytes()], |row| row.get(0))
        });
        Ok(doubtful.await?)
    }

    /// Deliveries not worked off yet, and those that ended without effect.
    pub(super) async fn counts(&self) -> Result<(u64, u64), Error> {
        const COUNTS: &str = "SELECT (SELECT count(*) FROM inbox WHERE status = 'accepted'), \
            (SELECT count(*) FROM inbox WHERE status = 'dead_lettered')";
        let counts = self
            .work
            .run(|work| work.prepare_cached(COUNTS)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?))));
        Ok(counts.await?)
    }
}

fn day(time: Timestamp) -> NaiveDate {
    time.utc().date_naive()
}

fn lock(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    // Every step leaves an index that says too much at worst, also if a thread panicked in between.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn insert(work: &Connection, known: &mut Known, fresh: &Fresh) -> rusqlite::Result<Kept> {
    const INSERT: &str = "INSERT INTO inbox(id, merchant, topic, webhook_id, body_hash, received_at, correlation, trace, \
        day, people, status, reason, shared) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let twins = twins(work, known, fresh)?;
    let (merchant, topic) = (fresh.merchant, &fresh.topic);
    if let Some(original) = twins.iter().find(|twin| twin.merchant == merchant && twin.topic == *topic) {
        return repeat(work, known, fresh, original.row);
    }
    // The signature does not cover the shop: the same body under two names is suspect under both, done or not.
    let is_shared = twins.iter().any(|twin| twin.merchant != merchant);
    if is_shared {
        for twin in &twins {
            work.prepare_cached("UPDATE inbox SET shared = 1 WHERE seq = ?1")?.execute([twin.seq])?;
        }
    }
    let (status, reason) =
        if fresh.sealed.is_some() { ("accepted", None) } else { ("processed", Some("topic-ignored")) };
    work.prepare_cached(INSERT)?.execute(params![
        fresh.row.into_bytes(),
        merchant.bytes(),
        topic,
        fresh.webhook_id,
        fresh.body_hash,
        fresh.received_at.micros(),
        fresh.context.correlation.bytes(),
        trace_bytes(fresh.context.trace),
        fresh.day,
        fresh.people,
        status,
        reason,
        is_shared,
    ])?;
    let seq = work.last_insert_rowid();
    if let Some(Sealed(body)) = &fresh.sealed {
        work.prepare_cached("INSERT INTO inbox_body VALUES(?1, ?2)")?.execute(params![seq, body])?;
    }
    known.add(Key::body(&fresh.body_hash), seq);
    known.add(Key::webhook(merchant, &fresh.webhook_id), seq);
    Ok(Kept { row: fresh.row, open: fresh.sealed.is_some() })
}

/// Remembers a webhook id that came with a body that is here already, unless it came before with another body.
fn repeat(work: &Connection, known: &mut Known, fresh: &Fresh, original: Uuid) -> rusqlite::Result<Kept> {
    const REPEAT: &str = "INSERT INTO delivery VALUES(?1, ?2, ?3, TRUE) ON CONFLICT DO NOTHING";
    if first_under(work, known, fresh.merchant, &fresh.webhook_id)?.is_none() {
        let id = (fresh.merchant.bytes(), &fresh.webhook_id, original.into_bytes());
        work.prepare_cached(REPEAT)?.execute(params![id.0, id.1, id.2])?;
    }
    Ok(Kept { row: original, open: false })
}

/// A row with the same body.
struct Twin {
    seq: i64,
    row: Uuid,
    merchant: MerchantId,
    topic: String,
}

/// All rows with this body, first the oldest.
fn twins(work: &Connection, known: &mut Known, fresh: &Fresh) -> rusqlite::Result<Vec<Twin>> {
    const TWIN: &str = "SELECT id, merchant, topic FROM inbox WHERE seq = ?1 AND body_hash = ?2";
    let mut twins = Vec::new();
    for seq in known.rows(work, Key::body(&fresh.body_hash))? {
        let twin = |row: &Row<'_>| {
            let (id, merchant) = (Uuid::from_bytes(row.get(0)?), MerchantId::from_bytes(row.get(1)?));
            Ok(Twin { seq, row: id, merchant, topic: row.get(2)? })
        };
        twins.extend(work.prepare_cached(TWIN)?.query_row(params![seq, fresh.body_hash], twin).optional()?);
    }
    Ok(twins)
}

/// The first row that came under this webhook id.
fn first_under(
    work: &Connection,
    known: &mut Known,
    merchant: MerchantId,
    webhook_id: &str,
) -> rusqlite::Result<Option<Standing>> {
    const UNDER: &str =
        "SELECT status, reason, position FROM inbox WHERE seq = ?1 AND merchant = ?2 AND webhook_id = ?3";
    for seq in known.rows(work, Key::webhook(merchant, webhook_id))? {
        let mut under = work.prepare_cached(UNDER)?;
        let found = under.query_row(params![seq, merchant.bytes(), webhook_id], |row| {
            Ok(Standing { status: row.get(0)?, reason: row.get(1)?, position: row.get(2)? })
        });
        if let Some(standing) = found.optional()? {
            return Ok(Some(standing));
        }
    }
    Ok(None)
}

fn standing(
    work: &Connection,
    known: &mut Known,
    merchant: MerchantId,
    webhook_id: &str,
) -> rusqlite::Result<Option<Standing>> {
    const REPEATED: &str = "SELECT position FROM delivery JOIN inbox ON inbox.id = delivery.inbox \
        WHERE delivery.merchant = ?1 AND delivery.webhook_id = ?2 AND duplicate";
    let repeated = work.prepare_cached(REPEATED)?.query_row(params![merchant.bytes(), webhook_id], |row| {
        Ok(Standing { status: "duplicate".to_owned(), reason: None, position: row.get(0)? })
    });
    match repeated.optional()? {
        Some(repeated) => Ok(Some(repeated)),
        None => first_under(work, known, merchant, webhook_id),
    }
}

fn stored(row: Uuid, found: &Row<'_>) -> rusqlite::Result<(Delivery, NaiveDate, Sealed)> {
    let delivery = Delivery {
        row,
        merchant: MerchantId::from_bytes(found.get(0)?),
        topic: found.get(1)?,
        received_at: Timestamp::from_micros(found.get(2)?),
        correlation: CorrelationId::from_bytes(found.get(3)?),
        trace: trace(found.get(4)?),
        attempts: found.get(5)?,
        shared: found.get(6)?,
        edited: found.get(7)?,
        drive: found.get(8)?,
        body: String::new(),
    };
    let day: String = found.get(9)?;
    let day = day.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(9, rusqlite::types::Type::Text, Box::new(error))
    })?;
    Ok((delivery, day, Sealed(found.get(10)?)))
}

fn trace_bytes(trace: Trace) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&trace.trace);
    bytes[16..].copy_from_slice(&trace.span);
    bytes
}

fn trace(bytes: [u8; 24]) -> Trace {
    let mut trace = Trace::default();
    trace.trace.copy_from_slice(&bytes[..16]);
    trace.span.copy_from_slice(&bytes[16..]);
    trace
}
