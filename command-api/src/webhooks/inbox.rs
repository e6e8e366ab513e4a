//! Deliveries, kept until they are worked off and after: accepted → processed or dead-lettered, and back by a re-drive.
mod known;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::NaiveDate;
use event_schemas::{CorrelationId, CustomerId, MerchantId, Sealed, ShopDomain, Timestamp, record::Trace};
use group_commit::{Cells, Fault, Session, Store, StoreError, values};
use http_edge::RequestContext;
use privacy::{EVERY_MERCHANT, KeyStore, Kind};
use uuid::Uuid;

use self::known::{Key, Known};
use super::{
    blind,
    body::{packed, unpacked},
    translate::{self, Mentions, NamedShop},
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

/// A delivery that is to be worked off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// Its place among all.
    pub(super) seq: i64,
    pub(super) merchant: MerchantId,
    pub(super) row: Uuid,
    /// Not to be tried before then.
    pub(super) due: Timestamp,
}

/// How far a delivery has come that is still open.
pub(super) struct Tried {
    pub(super) topic: String,
    /// How often it met a fault.
    pub(super) attempts: u32,
    /// Which drive it is in.
    pub(super) drive: u32,
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has its effect, or none is due (the reason says why).
    Processed { reason: Option<&'static str>, position: Option<String>, subject: Option<CustomerId> },
    /// It is done, and its body goes at once: it was about somebody who is erased, or asked for something about a person's
    /// data that is recorded now.
    Forgotten { reason: Option<&'static str>, position: Option<String> },
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
    #[error("the body of a delivery is gone")]
    NoBody,
    #[error("the stored body of a delivery is not text")]
    NotText,
    #[error("the stored body of a delivery cannot be unpacked")]
    NotUnpacked,
}

impl Error {
    /// Whether it is about the one delivery, and not about what all of them need.
    pub(super) const fn is_of_the_body(&self) -> bool {
        use privacy::Error::{EpochGone, Unavailable};
        !matches!(self, Self::Store(_) | Self::Keys(Unavailable(_) | EpochGone { .. }))
    }
}

/// How deliveries are found by what is random in them.
enum Index {
    /// By what a file of ours alone has of it.
    Late(Known),
    /// By indexes that a server keeps for all of us.
    Stored,
}

#[derive(Clone)]
pub(super) struct Inbox {
    work: Store,
    keys: KeyStore,
    index: Arc<Mutex<Index>>,
}

impl Inbox {
    pub(super) fn new(work: Store, keys: KeyStore) -> Self {
        let index = if work.is_shared() { Index::Stored } else { Index::Late(Known::default()) };
        Self { work, keys, index: Arc::new(Mutex::new(index)) }
    }

    /// The shop that a header's domain or a signed body leads to, by what the key store remembers of it.
    pub(super) async fn shop_of(
        &self,
        domain: Option<&ShopDomain>,
        named: NamedShop,
    ) -> Result<Option<MerchantId>, Error> {
        let domains =
            domain.into_iter().chain(&named.domain).map(|domain| (Kind::ShopDomain, domain.as_str()));
        for (kind, text) in domains.chain(named.id.iter().map(|id| (Kind::ShopId, id.as_str()))) {
            if let Some(shop) = self.keys.find(EVERY_MERCHANT, kind, text).await? {
                return Ok(Some(MerchantId(shop.id)));
            }
        }
        Ok(None)
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
        let people = if has_effect {
            blind::references(&self.keys, merchant, mentions.references(&topic))?
        } else {
            Vec::new()
        };
        let body_hash = self.keys.global_hash("webhook-body", body);
        let day = day.to_string();
        Ok(Fresh { row, merchant, topic, webhook_id, body_hash, sealed, people, context, received_at, day })
    }

    /// Keeps deliveries, each once per shop, topic and body (requests about data: while that is open, and under one webhook
    /// id); all of them or none. Durable when it returns.
    pub(super) async fn keep(&self, fresh: Vec<Fresh>) -> Result<Vec<Kept>, Error> {
        let index = Arc::clone(&self.index);
        let kept = self.work.run(move |work| {
            let mut index = lock(&index);
            let kept = fresh.iter().map(|fresh| insert(work, &mut index, fresh)).collect();
            if let Index::Late(known) = &mut *index {
                known.write_if_due(work)?;
            }
            kept
        });
        Ok(kept.await?)
    }

    /// The next open deliveries behind this one, oldest first, `limit` at most.
    pub(super) async fn open_behind(&self, seq: i64, limit: u32) -> Result<Vec<Open>, Error> {
        const OPEN: &str = "SELECT seq, merchant, id, next_attempt FROM inbox WHERE status = 'accepted' AND seq > ?1 \
            ORDER BY seq LIMIT ?2";
        let open = |row: &dyn Cells| {
            let (merchant, id) = (MerchantId::from_bytes(row.at(1)?), Uuid::from_bytes(row.at(2)?));
            Ok(Open { seq: row.at(0)?, merchant, row: id, due: Timestamp::from_micros(row.at(3)?) })
        };
        Ok(self.work.read(move |work| work.all(OPEN, values![seq, limit], open)).await?)
    }

    /// The delivery, if it is still open.
    pub(super) async fn load(&self, row: Uuid) -> Result<Option<Delivery>, Error> {
        const LOAD: &str = "SELECT merchant, topic, received_at, correlation, trace, attempts, shared, edited, drive, \
            day, body FROM inbox LEFT JOIN inbox_body ON inbox_body.seq = inbox.seq \
            WHERE id = ?1 AND status = 'accepted'";
        let found =
            self.work.read(move |work| work.first(LOAD, values![row.as_bytes()], |found| stored(row, found)));
        let Some((mut delivery, day, sealed)) = found.await? else { return Ok(None) };
        let sealed = sealed.ok_or(Error::NoBody)?;
        let clear = self.keys.open_for_day(delivery.merchant, day, row, &sealed).await?;
        delivery.body = String::from_utf8(unpacked(clear)?).map_err(|_| Error::NotText)?;
        Ok(Some(delivery))
    }

    /// How far a delivery has come whose body cannot be had; none if it is not open.
    pub(super) async fn tried(&self, row: Uuid) -> Result<Option<Tried>, Error> {
        const TRIED: &str = "SELECT topic, attempts, drive FROM inbox WHERE id = ?1 AND status = 'accepted'";
        let tried =
            |row: &dyn Cells| Ok(Tried { topic: row.at(0)?, attempts: row.at(1)?, drive: row.at(2)? });
        Ok(self.work.read(move |work| work.first(TRIED, values![row.as_bytes()], tried)).await?)
    }

    /// Whether a delivery mentions somebody who was erased, or what was theirs.
    pub(super) async fn is_of_erased(&self, row: Uuid) -> Result<bool, Error> {
        const WHOSE: &str = "SELECT merchant, people FROM inbox WHERE id = ?1";
        let whose = self.work.read(move |work| {
            work.first(WHOSE, values![row.as_bytes()], |row| Ok((row.at(0)?, row.at::<Vec<u8>>(1)?)))
        });
        let Some((merchant, people)) = whose.await? else { return Ok(false) };
        let people = blind::each(&people).map(|(kind, hash)| (kind, *hash)).collect();
        Ok(self.keys.any_buried(MerchantId::from_bytes(merchant), people).await?)
    }

    /// Ends this drive of a delivery, unless it was ended meanwhile.
    pub(super) async fn finish(&self, row: Uuid, drive: u32, end: End) -> Result<(), Error> {
        const FINISH: &str = "UPDATE inbox SET status = ?2, reason = ?3, position = ?4, subject = ?5 \
            WHERE id = ?1 AND status = 'accepted' AND drive = ?6";
        const FORGET: &str = "UPDATE inbox SET people = ?2 WHERE id = ?1";
        const REMOVE: &str = "DELETE FROM inbox_body WHERE seq = (SELECT seq FROM inbox WHERE id = ?1)";
        let forgotten = matches!(end, End::Forgotten { .. });
        let (status, reason, position, subject) = match end {
            End::Processed { reason, position, subject } => {
                ("processed", reason.map(str::to_owned), position, subject)
            }
            End::Forgotten { reason, position } => ("processed", reason.map(str::to_owned), position, None),
            End::DeadLettered { reason } => ("dead_lettered", Some(reason), None, None),
        };
        let subject = subject.map(CustomerId::bytes);
        let finished = self.work.run(move |work| {
            let (reason, position) = (reason.as_deref(), position.as_deref());
            let values = values![row.as_bytes(), status, reason, position, subject.as_ref(), drive];
            if work.execute(FINISH, values)? == 1 && forgotten {
                work.execute(FORGET, values![row.as_bytes(), &[]])?;
                work.execute(REMOVE, values![row.as_bytes()])?;
            }
            Ok(())
        });
        Ok(finished.await?)
    }

    /// Remembers how many faults this drive of a delivery met, and when to try it again after a restart.
    pub(super) async fn postpone(
        &self,
        row: Uuid,
        drive: u32,
        attempts: u32,
        until: Timestamp,
    ) -> Result<(), Error> {
        const POSTPONE: &str = "UPDATE inbox SET attempts = ?3, next_attempt = ?4 \
            WHERE id = ?1 AND status = 'accepted' AND drive = ?2";
        let postponed = self.work.run(move |work| {
            work.execute(POSTPONE, values![row.as_bytes(), drive, attempts, until.micros()])
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
        let index = Arc::clone(&self.index);
        Ok(self.work.read(move |work| standing(work, &mut lock(&index), merchant, &webhook_id)).await?)
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
        let dead_letter = |row: &dyn Cells| {
            Ok(DeadLetter {
                row: Uuid::from_bytes(row.at(0)?),
                topic: row.at(1)?,
                webhook_id: row.at(2)?,
                reason: row.at(3)?,
                attempts: row.at(4)?,
                received_at: Timestamp::from_micros(row.at(5)?),
                edited: row.at(6)?,
            })
        };
        let rows = self.work.read(move |work| {
            work.all(LIST, values![&merchant.bytes(), after.as_bytes(), limit], dead_letter)
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
            drive = drive + 1, day = coalesce(?3, day), edited = CASE WHEN ?3 IS NULL THEN edited ELSE 1 END \
            WHERE id = ?1 AND merchant = ?2 AND status = 'dead_lettered'";
        const EDIT: &str = "INSERT INTO inbox_body(seq, body) VALUES ((SELECT seq FROM inbox WHERE id = ?1), ?2) \
            ON CONFLICT (seq) DO UPDATE SET body = excluded.body";
        const EXISTS: &str = "SELECT count(*) FROM inbox WHERE id = ?1 AND merchant = ?2";
        let sealed = match &edited {
            Some(body) => Some(self.keys.seal_for_day(merchant, day(now), row, &packed(body)).await?),
            None => None,
        };
        let driven = self.work.run(move |work| {
            let (id, merchant) = (row.into_bytes(), merchant.bytes());
            let day = sealed.is_some().then(|| day(now).to_string());
            if work.execute(REDRIVE, values![&id, &merchant, day.as_deref()])? == 1 {
                if let Some(Sealed(body)) = sealed {
                    work.execute(EDIT, values![&id, &body])?;
                }
                return Ok(Ok(()));
            }
            let exists = work.one(EXISTS, values![&id, &merchant], |row| row.at(0))?;
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
        const DOUBTFUL: &str = "SELECT coalesce(max(CASE WHEN shared = 1 AND topic LIKE 'customers/%' THEN 1 ELSE 0 END), 0), \
            coalesce(max(CASE WHEN topic LIKE 'orders/%' THEN 1 ELSE 0 END), 0) FROM inbox \
            WHERE subject = ?1 AND merchant = ?2";
        let doubtful = self.work.read(move |work| {
            let is_doubtful = |row: &dyn Cells| Ok(row.at(0)? && !row.at::<bool>(1)?);
            work.one(DOUBTFUL, values![&customer.bytes(), &merchant.bytes()], is_doubtful)
        });
        Ok(doubtful.await?)
    }

    /// Deliveries not worked off yet, and those that ended without effect.
    pub(super) async fn counts(&self) -> Result<(u64, u64), Error> {
        const COUNTS: &str = "SELECT (SELECT count(*) FROM inbox WHERE status = 'accepted'), \
            (SELECT count(*) FROM inbox WHERE status = 'dead_lettered')";
        let counts = |row: &dyn Cells| Ok((row.at(0)?, row.at(1)?));
        Ok(self.work.read(move |work| work.one(COUNTS, values![], counts)).await?)
    }
}

fn day(time: Timestamp) -> NaiveDate {
    time.utc().date_naive()
}

fn lock(index: &Mutex<Index>) -> std::sync::MutexGuard<'_, Index> {
    // Every step leaves an index that says too much at worst, also if a thread panicked in between.
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

fn insert(work: &dyn Session, index: &mut Index, fresh: &Fresh) -> Result<Kept, StoreError> {
    const INSERT: &str = "INSERT INTO inbox(id, merchant, topic, webhook_id, body_hash, received_at, correlation, trace, \
        day, people, status, reason, shared) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let twins = twins(work, index, fresh)?;
    let (merchant, topic) = (fresh.merchant, &fresh.topic);
    for original in twins.iter().filter(|twin| twin.merchant == merchant && twin.topic == *topic) {
        if original.stands_for(work, fresh)? {
            return repeat(work, index, fresh, original.row);
        }
    }
    // The signature does not cover the shop: the same body under two names is suspect under both, done or not.
    let is_shared = twins.iter().any(|twin| twin.merchant != merchant);
    if is_shared {
        for twin in &twins {
            work.execute("UPDATE inbox SET shared = 1 WHERE seq = ?1", values![twin.seq])?;
        }
    }
    let (status, reason) =
        if fresh.sealed.is_some() { ("accepted", None) } else { ("processed", Some("topic-ignored")) };
    let (shop, correlation) = (merchant.bytes(), fresh.context.correlation.bytes());
    let trace = trace_bytes(fresh.context.trace);
    let values = values![
        fresh.row.as_bytes(),
        &shop,
        topic,
        &fresh.webhook_id,
        &fresh.body_hash,
        fresh.received_at.micros(),
        &correlation,
        &trace,
        &fresh.day,
        &fresh.people,
        status,
        reason,
        is_shared,
    ];
    let seq = work.number("seq", INSERT, values)?;
    if let Some(Sealed(body)) = &fresh.sealed {
        work.execute("INSERT INTO inbox_body VALUES(?1, ?2)", values![seq, body])?;
    }
    if let Index::Late(known) = index {
        known.add(Key::body(&fresh.body_hash), seq);
        known.add(Key::webhook(merchant, &fresh.webhook_id), seq);
    }
    Ok(Kept { row: fresh.row, open: fresh.sealed.is_some() })
}

/// Remembers a webhook id that came with a body that is here already, unless it came before with another body.
fn repeat(work: &dyn Session, index: &mut Index, fresh: &Fresh, original: Uuid) -> Result<Kept, StoreError> {
    const REPEAT: &str = "INSERT INTO delivery VALUES(?1, ?2, ?3, 1) ON CONFLICT DO NOTHING";
    if first_under(work, index, fresh.merchant, &fresh.webhook_id)?.is_none() {
        work.execute(REPEAT, values![&fresh.merchant.bytes(), &fresh.webhook_id, original.as_bytes()])?;
    }
    Ok(Kept { row: original, open: false })
}

/// A row with the same body.
struct Twin {
    seq: i64,
    row: Uuid,
    merchant: MerchantId,
    topic: String,
    webhook_id: String,
    is_open: bool,
}

impl Twin {
    /// Whether what came anew is this delivery once more. A request about data has no time of its own: whoever asks again
    /// with the same words, because somebody joined again or because the first request had no effect, asks anew.
    fn stands_for(&self, work: &dyn Session, fresh: &Fresh) -> Result<bool, StoreError> {
        const REPEATED: &str =
            "SELECT count(*) FROM delivery WHERE merchant = ?1 AND webhook_id = ?2 AND inbox = ?3";
        if !translate::is_compliance(&fresh.topic) || self.is_open || self.webhook_id == fresh.webhook_id {
            return Ok(true);
        }
        let merchant = fresh.merchant.bytes();
        let values = values![&merchant, &fresh.webhook_id, self.row.as_bytes()];
        work.one(REPEATED, values, |row| row.at(0))
    }
}

/// All rows with this body, first the oldest.
fn twins(work: &dyn Session, index: &mut Index, fresh: &Fresh) -> Result<Vec<Twin>, StoreError> {
    const TWINS: &str = "SELECT seq, id, merchant, topic, webhook_id, status = 'accepted' FROM inbox \
        WHERE body_hash = ?1 ORDER BY seq";
    const TWIN: &str = "SELECT seq, id, merchant, topic, webhook_id, status = 'accepted' FROM inbox \
        WHERE body_hash = ?1 AND seq = ?2";
    let twin = |row: &dyn Cells| {
        let (id, merchant) = (Uuid::from_bytes(row.at(1)?), MerchantId::from_bytes(row.at(2)?));
        let (webhook_id, is_open) = (row.at(4)?, row.at(5)?);
        Ok(Twin { seq: row.at(0)?, row: id, merchant, topic: row.at(3)?, webhook_id, is_open })
    };
    let Index::Late(known) = index else { return work.all(TWINS, values![&fresh.body_hash], twin) };
    let mut twins = Vec::new();
    for seq in known.rows(work, Key::body(&fresh.body_hash))? {
        twins.extend(work.first(TWIN, values![&fresh.body_hash, seq], twin)?);
    }
    Ok(twins)
}

/// The first row that came under this webhook id.
fn first_under(
    work: &dyn Session,
    index: &mut Index,
    merchant: MerchantId,
    webhook_id: &str,
) -> Result<Option<Standing>, StoreError> {
    const ALL: &str = "SELECT status, reason, position FROM inbox WHERE merchant = ?1 AND webhook_id = ?2 ORDER BY seq LIMIT 1";
    const ONE: &str =
        "SELECT status, reason, position FROM inbox WHERE merchant = ?1 AND webhook_id = ?2 AND seq = ?3";
    let standing =
        |row: &dyn Cells| Ok(Standing { status: row.at(0)?, reason: row.at(1)?, position: row.at(2)? });
    let of = merchant.bytes();
    let Index::Late(known) = index else { return work.first(ALL, values![&of, webhook_id], standing) };
    for seq in known.rows(work, Key::webhook(merchant, webhook_id))? {
        if let Some(standing) = work.first(ONE, values![&of, webhook_id, seq], standing)? {
            return Ok(Some(standing));
        }
    }
    Ok(None)
}

fn standing(
    work: &dyn Session,
    index: &mut Index,
    merchant: MerchantId,
    webhook_id: &str,
) -> Result<Option<Standing>, StoreError> {
    const REPEATED: &str = "SELECT position FROM delivery JOIN inbox ON inbox.id = delivery.inbox \
        WHERE delivery.merchant = ?1 AND delivery.webhook_id = ?2 AND duplicate = 1";
    let repeated = work.first(REPEATED, values![&merchant.bytes(), webhook_id], |row| {
        Ok(Standing { status: "duplicate".to_owned(), reason: None, position: row.at(0)? })
    })?;
    match repeated {
        Some(repeated) => Ok(Some(repeated)),
        None => first_under(work, index, merchant, webhook_id),
    }
}

/// The delivery, and its body if there is one, under the key of this day.
fn stored(row: Uuid, found: &dyn Cells) -> Result<(Delivery, NaiveDate, Option<Sealed>), StoreError> {
    let delivery = Delivery {
        row,
        merchant: MerchantId::from_bytes(found.at(0)?),
        topic: found.at(1)?,
        received_at: Timestamp::from_micros(found.at(2)?),
        correlation: CorrelationId::from_bytes(found.at(3)?),
        trace: trace(found.at(4)?),
        attempts: found.at(5)?,
        shared: found.at(6)?,
        edited: found.at(7)?,
        drive: found.at(8)?,
        body: String::new(),
    };
    let day = found.cell(9)?.text()?.parse().map_err(StoreError::of_cell)?;
    Ok((delivery, day, found.at::<Option<Vec<u8>>>(10)?.map(Sealed)))
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
