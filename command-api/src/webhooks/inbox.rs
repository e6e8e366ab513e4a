//! Deliveries, kept until they are worked off and after: accepted → processed or dead-lettered, and back by a re-drive.
use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::NaiveDate;
use event_schemas::{CorrelationId, CustomerId, MerchantId, Sealed, Timestamp, record::Trace};
use group_commit::{Database, Fault};
use http_edge::RequestContext;
use privacy::KeyStore;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    body::{packed, unpacked},
    translate,
};
use crate::chance;

/// A verified delivery as it came in.
pub(super) struct Arrival {
    pub(super) merchant: MerchantId,
    pub(super) topic: String,
    pub(super) webhook_id: String,
    /// JSON in UTF-8.
    pub(super) body: Bytes,
    pub(super) context: RequestContext,
    pub(super) received_at: Timestamp,
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
}

impl Inbox {
    pub(super) fn new(work: Database, keys: KeyStore) -> Self {
        Self { work, keys }
    }

    /// Keeps a delivery, once per shop, topic and body. Durable when it returns.
    pub(super) async fn accept(&self, arrival: Arrival) -> Result<Kept, Error> {
        let row = chance::id();
        let body_hash = self.keys.global_hash("webhook-body", &arrival.body);
        let has_effect = translate::is_known(&arrival.topic);
        // What has no effect is only remembered, not kept.
        let sealed = if has_effect { Some(self.seal(arrival.merchant, row, &arrival).await?) } else { None };
        let people = if has_effect { self.people(&arrival)? } else { Vec::new() };
        let kept = self.work.run(move |work| insert(work, row, &arrival, body_hash, sealed, &people)).await?;
        Ok(Kept { open: kept.open && has_effect, ..kept })
    }

    async fn seal(&self, merchant: MerchantId, row: Uuid, arrival: &Arrival) -> Result<Sealed, Error> {
        Ok(self.keys.seal_for_day(merchant, day(arrival.received_at), row, &packed(&arrival.body)).await?)
    }

    /// Keyed hashes of whom a body is about, one after the other. The kind is hashed with the text.
    fn people(&self, arrival: &Arrival) -> Result<Vec<u8>, Error> {
        // The door let only text through.
        let body = std::str::from_utf8(&arrival.body).unwrap_or_default();
        let found = translate::references(&arrival.topic, body);
        let texts: Vec<_> = found
            .into_iter()
            .map(|(kind, text)| (format!("inbox/{}", kind.as_str()), text.0.trim().to_lowercase()))
            .collect();
        let hashes: BTreeSet<[u8; 32]> = self.keys.hash_many(arrival.merchant, &texts)?.into_iter().collect();
        Ok(hashes.into_iter().flatten().collect())
    }

    /// All open deliveries, oldest first, with the time before which they are not to be tried.
    pub(super) async fn open_rows(&self) -> Result<Vec<(MerchantId, Uuid, Timestamp)>, Error> {
        const OPEN: &str =
            "SELECT merchant, id, next_attempt FROM inbox WHERE status = 'accepted' ORDER BY id";
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
        const STANDING: &str = "SELECT CASE WHEN duplicate THEN 'duplicate' ELSE status END, \
            CASE WHEN duplicate THEN NULL ELSE reason END, position \
            FROM delivery JOIN inbox ON inbox.id = delivery.inbox \
            WHERE delivery.merchant = ?1 AND delivery.webhook_id = ?2";
        let found = self.work.run(move |work| {
            let mut standing = work.prepare_cached(STANDING)?;
            let found = standing.query_row(params![merchant.bytes(), webhook_id], |row| {
                Ok(Standing { status: row.get(0)?, reason: row.get(1)?, position: row.get(2)? })
            });
            found.optional()
        });
        Ok(found.await?)
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
        const COUNTS: &str = "SELECT coalesce(sum(status = 'accepted'), 0), coalesce(sum(status = 'dead_lettered'), 0) \
            FROM inbox WHERE status <> 'processed'";
        let counts = self
            .work
            .run(|work| work.prepare_cached(COUNTS)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?))));
        Ok(counts.await?)
    }
}

fn day(time: Timestamp) -> NaiveDate {
    time.utc().date_naive()
}

fn insert(
    work: &Connection,
    row: Uuid,
    arrival: &Arrival,
    body_hash: [u8; 32],
    sealed: Option<Sealed>,
    people: &[u8],
) -> rusqlite::Result<Kept> {
    const INSERT: &str = "INSERT INTO inbox(id, merchant, topic, webhook_id, body_hash, received_at, correlation, trace, \
        day, people, status, reason) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
        ON CONFLICT(body_hash, merchant, topic) DO NOTHING";
    let merchant = arrival.merchant.bytes();
    let (status, reason) =
        if sealed.is_some() { ("accepted", None) } else { ("processed", Some("topic-ignored")) };
    let inserted = work.prepare_cached(INSERT)?.execute(params![
        row.into_bytes(),
        merchant,
        arrival.topic,
        arrival.webhook_id,
        body_hash,
        arrival.received_at.micros(),
        arrival.context.correlation.bytes(),
        trace_bytes(arrival.context.trace),
        day(arrival.received_at).to_string(),
        people,
        status,
        reason,
    ])?;
    let fresh = inserted == 1;
    let row = if fresh { row } else { original(work, arrival, body_hash)? };
    if fresh {
        if let Some(Sealed(body)) = sealed {
            let seq = work.last_insert_rowid();
            work.prepare_cached("INSERT INTO inbox_body VALUES(?1, ?2)")?.execute(params![seq, body])?;
        }
        flag_shared(work, merchant, body_hash)?;
    }
    work.prepare_cached("INSERT INTO delivery VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
        .execute(params![merchant, arrival.webhook_id, row.into_bytes(), !fresh,])?;
    Ok(Kept { row, open: fresh })
}

fn original(work: &Connection, arrival: &Arrival, body_hash: [u8; 32]) -> rusqlite::Result<Uuid> {
    const ORIGINAL: &str = "SELECT id FROM inbox WHERE body_hash = ?1 AND merchant = ?2 AND topic = ?3";
    let mut original = work.prepare_cached(ORIGINAL)?;
    let id =
        original.query_row(params![body_hash, arrival.merchant.bytes(), arrival.topic], |row| row.get(0))?;
    Ok(Uuid::from_bytes(id))
}

/// The signature does not cover the shop: the same body under two names is suspect under both, done or not.
fn flag_shared(work: &Connection, merchant: [u8; 16], body_hash: [u8; 32]) -> rusqlite::Result<()> {
    const FLAG: &str = "UPDATE inbox SET shared = 1 WHERE body_hash = ?1 AND EXISTS \
        (SELECT 1 FROM inbox AS other WHERE other.body_hash = ?1 AND other.merchant <> ?2)";
    work.prepare_cached(FLAG)?.execute(params![body_hash, merchant]).map(drop)
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
