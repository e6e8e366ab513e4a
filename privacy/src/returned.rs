//! Keys of erased people and shops that are there again although a certificate says that they were destroyed: somebody has
//! put rows back from a copy of the store.
use std::fmt;

use chrono::NaiveDate;
use event_schemas::MerchantId;
use group_commit::{StoreError, values};
use zeroize::Zeroizing;

use crate::{
    Error, KeyStore,
    erasure::is_destroyed,
    keys::{DataKey, DataKeyId, Epoch, Owner, Wrap},
    notices::Notice,
    page::WrappedRow,
    schema::NOBODY,
    session::Session,
    vault::{Merchant, MerchantRow, Vault},
};

/// Fences that one look reads.
const PAGE: u32 = 1_000;

/// A key that is there again.
pub(crate) enum Again {
    /// Of a person, or of a day of an erased shop.
    Data(WrappedRow),
    /// An erased shop's own.
    Own(MerchantId, Epoch),
}

impl Again {
    fn merchant(&self) -> MerchantId {
        match self {
            Self::Data(row) => row.id.merchant,
            Self::Own(merchant, _) => *merchant,
        }
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(row) => write!(f, "the destroyed key of {}", row.id.owner),
            Self::Own(merchant, epoch) => {
                write!(f, "the destroyed key of the shop {merchant} in epoch {epoch}")
            }
        }
    }
}

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
    pub(crate) async fn next(&mut self, store: &KeyStore) -> Result<Option<Vec<Again>>, Error> {
        let mut again = Vec::new();
        let rows = if let Some((shop, after)) = self.shops.pop() {
            if after == NOBODY {
                again = store.look(move |session| session.again_of_shop(shop)).await?;
            }
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
        again.extend(rows.into_iter().filter(|row| !is_destroyed(&row.wrapped)).map(Again::Data));
        Ok(Some(again))
    }
}

impl KeyStore {
    /// Destroys again what has come back; how many keys.
    pub(crate) async fn overwrite_returned(&self) -> Result<u64, Error> {
        let (mut returned, mut count) = (Returned::new(), 0);
        while let Some(found) = returned.next(self).await? {
            for again in &found {
                tracing::error!(
                    merchant.id = %again.merchant(),
                    "ALARM: {again} is there again, and is destroyed again"
                );
            }
            if !found.is_empty() {
                count += self.commit(move |session| session.destroy_again(found)).await?;
            }
        }
        Ok(count)
    }
}

impl Vault {
    /// The own key of a shop that was erased, for what still has to be hashed for it. It follows from the shop's id, so that
    /// any other that stands there is one that was put back.
    pub(crate) fn own_of_erased(&self, shop: MerchantId) -> DataKey {
        let mut key = Zeroizing::new([0; 64]);
        for (number, half) in (0_u8..).zip(key.as_chunks_mut::<32>().0) {
            *half = self.global.mac("erased-shop", &[&shop.bytes(), &[number]]);
        }
        DataKey(key)
    }
}

impl Session<'_> {
    /// What is there again of an erased shop itself.
    fn again_of_shop(&self, shop: MerchantId) -> Result<Vec<Again>, Error> {
        let days = "SELECT n, day, epoch, wrapped FROM day_key WHERE merchant = ?1";
        let days = self.store.all(days, values![&shop.bytes()], |row| {
            let day = NaiveDate::from_num_days_from_ce_opt(row.at(1)?).ok_or(StoreError::misread("a day"))?;
            Ok(WrappedRow {
                n: row.at(0)?,
                id: DataKeyId::day(shop, day),
                epoch: row.at(2)?,
                wrapped: row.at(3)?,
            })
        })?;
        let mut again: Vec<_> = days.into_iter().map(Again::Data).collect();
        if let Some(merchant) = self.read_merchant(shop)? {
            // One that does not open is damage.
            let is_again = |epoch: &Epoch| matches!(self.is_of_erased(shop, &merchant, *epoch), Ok(false));
            again.extend(
                merchant.rows.keys().filter(|epoch| is_again(epoch)).map(|epoch| Again::Own(shop, *epoch)),
            );
        }
        Ok(again)
    }

    /// Whether a row of a shop's own keys was destroyed, or put there when the shop was erased.
    pub(crate) fn is_of_erased(
        &self,
        shop: MerchantId,
        merchant: &Merchant,
        epoch: Epoch,
    ) -> Result<bool, Error> {
        let Some(MerchantRow { wrapped, own_key, .. }) = merchant.rows.get(&epoch) else { return Ok(true) };
        if is_destroyed(wrapped) && is_destroyed(own_key) {
            return Ok(true);
        }
        self.epoch_cipher(epoch)?;
        let wrapping = self.vault.wrapping(shop, merchant, epoch)?;
        let own = Wrap::Own(shop, epoch).open::<64>(&wrapping, &self.vault.log_id, own_key)?;
        Ok(*own == *self.vault.own_of_erased(shop).0)
    }

    fn destroy_again(&mut self, found: Vec<Again>) -> Result<u64, Error> {
        let (mut count, mut subjects) = (0, Vec::new());
        for again in found {
            match again {
                Again::Own(shop, _) => count += self.replace_own_keys(shop)?,
                Again::Data(WrappedRow { n, id, wrapped, .. }) => match id.owner {
                    Owner::Subject(_) => subjects.push((n, wrapped)),
                    Owner::Day(_) => {
                        count += self.store.execute("DELETE FROM day_key WHERE n = ?1", values![n])?;
                        self.tell(Notice::Days)?;
                    }
                },
            }
        }
        Ok(count + self.overwrite(&subjects)?)
    }

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
