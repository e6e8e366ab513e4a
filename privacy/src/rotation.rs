//! Wrapping everything anew under a new epoch, in bounded batches beside the traffic.
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use event_schemas::{MerchantId, Timestamp};
use group_commit::values;
use zeroize::Zeroizing;

use crate::{
    Error, KeyStore,
    aead::{Cipher, Nonces},
    epochs::seconds,
    erasure::is_destroyed,
    keys::{Epoch, Wrap},
    notices::Notice,
    page::{Page, Table, WrappedRow},
    schema::NOBODY,
    session::Session,
    strip::{self, Strip},
    vault::Merchant,
};

/// Rows that one transaction wraps anew: some 30 ms on a file, in which nobody else writes.
pub(crate) const BATCH: u32 = 16_384;

/// What a rotation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The epoch that everything hangs under now.
    pub epoch: Epoch,
    /// Rows of subjects and days that this call wrapped anew.
    pub rows: u64,
    /// Rows that did not open and stay as they are; [`KeyStore::damaged`] names them. Their epoch is not destroyed.
    pub damaged: u64,
}

/// A merchant's wrapping keys under an earlier epoch and under the open one.
struct Wrapping {
    old: Arc<Cipher>,
    new: Arc<Cipher>,
}

/// What is known of merchants' wrapping keys under earlier epochs while a page is wrapped; or why they do not open.
type Wrappings = HashMap<(MerchantId, Epoch), Result<Wrapping, String>>;

/// A page that was wrapped anew.
struct Anew {
    strips: Vec<Strip>,
    damaged: u64,
    page: Page,
}

impl KeyStore {
    /// Opens a new epoch, closes the one before, destroys again what has come back of erased people, and wraps all keys
    /// anew in bounded batches beside the traffic. A call that is interrupted is gone on with by the next, which then opens
    /// none.
    ///
    /// # Errors
    /// [`Error::WrongRootKey`] if the root key was rotated since the store was opened; [`Error::Ring`],
    /// [`Error::Unavailable`].
    pub async fn rotate(&self, at: Timestamp) -> Result<Rotated, Error> {
        self.rotate_in(at, BATCH).await
    }

    async fn rotate_in(&self, at: Timestamp, batch: u32) -> Result<Rotated, Error> {
        let epoch = self.commit(move |session| session.open_epoch(seconds(at))).await?;
        #[cfg(feature = "planted-bugs")]
        crate::planted::abort_at("rotate:opened");
        let mut rotated = Rotated { epoch, rows: 0, damaged: 0 };
        let mut after = Some(NOBODY);
        while let Some(merchant) = after {
            after = self.commit(move |session| session.carry_merchants(merchant, epoch)).await?;
        }
        self.overwrite_returned().await?;
        let mut is_all = true;
        for table in [Table::Subjects, Table::Days] {
            is_all &= self.rotate_rows(table, batch, &mut rotated).await?;
        }
        #[cfg(feature = "planted-bugs")]
        crate::planted::abort_at("rotate:anew");
        let left = if is_all { BTreeSet::new() } else { self.hanging_before(epoch, batch).await? };
        let left = Arc::new(left.into_iter().map(|(_, merchant)| merchant).collect::<BTreeSet<_>>());
        let mut after = Some(NOBODY);
        while let Some(merchant) = after {
            let left = Arc::clone(&left);
            after = self.commit(move |session| session.close_merchants(merchant, epoch, &left)).await?;
        }
        self.commit(|session| session.tell(Notice::Epochs)).await?;
        Ok(rotated)
    }

    /// Wraps the rows of a table anew, page by page: while one page is unwrapped and wrapped, the one before is stored and
    /// the one behind it read. Whether none can be left under an earlier epoch.
    async fn rotate_rows(&self, table: Table, batch: u32, rotated: &mut Rotated) -> Result<bool, Error> {
        let epoch = rotated.epoch;
        let read = |after, limit, spare| self.look(move |session| session.page(table, after, limit, spare));
        // The first is a small one, so that the second thread need not wait long.
        let mut page = read(0, batch.div_ceil(8), Page::default()).await?;
        let (mut to_store, mut stored, mut spare) = (Vec::new(), Vec::new(), Page::default());
        let mut is_all = true;
        while page.last().is_some() || !to_store.is_empty() {
            let after = page.last();
            let store_and_read = async {
                let laid: u64 = to_store.iter().map(Strip::rows).sum();
                let stored = self.commit(move |session| session.store_anew(table, epoch, to_store)).await?;
                let next = match after {
                    Some(after) => read(after, batch, spare).await?,
                    None => Page::default(),
                };
                Ok::<_, Error>((laid, stored, next))
            };
            let (done, wrapped) = tokio::join!(store_and_read, self.wrapped_anew(page, epoch, stored));
            let (anew, (laid, done, next)) = (wrapped?, done?);
            let Some((count, done)) = done else { return Ok(false) };
            is_all &= count == laid && anew.damaged == 0;
            rotated.rows += count;
            rotated.damaged += anew.damaged;
            (page, spare, to_store, stored) = (next, anew.page, anew.strips, done);
        }
        self.vault.wrapped_anew(epoch, &stored);
        Ok(is_all)
    }

