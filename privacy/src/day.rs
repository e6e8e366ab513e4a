//! Sealing what waits in the inbox, under a merchant's key of the day: when the day's key goes, its bodies go.
use chrono::{Datelike, NaiveDate};
use event_schemas::{MerchantId, Sealed};
use uuid::Uuid;

use crate::{Error, KeyStore, aead::Cipher, keys::DataKeyId};

impl KeyStore {
    /// Seals the body of the inbox row `row` under the merchant's key of `day`, which is made on first use and durable
    /// when this returns. Keep `day` beside the body.
    ///
    /// # Errors
    /// [`Error::ShopErased`], [`Error::UnknownMerchant`], [`Error::Damaged`], [`Error::Unavailable`].
    pub async fn seal_for_day(
        &self,
        merchant: MerchantId,
        day: NaiveDate,
        row: Uuid,
        clear: &[u8],
    ) -> Result<Sealed, Error> {
        let id = DataKeyId::day(merchant, day);
        let watch = self.watch().await?;
        let state = match self.vault.cached(id) {
            Some(state) => state,
            None => self.commit(move |session| session.ensure(id)).await?,
        };
        let key = self.data_key(id, &state)?;
        let cipher = key.map_err(|_| id.redacted())?.cipher()?;
        let sealed = cipher.seal(&binding(merchant, day, row), clear).map(Sealed)?;
        self.vault.permit(watch, id)?;
        Ok(sealed)
    }

    /// Opens the body of the inbox row `row`.
    ///
    /// # Errors
    /// [`Error::KeyMissing`] if the key of the day is gone; [`Error::DoesNotOpen`] if the body was changed or belongs to
    /// another row; [`Error::ShopErased`], [`Error::UnknownMerchant`], [`Error::Damaged`], [`Error::Unavailable`].
    pub async fn open_for_day(
        &self,
        merchant: MerchantId,
        day: NaiveDate,
        row: Uuid,
        sealed: &Sealed,
    ) -> Result<Vec<u8>, Error> {
        let id = DataKeyId::day(merchant, day);
        let watch = self.watch().await?;
        let state = match self.vault.cached(id) {
            Some(state) => state,
            // The keys of its days went with the shop.
            None if self.merchant(merchant)?.fence.is_some() => return Err(id.redacted()),
            None => self.look(move |session| session.find(id)).await?.ok_or_else(|| id.missing())?,
        };
        let key = self.data_key(id, &state)?;
        let cipher: Cipher = key.map_err(|_| id.redacted())?.cipher()?;
        let clear = cipher.open(&binding(merchant, day, row), &sealed.0)?;
        self.vault.permit(watch, id)?;
        Ok(clear)
    }
}

fn binding(merchant: MerchantId, day: NaiveDate, row: Uuid) -> Vec<u8> {
    let day = day.num_days_from_ce().to_be_bytes();
    [&b"loyalnest/inbox/1"[..], &merchant.bytes(), &day, row.as_bytes()].concat()
}
