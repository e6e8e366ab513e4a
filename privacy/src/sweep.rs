//! Rows of the directory that no event stands behind, because a crash came between the two: they are doubted, and removed
//! once nobody asked for them for a while. Whoever resolves a doubted row ends the doubt in the same commit.
use chrono::{Datelike, NaiveDate};
use event_schemas::{CustomerId, MerchantId};
use group_commit::values;
use uuid::Uuid;

use crate::{Error, KeyStore, Kind, directory::person};

/// A row of the directory, without what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryRow {
    /// Its number; rows are numbered as they come.
    pub number: i64,
    /// The shop, or [`EVERY_MERCHANT`](crate::EVERY_MERCHANT).
    pub merchant: MerchantId,
    /// What it names.
    pub kind: Kind,
    /// The id it leads to.
    pub id: Uuid,
    /// The person it belongs to.
    pub subject: Option<CustomerId>,
    /// Since when it is doubted, in Unix seconds.
    pub doubted_at: Option<i64>,
}

impl KeyStore {
    /// The shops that have keys of days before this one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn shops_with_days_before(&self, before: NaiveDate) -> Result<Vec<MerchantId>, Error> {
        const SHOPS: &str = "SELECT DISTINCT merchant FROM day_key WHERE day < ?1";
        let shops = self.look(move |session| {
            let values = values![before.num_days_from_ce()];
            Ok(session.store.all(SHOPS, values, |row| row.at(0).map(MerchantId::from_bytes))?)
        });
        shops.await
    }

    /// The rows behind `number` up to the first that was added at or after `added_before` (Unix seconds), at most `limit`.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a row of no known kind, [`Error::Unavailable`].
    pub async fn directory_behind(
        &self,
        number: i64,
        added_before: i64,
        limit: u32,
    ) -> Result<Vec<DirectoryRow>, Error> {
        const BEHIND: &str =
            "SELECT n, merchant, kind, id, subject, added_at FROM directory WHERE n > ?1 ORDER BY n LIMIT ?2";
        let rows = self.look(move |session| {
            Ok(session.store.all(BEHIND, values![number, limit], |row| {
                let (kind, added_at) = (row.at::<u32>(2)?, row.at::<i64>(5)?);
                let (merchant, id) = (MerchantId::from_bytes(row.at(1)?), Uuid::from_bytes(row.at(3)?));
                Ok((row.at::<i64>(0)?, merchant, kind, id, person(row.at(4)?), added_at))
            })?)
        });
        let settled = rows.await?.into_iter().take_while(|(.., added_at)| *added_at < added_before);
        settled
            .map(|(number, merchant, kind, id, subject, added_at)| {
                let kind = u8::try_from(kind).ok().and_then(Kind::from_number);
                let kind = kind.ok_or_else(|| Error::Damaged { what: format!("directory row {number}") })?;
                let doubted_at = (added_at < 0).then(|| added_at.saturating_neg());
                Ok(DirectoryRow { number, merchant, kind, id, subject, doubted_at })
            })
            .collect()
    }

    /// Doubts these rows as of `now` (Unix seconds); one that is doubted already stays so since then.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn doubt(&self, numbers: Vec<i64>, now: i64) -> Result<(), Error> {
        const DOUBT: &str = "UPDATE directory SET added_at = ?2 WHERE n = ?1 AND added_at >= 0";
        self.commit(move |session| {
            for number in numbers {
                session.store.execute(DOUBT, values![number, now.max(1).saturating_neg()])?;
            }
            Ok(())
        })
        .await
    }

    /// Removes those of these rows that are doubted since before `doubted_before` (Unix seconds); says how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn remove_doubted(&self, numbers: Vec<i64>, doubted_before: i64) -> Result<u64, Error> {
        const REMOVE: &str = "DELETE FROM directory WHERE n = ?1 AND added_at < 0 AND added_at > ?2";
        self.commit(move |session| {
            let mut removed = 0;
            for number in numbers {
                removed += session.store.execute(REMOVE, values![number, doubted_before.saturating_neg()])?;
            }
            Ok(removed)
        })
        .await
    }
}
