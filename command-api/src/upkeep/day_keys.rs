//! Keys of inbox days are destroyed after a week. What is not done by then is sealed again first, under the key of today.
use chrono::{NaiveDate, NaiveTime};
use event_schemas::{MerchantId, Sealed, Timestamp};
use group_commit::{Cells, Session, StoreError, values};
use uuid::Uuid;

use super::{Error, Upkeep};
use crate::{marks, webhooks::purge::EMPTIED};

/// Deliveries that are sealed again in one transaction.
const SEALED_MAX: u32 = 100;
/// Deliveries whose bodies go in one transaction.
const EMPTIED_MAX: u32 = 1_000;
/// Deliveries that are looked at in one go.
const LOOKED_AT_MAX: u32 = 10_000;
/// The shops whose keys of days before this day are destroyed, as far as is known: so many days.
pub(super) const DESTROYED: &str = "day-keys-destroyed";

/// A delivery that is not done, as it lies under an old key.
struct Old {
    seq: i64,
    row: Uuid,
    merchant: MerchantId,
    day: NaiveDate,
    sealed: Sealed,
}

impl Upkeep {
    /// Destroys the keys of all days before this one: seals again what is open, lets go of what is done, and only then
    /// destroys. A crash in between leaves every delivery readable under the one key or the other.
    pub(super) async fn destroy_days(&self, before: NaiveDate, now: Timestamp) -> Result<(), Error> {
        let day = i64::from(chrono::Datelike::num_days_from_ce(&before));
        // A later day was of a clock that was ahead.
        if self.work.read(|work| marks::get(work, DESTROYED)).await? == day {
            return Ok(());
        }
        self.seal_again(before, now).await?;
        self.empty(before).await?;
        for merchant in self.keys.shops_with_days_before(before).await? {
            let destroyed = match self.keys.destroy_days(merchant, before).await {
                // The keys of its days went with the shop.
                Err(privacy::Error::ShopErased { .. }) => 0,
                destroyed => destroyed?,
            };
            metrics::counter!("privacy_day_keys_destroyed_total").increment(destroyed);
        }
        self.work.run(move |work| marks::set(work, DESTROYED, day)).await?;
        Ok(())
    }

    /// Seals all that is open, dead letters too, under today's key.
    pub(crate) async fn seal_again(&self, before: NaiveDate, now: Timestamp) -> Result<(), Error> {
        let today = now.utc().date_naive();
        for status in ["accepted", "dead_lettered"] {
            let mut last = 0;
            loop {
                let old = self.work.read(move |work| old(work, status, before, last)).await?;
                let Some(end) = old.last() else { break };
                last = end.seq;
                let mut renewed = Vec::new();
                for old in old {
                    renewed.extend(self.sealed_again(old, today).await?);
                }
                self.work.run(move |work| replace(work, &renewed, today)).await?;
            }
        }
        Ok(())
    }

