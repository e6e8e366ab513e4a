//! Wrapping everything anew under a new epoch, in bounded batches beside the traffic.
use std::{collections::HashMap, sync::Arc};

use chrono::NaiveDate;
use event_schemas::{CustomerId, MerchantId, Timestamp};
use group_commit::{Cells, StoreError, values};

use crate::{
    Error, KeyStore,
    aead::Cipher,
    epochs::seconds,
    erasure::is_destroyed,
    keys::{DataKeyId, Epoch, Owner, Wrap},
    notices::Notice,
    schema::NOBODY,
    session::Session,
    strip::{self, Strip},
    vault::Merchant,
};

/// Rows that one transaction wraps anew: some 30 ms on a file, in which nobody else writes.
const BATCH: u32 = 16_384;

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

/// What is wrapped by merchants' keys.
#[derive(Clone, Copy)]
pub(crate) enum Table {
    Subjects,
    Days,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Subjects => "subject_key",
            Self::Days => "day_key",
        }
    }

    const fn owner(self) -> &'static str {
        match self {
            Self::Subjects => "subject",
            Self::Days => "day",
        }
    }
}

pub(crate) struct WrappedRow {
    pub(crate) n: i64,
    pub(crate) id: DataKeyId,
    pub(crate) epoch: Epoch,
    pub(crate) wrapped: Vec<u8>,
}

impl WrappedRow {
    /// A row of subjects as n, merchant, subject, epoch, wrapped.
    pub(crate) fn of_subject(row: &dyn Cells) -> Result<Self, StoreError> {
        let subject = CustomerId::from_bytes(row.at(2)?);
        let id = DataKeyId::subject(MerchantId::from_bytes(row.at(1)?), subject);
        Ok(Self { n: row.at(0)?, id, epoch: row.at(3)?, wrapped: row.at(4)? })
    }

    /// Whose it is, if it is a subject's.
    pub(crate) fn subject(&self) -> Option<[u8; 16]> {
        match self.id.owner {
            Owner::Subject(subject) => Some(subject.bytes()),
            Owner::Day(_) => None,
        }
    }
}

/// Wrapping keys of merchants, unwrapped for one page; or why they do not open.
type Wrappings = HashMap<(MerchantId, Epoch), Result<Arc<Cipher>, String>>;

