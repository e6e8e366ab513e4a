//! What an erasure removes from the inbox: bodies and blind references, also of dead letters. The rows stay, so that a
//! delivery that comes again is known.
use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use event_schemas::{MerchantId, RequestId};
use group_commit::{Cells, Fault, Session, Store, StoreError, values};
use privacy::{KeyStore, Kind, Whom};
use tokio::sync::oneshot;

use super::{blind::Sought, translate};
use crate::{marks, requests};

/// So many rows are looked at in one go, beside traffic.
const LOOKED_AT_MAX: u32 = 10_000;
/// Up to this row, only those have a body that are not done, or were done late.
pub(crate) const EMPTIED: &str = "inbox-emptied";
/// The reason of a delivery that ended because its person was erased.
pub(super) const ERASED: &str = "subject-erased";

/// The deliveries of a person could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The inbox did not answer.
    #[error("the inbox is not available")]
    Store(#[from] Fault),
    /// The references of the person could not be had.
    #[error("the keys of the inbox are not available")]
    Keys(#[from] privacy::Error),
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Deliveries that were about the person.
    pub deliveries: u64,
    /// Those of them that had ended without effect.
    pub dead_letters: u64,
    /// Those of them that were still to be worked off.
    pub open: u64,
}

/// Looks for the deliveries of whoever is being erased. One pass over the inbox serves all who wait for it.
pub struct Finder {
    work: Store,
    keys: KeyStore,
    waiting: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

struct Waiting {
    merchant: MerchantId,
    /// None: everybody in the shop.
    sought: Option<Sought>,
    answer: oneshot::Sender<Vec<i64>>,
}

impl Finder {
    /// Over this inbox.
    #[must_use]
    pub fn new(work: Store, keys: KeyStore) -> Self {
        Self { work, keys, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The deliveries of those whom a request is about, as numbers for [`purge`]: found by what the directory has of them,
    /// so it is asked before that is destroyed, and by what the request itself named.
    ///
    /// An open request about data is not among them: it is worked off, and forgotten then.
    ///
    /// # Errors
    /// [`Error`]: ask again.
    pub async fn find(
        &self,
        merchant: MerchantId,
        request: RequestId,
        whom: &Whom,
    ) -> Result<Vec<i64>, Error> {
        let sought = match whom {
            Whom::Shop => None,
            Whom::Person(_) => {
                let mut sought = Sought::default();
                for (kind, hash) in self.keys.references_of(merchant, whom).await? {
                    sought.add(kind, hash);
                }
                let named = self.work.read(move |work| requests::people(work, request)).await?;
                sought.add_all(&named.unwrap_or_default());
                Some(sought)
            }
        };
        self.wait_for(merchant, sought).await
    }

    /// The deliveries of a shop that mention what was erased, as they are after an older inbox was restored.
    ///
    /// # Errors
    /// [`Error`]: ask again.
    pub async fn find_buried(&self, merchant: MerchantId) -> Result<Vec<i64>, Error> {
        let buried = self.keys.buried(merchant).await?;
        if buried.is_empty() {
            return Ok(Vec::new());
        }
        let mut sought = Sought::default();
        for hash in buried {
            sought.add(Kind::Order, hash);
        }
        self.wait_for(merchant, Some(sought)).await
    }

    async fn wait_for(&self, merchant: MerchantId, sought: Option<Sought>) -> Result<Vec<i64>, Error> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { merchant, sought, answer };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
        let turn = self.turn.lock().await;
        // Whoever had the turn before may have looked for this one too.
        let waiting = mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !waiting.is_empty() {
            self.look(waiting).await?;
        }
        drop(turn);
        answered.await.map_err(|_| Fault::Closed.into())
    }

    /// Looks through all deliveries that may have a body: those that are not done, those that were done late, and the
    /// younger ones.
    async fn look(&self, waiting: Vec<Waiting>) -> Result<(), Error> {
        const NEXT: &str =
            "SELECT seq, merchant, topic, status, people FROM inbox WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let merchants: Arc<HashSet<_>> = Arc::new(waiting.iter().map(|waiting| waiting.merchant).collect());
        let mut found: Vec<_> = waiting.into_iter().map(|waiting| (waiting, Vec::new())).collect();
        let emptied = self.work.read(|work| marks::get(work, EMPTIED)).await?;
        let of = Arc::clone(&merchants);
        let old = self.work.read(move |work| {
            let mut rows = Rows::default();
            // The status is written out, because a partial index serves it.
            for which in [
                "status = 'accepted' AND seq <= ?1",
                "status = 'dead_lettered' AND seq <= ?1",
                "status = 'processed' AND seq IN (SELECT seq FROM inbox_body WHERE seq <= ?1)",
            ] {
                let old = format!("SELECT seq, merchant, topic, status, people FROM inbox WHERE {which}");
                work.each(&old, values![emptied], &mut |row| rows.take(&of, row))?;
            }
            Ok(rows)
        });
        sort_out(&mut found, &old.await?.theirs);
        let mut last = emptied;
        loop {
            let of = Arc::clone(&merchants);
            let next = self.work.read(move |work| {
                let mut rows = Rows { last, ..Rows::default() };
                work.each(NEXT, values![last, LOOKED_AT_MAX], &mut |row| rows.take(&of, row))?;
                Ok(rows)
            });
            let next = next.await?;
            sort_out(&mut found, &next.theirs);
            last = next.last;
            if next.seen < LOOKED_AT_MAX {
                break;
            }
        }
        for (waiting, found) in found {
            // Who went away asks again.
            drop(waiting.answer.send(found));
        }
        Ok(())
    }
}

/// Rows that were looked at.
#[derive(Default)]
struct Rows {
    seen: u32,
    last: i64,
    /// Those of the shops in question, with whom they are about.
    theirs: Vec<(i64, MerchantId, Vec<u8>)>,
}

impl Rows {
    fn take(&mut self, merchants: &HashSet<MerchantId>, row: &dyn Cells) -> Result<(), StoreError> {
        (self.seen, self.last) = (self.seen + 1, row.at(0)?);
        let merchant = MerchantId::from_bytes(row.at(1)?);
        let is_asked = row.cell(3)?.text()? == "accepted" && translate::is_compliance(row.cell(2)?.text()?);
        if merchants.contains(&merchant) && !is_asked {
            self.theirs.push((self.last, merchant, row.at(4)?));
        }
        Ok(())
    }
}

fn sort_out(found: &mut [(Waiting, Vec<i64>)], rows: &[(i64, MerchantId, Vec<u8>)]) {
    for (waiting, found) in found {
        let own = rows.iter().filter(|(_, merchant, people)| {
            *merchant == waiting.merchant
                && waiting.sought.as_ref().is_none_or(|sought| sought.are_in(people))
        });
        found.extend(own.map(|(seq, ..)| *seq));
    }
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Finder")
    }
}

/// Removes bodies and blind references of these deliveries; those that are open or dead-lettered end. In the caller's
/// transaction; what was removed already is not counted again.
///
/// # Errors
/// The store refused.
pub fn purge(work: &dyn Session, deliveries: &[i64]) -> Result<Purged, StoreError> {
    const STATUS: &str = "SELECT status FROM inbox WHERE seq = ?1 \
        AND (length(people) > 0 OR EXISTS (SELECT 1 FROM inbox_body WHERE inbox_body.seq = inbox.seq))";
    const END: &str = "UPDATE inbox SET people = ?2, subject = NULL, status = 'processed', \
        reason = CASE WHEN status = 'processed' THEN reason ELSE ?3 END WHERE seq = ?1";
    const REMOVE: &str = "DELETE FROM inbox_body WHERE seq = ?1";
    let mut purged = Purged::default();
    for seq in deliveries {
        let status = work.first(STATUS, values![*seq], |row| row.at::<String>(0))?;
        let Some(status) = status else { continue };
        work.execute(END, values![*seq, &[], ERASED])?;
        work.execute(REMOVE, values![*seq])?;
        purged.deliveries += 1;
        purged.dead_letters += u64::from(status == "dead_lettered");
        purged.open += u64::from(status == "accepted");
    }
    Ok(purged)
}