    /// The body under today's key; nothing if no key opens it any more.
    async fn sealed_again(&self, old: Old, today: NaiveDate) -> Result<Option<(Old, Sealed)>, Error> {
        let Old { row, merchant, day, ref sealed, .. } = old;
        let clear = match self.keys.open_for_day(merchant, day, row, sealed).await {
            Ok(clear) => clear,
            Err(error @ privacy::Error::Unavailable(_)) => return Err(error.into()),
            Err(privacy::Error::ShopErased { .. }) => return Ok(None),
            Err(error) => {
                metrics::counter!("webhooks_lost_total").increment(1);
                tracing::error!(
                    inbox.row = %row, merchant.id = %merchant, error = &error as &dyn std::error::Error,
                    "A delivery that is not done cannot be read any more"
                );
                return Ok(None);
            }
        };
        match self.keys.seal_for_day(merchant, today, row, &clear).await {
            Ok(sealed) => Ok(Some((old, sealed))),
            Err(privacy::Error::ShopErased { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets go of the bodies of deliveries that are done: their keys go now.
    async fn empty(&self, before: NaiveDate) -> Result<(), Error> {
        let start = Timestamp::from_micros(before.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
        let mut old = self.work.read(|work| marks::get(work, EMPTIED)).await?;
        while let Some(next) = self.work.read(move |work| came_before(work, start, old)).await? {
            old = next;
        }
        let mut last = 0;
        while let Some(next) = self.work.run(move |work| empty(work, before, last, old)).await? {
            last = next;
        }
        Ok(self.work.run(move |work| marks::set(work, EMPTIED, old)).await?)
    }
}

fn old(work: &dyn Session, status: &str, before: NaiveDate, last: i64) -> Result<Vec<Old>, StoreError> {
    // The status is written out, because a partial index serves it.
    let sql = format!(
        "SELECT inbox.seq, id, merchant, day, body FROM inbox JOIN inbox_body ON inbox_body.seq = inbox.seq \
         WHERE status = '{status}' AND day < ?1 AND inbox.seq > ?2 ORDER BY inbox.seq LIMIT ?3"
    );
    work.all(&sql, values![&*before.to_string(), last, SEALED_MAX], |row: &dyn Cells| {
        Ok(Old {
            seq: row.at(0)?,
            row: Uuid::from_bytes(row.at(1)?),
            merchant: MerchantId::from_bytes(row.at(2)?),
            day: row.cell(3)?.text()?.parse().map_err(StoreError::of_cell)?,
            sealed: Sealed(row.at(4)?),
        })
    })
}

fn replace(work: &dyn Session, renewed: &[(Old, Sealed)], today: NaiveDate) -> Result<(), StoreError> {
    // One that got a new body meanwhile, with a key of its own, keeps that.
    const DAY: &str = "UPDATE inbox SET day = ?3 WHERE seq = ?1 AND day = ?2";
    const BODY: &str = "UPDATE inbox_body SET body = ?2 WHERE seq = ?1";
    for (old, Sealed(body)) in renewed {
        let (was, is) = (old.day.to_string(), today.to_string());
        if work.execute(DAY, values![old.seq, &*was, &*is])? == 1 {
            work.execute(BODY, values![old.seq, body])?;
        }
    }
    Ok(())
}

/// The last delivery of those next behind this one that came before then.
fn came_before(work: &dyn Session, start: Timestamp, last: i64) -> Result<Option<i64>, StoreError> {
    const NEXT: &str = "SELECT seq, received_at FROM inbox WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let rows = work.all(NEXT, values![last, LOOKED_AT_MAX], |row| Ok((row.at(0)?, row.at(1)?)))?;
    let old = rows.into_iter().take_while(|(_, received_at): &(i64, i64)| *received_at < start.micros());
    Ok(old.last().map(|(seq, _)| seq))
}

/// Removes bodies and blind references of deliveries behind `last` and up to `old` that are done; gives where to go on.
fn empty(work: &dyn Session, before: NaiveDate, last: i64, old: i64) -> Result<Option<i64>, StoreError> {
    // From the bodies that are left, which are few: of what is not done, and of what was done late. SQLite keeps the order.
    const NEXT: &str = "SELECT inbox.seq FROM inbox_body CROSS JOIN inbox WHERE inbox.seq = inbox_body.seq \
        AND inbox_body.seq > ?1 AND inbox_body.seq <= ?2 AND status = 'processed' AND day < ?3 \
        ORDER BY inbox_body.seq LIMIT ?4";
    const REMOVE: &str = "DELETE FROM inbox_body WHERE seq = ?1";
    const FORGET: &str = "UPDATE inbox SET people = ?2 WHERE seq = ?1 AND length(people) > 0";
    let done: Vec<i64> =
        work.all(NEXT, values![last, old, &*before.to_string(), EMPTIED_MAX], |row| row.at(0))?;
    for seq in &done {
        work.execute(REMOVE, values![*seq])?;
        work.execute(FORGET, values![*seq, &[]])?;
    }
    Ok(done.last().copied())
}