    /// The rows that are not yet under this epoch, wrapped under it. Those that were stored before are remembered.
    async fn wrapped_anew(&self, page: Page, epoch: Epoch, stored: Vec<Strip>) -> Result<Anew, Error> {
        let keys = self.clone();
        let work = move || {
            keys.vault.wrapped_anew(epoch, &stored);
            keys.wrap_all(page, epoch)
        };
        // A simulated world has one thread, and its chance is drawn there.
        #[cfg(feature = "simulated")]
        if seeded::is_entered() {
            return work();
        }
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or(Err(Error::Unavailable(group_commit::Fault::Panicked)))
    }

    fn wrap_all(&self, page: Page, epoch: Epoch) -> Result<Anew, Error> {
        let (mut strips, mut damaged) = (Vec::new(), 0);
        let (mut wrappings, mut nonces) = (Wrappings::new(), Nonces::new());
        for row in page.rows().filter(|row| row.epoch != epoch) {
            if is_destroyed(row.wrapped) {
                strip::lay(&mut strips, &row, |_| Ok(()))?;
                continue;
            }
            let under = match wrappings.entry((row.id.merchant, row.epoch)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    unknown.insert(self.wrappings(row.id.merchant, row.epoch, epoch)?)
                }
            };
            match unwrapped(&row, under, &self.vault.log_id)? {
                Ok((key, new)) => {
                    let wrap = Wrap::Data(row.id, epoch);
                    let log = &self.vault.log_id;
                    let wrap = |at: &mut Vec<u8>| wrap.seal_behind(new, log, &mut nonces, &*key, at);
                    strip::lay(&mut strips, &row, wrap)?;
                }
                Err(fault) => {
                    tracing::error!(%fault, "A wrapped key does not open and stays as it is");
                    damaged += 1;
                }
            }
        }
        Ok(Anew { strips, damaged, page })
    }

    fn wrappings(&self, id: MerchantId, from: Epoch, to: Epoch) -> Result<Result<Wrapping, String>, Error> {
        damage(self.wrapping(id, from).and_then(|old| Ok(Wrapping { old, new: self.wrapping(id, to)? })))
    }

    /// Under which epochs before this one keys of subjects and days hang, and whose. What hangs under an epoch once it is
    /// closed was there before: so what is not found is not there from then on, either.
    pub(crate) async fn hanging_before(
        &self,
        epoch: Epoch,
        batch: u32,
    ) -> Result<BTreeSet<(Epoch, MerchantId)>, Error> {
        // Rows that only stand there take less time than those that are wrapped.
        let (mut hanging, numbers) = (BTreeSet::new(), i64::from(batch) * 4);
        for table in [Table::Subjects, Table::Days] {
            let (mut after, last) = self.look(move |session| session.numbers(table)).await?;
            while after < last {
                let page = (after, after.saturating_add(numbers).min(last));
                hanging.extend(self.look(move |session| session.hanging(table, page, epoch)).await?);
                after = page.1;
            }
        }
        Ok(hanging)
    }

    /// The merchant's wrapping key under an epoch; its rows are read again if somebody has wrapped it anew.
    fn wrapping(&self, id: MerchantId, epoch: Epoch) -> Result<Arc<Cipher>, Error> {
        match self.vault.wrapping(id, &*self.merchant(id)?, epoch) {
            Err(stale) if stale.may_be_of_a_rotation() => {
                self.look_blocking(move |session| {
                    session.see_epochs().and_then(|()| session.see_merchant(id))
                })?;
                self.vault.wrapping(id, &*self.merchant(id)?, epoch)
            }
            wrapping => wrapping,
        }
    }
}