/// A page that was wrapped anew.
#[derive(Default)]
struct Anew {
    strips: Vec<Strip>,
    /// What is to be remembered in place of what is.
    keys: Vec<(DataKeyId, Vec<u8>)>,
    damaged: u64,
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
        let epoch = self.commit(move |session| session.open_epoch(seconds(at))).await?;
        #[cfg(feature = "planted-bugs")]
        crate::planted::abort_at("rotate:opened");
        let mut rotated = Rotated { epoch, rows: 0, damaged: 0 };
        let mut after = Some(NOBODY);
        while let Some(merchant) = after {
            after = self.commit(move |session| session.carry_merchants(merchant, epoch)).await?;
        }
        self.overwrite_returned().await?;
        for table in [Table::Subjects, Table::Days] {
            self.rotate_rows(table, &mut rotated).await?;
        }
        #[cfg(feature = "planted-bugs")]
        crate::planted::abort_at("rotate:anew");
        let mut after = Some(NOBODY);
        while let Some(merchant) = after {
            after = self.commit(move |session| session.close_merchants(merchant, epoch)).await?;
        }
        self.commit(|session| session.tell(Notice::Epochs)).await?;
        Ok(rotated)
    }

    /// Wraps the rows of a table anew, page by page: while one page is stored, the one before is remembered and the next is
    /// unwrapped and wrapped beside it.
    async fn rotate_rows(&self, table: Table, rotated: &mut Rotated) -> Result<(), Error> {
        let epoch = rotated.epoch;
        let page = |after| self.look(move |session| session.wrapped_rows(table, after, BATCH));
        let rows = page(0).await?;
        let mut last = rows.last().map(|row| row.n);
        let mut anew = self.wrapped_anew(rows, epoch, Vec::new()).await?;
        let mut before = Vec::new();
        while let Some(after) = last {
            let Anew { strips, keys, damaged } = anew;
            rotated.damaged += damaged;
            let next = page(after).await?;
            last = next.last().map(|row| row.n);
            let (stored, wrapped) = tokio::join!(
                self.commit(move |session| session.store_anew(table, epoch, &strips)),
                self.wrapped_anew(next, epoch, before)
            );
            match stored? {
                Some(rows) => rotated.rows += rows,
                None => return Ok(()),
            }
            before = keys;
            anew = wrapped?;
        }
        self.vault.wrapped_anew(epoch, before);
        Ok(())
    }

    /// The rows that are not yet under this epoch, wrapped under it. Those that were stored before are remembered.
    async fn wrapped_anew(
        &self,
        rows: Vec<WrappedRow>,
        epoch: Epoch,
        before: Vec<(DataKeyId, Vec<u8>)>,
    ) -> Result<Anew, Error> {
        let mut wrappings = Wrappings::new();
        for row in &rows {
            for at in [(row.id.merchant, row.epoch), (row.id.merchant, epoch)] {
                if row.epoch != epoch && !wrappings.contains_key(&at) {
                    wrappings.insert(at, damage(self.wrapping(at.0, at.1))?);
                }
            }
        }
        let vault = Arc::clone(&self.vault);
        let work = move || {
            vault.wrapped_anew(epoch, before);
            wrap_all(rows, epoch, &wrappings, &vault.log_id)
        };
        // A simulated world has one thread, and its chance is drawn there.
        #[cfg(feature = "simulated")]
        if seeded::is_entered() {
            return work();
        }
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or(Err(Error::Unavailable(group_commit::Fault::Panicked)))
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
    pub(crate) fn wrapped_rows(
        &self,
        table: Table,
        after: i64,
        limit: u32,
    ) -> Result<Vec<WrappedRow>, Error> {
        let (name, owner) = (table.name(), table.owner());
        let rows = format!(
            "SELECT n, merchant, {owner}, epoch, wrapped FROM {name} WHERE n > ?1 ORDER BY n LIMIT ?2"
        );
        Ok(self.store.all(&rows, values![after, limit], |row| {
            if matches!(table, Table::Subjects) {
                return WrappedRow::of_subject(row);
            }
            let day = NaiveDate::from_num_days_from_ce_opt(row.at(2)?).ok_or(StoreError::misread("a day"))?;
            let id = DataKeyId::day(MerchantId::from_bytes(row.at(1)?), day);
            Ok(WrappedRow { n: row.at(0)?, id, epoch: row.at(3)?, wrapped: row.at(4)? })
        })?)
    }

    /// Stores rows that were wrapped anew; how many, or `None` if another rotation began. What was destroyed since it was
    /// read stays so, and comes along.
    fn store_anew(&self, table: Table, epoch: Epoch, strips: &[Strip]) -> Result<Option<u64>, Error> {
        if self.epoch()? != epoch {
            return Ok(None);
        }
        let mut stored = 0;
        for strip in strips {
            stored += strip.store(self.store, table.name(), epoch)?;
        }
        Ok(Some(stored))
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

    /// Removes the rows of merchants under earlier epochs that none of their keys hangs under; the merchant to go on behind.
    fn close_merchants(&mut self, after: [u8; 16], epoch: Epoch) -> Result<Option<[u8; 16]>, Error> {
        if self.epoch()? != epoch {
            return Ok(None);
        }
        let old = "SELECT DISTINCT merchant FROM merchant_key WHERE epoch < ?1 AND merchant > ?2
            ORDER BY merchant LIMIT 100";
        let merchants: Vec<[u8; 16]> = self.store.all(old, values![epoch, &after], |row| row.at(0))?;
        for merchant in &merchants {
            self.close_merchant(MerchantId::from_bytes(*merchant), epoch)?;
        }
        Ok(merchants.last().copied())
    }

    fn close_merchant(&mut self, id: MerchantId, epoch: Epoch) -> Result<(), Error> {
        let shop = id.bytes();
        // Under which its own key is, above all.
        if damage(self.merchant_wrapping(id, epoch))?.is_err() {
            return Ok(());
        }
        for table in [Table::Subjects, Table::Days] {
            let name = table.name();
            let left = format!("SELECT 1 FROM {name} WHERE merchant = ?1 AND epoch < ?2 LIMIT 1");
            if self.store.first(&left, values![&shop, epoch], |_| Ok(()))?.is_some() {
                return Ok(());
            }
        }
        let delete = "DELETE FROM merchant_key WHERE merchant = ?1 AND epoch < ?2";
        self.store.execute(delete, values![&shop, epoch])?;
        self.see_merchant(id).map(drop)
    }
}

fn wrap_all(
    rows: Vec<WrappedRow>,
    epoch: Epoch,
    wrappings: &Wrappings,
    log_id: &[u8; 16],
) -> Result<Anew, Error> {
    let mut anew = Anew::default();
    for row in rows.into_iter().filter(|row| row.epoch != epoch) {
        if is_destroyed(&row.wrapped) {
            strip::lay(&mut anew.strips, &row, &row.wrapped);
            continue;
        }
        match wrap_one(&row, epoch, wrappings, log_id)? {
            Ok(wrapped) => {
                strip::lay(&mut anew.strips, &row, &wrapped);
                anew.keys.push((row.id, wrapped));
            }
            Err(fault) => {
                tracing::error!(%fault, "A wrapped key does not open and stays as it is");
                anew.damaged += 1;
            }
        }
    }
    Ok(anew)
}

fn wrap_one(
    row: &WrappedRow,
    epoch: Epoch,
    wrappings: &Wrappings,
    log_id: &[u8; 16],
) -> Result<Result<Vec<u8>, String>, Error> {
    let WrappedRow { id, epoch: from, wrapped, .. } = row;
    let wrapping = |epoch| match wrappings.get(&(id.merchant, epoch)) {
        Some(Ok(wrapping)) => Ok(wrapping),
        Some(Err(fault)) => Err(format!("{}: {fault}", id.missing())),
        None => Err(id.missing().to_string()),
    };
    let (old, new) = match (wrapping(*from), wrapping(epoch)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(fault), _) | (_, Err(fault)) => return Ok(Err(fault)),
    };
    match damage(Wrap::Data(*id, *from).open::<64>(old, log_id, wrapped))? {
        Ok(key) => Wrap::Data(*id, epoch).seal(new, log_id, &*key).map(Ok),
        Err(fault) => Ok(Err(fault)),
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
