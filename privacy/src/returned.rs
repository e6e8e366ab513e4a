//! Keys of erased people and shops that are there again although a certificate says that they were destroyed: somebody has
//! put rows back from a copy of the store.
use event_schemas::MerchantId;
use group_commit::values;

use crate::{
    Error, KeyStore, erasure::is_destroyed, keys::DataKeyId, rotation::WrappedRow, schema::NOBODY,
    session::Session,
};

/// Fences that one look reads.
const PAGE: u32 = 1_000;

/// A walk over all fences with a certificate, page by page.
pub(crate) struct Returned {
    /// The fence to go on behind, if there are more.
    fence: Option<i64>,
    /// Shops of the page whose subjects are still to be looked at, and the subject to go on behind.
    shops: Vec<(MerchantId, [u8; 16])>,
}

/// What hangs under a page of fences.
struct Fences {
    last: Option<i64>,
    shops: Vec<MerchantId>,
    rows: Vec<WrappedRow>,
}

impl Returned {
    pub(crate) fn new() -> Self {
        Self { fence: Some(0), shops: Vec::new() }
    }

    /// What a further page found, mostly nothing; `None` at the end.
    pub(crate) async fn next(&mut self, store: &KeyStore) -> Result<Option<Vec<WrappedRow>>, Error> {
        let rows = if let Some((shop, after)) = self.shops.pop() {
            let rows = store.look(move |session| session.keys_of_shop(shop, after)).await?;
            self.shops.extend(rows.last().and_then(WrappedRow::subject).map(|last| (shop, last)));
            rows
        } else if let Some(after) = self.fence {
            let fences = store.look(move |session| session.certified(after)).await?;
            self.fence = fences.last;
            self.shops.extend(fences.shops.into_iter().map(|shop| (shop, NOBODY)));
            fences.rows
        } else {
            return Ok(None);
        };
        Ok(Some(rows.into_iter().filter(|row| !is_destroyed(&row.wrapped)).collect()))
    }
}

impl KeyStore {
    /// Destroys again what has come back; how many keys.
    pub(crate) async fn overwrite_returned(&self) -> Result<u64, Error> {
        let (mut returned, mut count) = (Returned::new(), 0);
        while let Some(rows) = returned.next(self).await? {
            if rows.is_empty() {
                continue;
            }
            for WrappedRow { id, .. } in &rows {
                tracing::error!(merchant.id = %id.merchant, "ALARM: {}", there_again(*id));
            }
            let keys: Vec<_> = rows.into_iter().map(|row| (row.n, row.wrapped)).collect();
            count += self.commit(move |session| session.overwrite(&keys)).await?;
        }
        Ok(count)
    }
}

fn there_again(id: DataKeyId) -> String {
    format!("the destroyed key of {} is there again, and is destroyed again", id.owner)
}

impl Session<'_> {
    /// A page of the fences with a certificate, and the rows of the people behind them.
    fn certified(&self, after: i64) -> Result<Fences, Error> {
        let fences = "SELECT n, merchant, subject FROM fence WHERE n > ?1 AND certificate IS NOT NULL
            ORDER BY n LIMIT ?2";
        let fences = self.store.all(fences, values![after, PAGE], |row| {
            Ok((row.at::<i64>(0)?, MerchantId::from_bytes(row.at(1)?), row.at::<[u8; 16]>(2)?))
        })?;
        let last = fences.last().map(|(n, ..)| *n);
        let shops = fences.into_iter().filter(|(.., subject)| *subject == NOBODY).map(|(_, shop, _)| shop);
        // The words keep the order: a fence, then its key.
        let rows =
            "SELECT k.n, k.merchant, k.subject, k.epoch, k.wrapped FROM fence f CROSS JOIN subject_key k
            WHERE f.n > ?1 AND f.n <= ?2 AND f.certificate IS NOT NULL
                AND k.merchant = f.merchant AND k.subject = f.subject";
        let up_to = last.unwrap_or(after);
        let rows = self.store.all(rows, values![after, up_to], WrappedRow::of_subject)?;
        Ok(Fences { last, shops: shops.collect(), rows })
    }
}