impl Session<'_> {
    /// The number before the first row, and the last row's.
    fn numbers(&self, table: Table) -> Result<(i64, i64), Error> {
        let numbers = format!("SELECT coalesce(min(n) - 1, 0), coalesce(max(n), 0) FROM {}", table.name());
        Ok(self.store.one(&numbers, values![], |row| Ok((row.at(0)?, row.at(1)?)))?)
    }

    fn hanging(
        &self,
        table: Table,
        (after, last): (i64, i64),
        epoch: Epoch,
    ) -> Result<Vec<(Epoch, MerchantId)>, Error> {
        let rows = format!(
            "SELECT DISTINCT epoch, merchant FROM {} WHERE n > ?1 AND n <= ?2 AND epoch < ?3",
            table.name()
        );
        Ok(self.store.all(&rows, values![after, last, epoch], |row| {
            Ok((row.at(0)?, MerchantId::from_bytes(row.at(1)?)))
        })?)
    }

    /// Stores rows that were wrapped anew; how many, and the strips again, or `None` if another rotation began. What was
    /// destroyed since it was read stays so, and comes along.
    fn store_anew(
        &self,
        table: Table,
        epoch: Epoch,
        strips: Vec<Strip>,
    ) -> Result<Option<(u64, Vec<Strip>)>, Error> {
        if self.epoch()? != epoch {
            return Ok(None);
        }
        let mut stored = 0;
        for strip in &strips {
            stored += strip.store(self.store, table.name(), epoch)?;
        }
        Ok(Some((stored, strips)))
    }

    /// The merchant's wrapping key under this epoch, made if it is the open one and there is none.
    fn merchant_wrapping(&mut self, id: MerchantId, epoch: Epoch) -> Result<Arc<Cipher>, Error> {
        let unknown = Error::UnknownMerchant { merchant: id };
        let merchant = self.read_merchant(id)?.ok_or(unknown)?;
        self.wrapping(id, merchant, epoch)
    }

    /// The same of a merchant whose rows were read in this transaction.
    pub(crate) fn wrapping(
        &mut self,
        id: MerchantId,
        mut merchant: Merchant,
        epoch: Epoch,
    ) -> Result<Arc<Cipher>, Error> {
        if !merchant.rows.contains_key(&epoch) && epoch == self.epoch()? {
            merchant = self.carry_merchant(id, merchant, epoch)?;
        }
        self.epoch_cipher(epoch)?;
        self.vault.wrapping(id, &merchant, epoch)
    }

    /// Gives the merchant a row under the open epoch: a new wrapping key, and its own data key as it was.
    fn carry_merchant(
        &mut self,
        id: MerchantId,
        mut merchant: Merchant,
        epoch: Epoch,
    ) -> Result<Merchant, Error> {
        if let Some((newest, _)) = merchant.rows.last_key_value() {
            self.epoch_cipher(*newest)?;
        }
        let own = self.vault.own_key(id, &merchant)?;
        let row = self.fresh_merchant_row(id, epoch, &own)?;
        self.insert_merchant_row(id, epoch, &row)?;
        merchant.rows.insert(epoch, row);
        self.see_merchant(id)?;
        Ok(merchant)
    }

    /// A page of merchants in the order of their ids.
    pub(crate) fn merchants_behind(&self, after: [u8; 16]) -> Result<Vec<[u8; 16]>, Error> {
        let merchants =
            "SELECT DISTINCT merchant FROM merchant_key WHERE merchant > ?1 ORDER BY merchant LIMIT 100";
        Ok(self.store.all(merchants, values![&after], |row| row.at(0))?)
    }

    /// Gives merchants a row under the open epoch; the merchant to go on behind.
    fn carry_merchants(&mut self, after: [u8; 16], epoch: Epoch) -> Result<Option<[u8; 16]>, Error> {
        if self.epoch()? != epoch {
            return Ok(None);
        }
        let merchants = self.merchants_behind(after)?;
        for merchant in &merchants {
            let id = MerchantId::from_bytes(*merchant);
            if let Err(fault) = damage(self.merchant_wrapping(id, epoch))? {
                tracing::error!(merchant.id = %id, %fault, "A merchant's keys do not open and stay as they are");
            }
        }
        Ok(merchants.last().copied())
    }

    /// Removes the rows of merchants under earlier epochs, but of those under whose keys some are left hanging; the merchant
    /// to go on behind.
    fn close_merchants(
        &mut self,
        after: [u8; 16],
        epoch: Epoch,
        left: &BTreeSet<MerchantId>,
    ) -> Result<Option<[u8; 16]>, Error> {
        if self.epoch()? != epoch {
            return Ok(None);
        }
        let old = "SELECT DISTINCT merchant FROM merchant_key WHERE epoch < ?1 AND merchant > ?2
            ORDER BY merchant LIMIT 100";
        let merchants: Vec<[u8; 16]> = self.store.all(old, values![epoch, &after], |row| row.at(0))?;
        for merchant in merchants.iter().copied().map(MerchantId::from_bytes) {
            if !left.contains(&merchant) {
                self.close_merchant(merchant, epoch)?;
            }
        }
        Ok(merchants.last().copied())
    }

    fn close_merchant(&mut self, id: MerchantId, epoch: Epoch) -> Result<(), Error> {
        // Under which its own key is, above all.
        if damage(self.merchant_wrapping(id, epoch))?.is_err() {
            return Ok(());
        }
        let delete = "DELETE FROM merchant_key WHERE merchant = ?1 AND epoch < ?2";
        self.store.execute(delete, values![&id.bytes(), epoch])?;
        self.see_merchant(id).map(drop)
    }
}

/// A key, and what it is to be wrapped by.
type Unwrapped<'a> = (Zeroizing<[u8; 64]>, &'a Cipher);

/// The row's key, or why it does not open.
fn unwrapped<'a>(
    row: &WrappedRow<&[u8]>,
    under: &'a Result<Wrapping, String>,
    log_id: &[u8; 16],
) -> Result<Result<Unwrapped<'a>, String>, Error> {
    match under {
        Ok(Wrapping { old, new }) => {
            let key = Wrap::Data(row.id, row.epoch).open(old, log_id, row.wrapped);
            Ok(damage(key)?.map(|key| (key, &**new)))
        }
        Err(fault) => Ok(Err(format!("{}: {fault}", row.id.missing()))),
    }
}

/// Damage of a row as its text, apart from faults that end the work.
fn damage<T>(opened: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match opened {
        Err(fault @ (Error::Damaged { .. } | Error::EpochGone { .. } | Error::KeyMissing { .. })) => {
            Ok(Err(fault.to_string()))
        }
        Err(fault) => Err(fault),
        Ok(opened) => Ok(Ok(opened)),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::CustomerId;

    use super::*;
    use crate::{RootKey, keys::DataKeyId, vault::KeyState};

    const SHOP: MerchantId = MerchantId::from_bytes([1; 16]);

    fn person(n: u8) -> CustomerId {
        CustomerId::from_bytes([n; 16])
    }

    async fn execute(store: &KeyStore, sql: &'static str) {
        store.commit(move |session| Ok(session.store.execute(sql, values![])?)).await.unwrap();
    }

    /// Tried with a page that leaves out a row behind the one before, with a last page that is not stored, with a look that
    /// ends after the first numbers, and with none although a row did not open: then the shop's key is gone, and with it
    /// whoever's key is damaged.
    #[tokio::test]
    async fn every_row_of_many_pages_is_wrapped_once_and_what_does_not_open_keeps_what_it_hangs_under() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::from_bytes([7; 32]);
        let store = KeyStore::create_or_open(&folder.path().join("keys.db"), &root, [9; 16]).await.unwrap();
        store.ensure_merchant(SHOP).await.unwrap();
        for n in 0..70 {
            store.ensure_subject(SHOP, person(n)).await.unwrap();
        }
        execute(&store, "DELETE FROM subject_key WHERE n BETWEEN 20 AND 38").await;
        execute(&store, "UPDATE subject_key SET wrapped = zeroblob(93) WHERE n = 41").await;
        let others =
            "UPDATE subject_key SET wrapped = (SELECT wrapped FROM subject_key WHERE n = 68) WHERE n = 69";
        execute(&store, others).await;
        let at = Timestamp::from_micros(0);
        let (first, size) = (store.epochs().await.unwrap()[0].number, 8);
        for rows in [50, 0] {
            let rotated = store.rotate_in(at, size).await.unwrap();
            assert_eq!(rotated, Rotated { epoch: first + 1, rows, damaged: 1 });
            let left = BTreeSet::from([(first, SHOP)]);
            assert_eq!(store.hanging_before(first + 1, size).await.unwrap(), left);
            assert_eq!(store.rows_of_epoch(first).await.unwrap(), 2, "the damaged one, and the shop's");
        }
        for n in (0..70).filter(|n| !(19..38).contains(n) && ![40, 68].contains(n)) {
            let remembered = store.vault.cached(DataKeyId::subject(SHOP, person(n))).unwrap();
            assert!(matches!(remembered, KeyState::Live { epoch, .. } if epoch == first + 1), "{n}");
            assert!(store.sealer(SHOP, person(n)).is_ok(), "{n}");
        }
        assert!(store.damaged().await.unwrap().iter().any(|key| key.whose == person(68).to_string()));
        execute(&store, "DELETE FROM subject_key WHERE n = 69").await;
        assert_eq!(store.rotate_in(at, size).await.unwrap().damaged, 0);
        assert_eq!(store.rows_of_epoch(first).await.unwrap(), 0);
        assert!(store.sealer(SHOP, person(67)).is_ok());
    }
}
