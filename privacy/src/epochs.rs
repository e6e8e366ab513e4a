//! Epochs: opening a new one, wrapping everything anew under it in bounded batches, and destroying those that nothing hangs
//! under any more.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{Datelike, NaiveDate};
use event_schemas::{CustomerId, MerchantId, Timestamp};
use group_commit::{ValueRef, values};
use zeroize::Zeroizing;

use crate::{
    Error, KeyStore, RootKey,
    aead::Cipher,
    chance,
    erasure::is_destroyed,
    keys::{DataKeyId, Epoch, Wrap},
    notices::Notice,
    ring::{FileRing, Ring, Slot},
    schema::NOBODY,
    session::Session,
    vault::{KeyState, Merchant, Seen},
};

/// The first epoch. SQLite needs four bytes for this number and each one behind it, so a row keeps its length, and
/// its place, when it is wrapped anew.
pub(crate) const FIRST: Epoch = 10_000_001;

/// Rows that one transaction wraps anew: some 30 ms on a file, in which nobody else writes.
const BATCH: u32 = 4_096;
/// Rows of one statement where each statement is a round trip.
const ROWS_AT_ONCE: usize = 256;

/// What became of an epoch, by the times that the callers gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochState {
    /// Its number.
    pub number: Epoch,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Since when nothing new is wrapped under it.
    pub closed_at: Option<Timestamp>,
    /// When its key was destroyed.
    pub destroyed_at: Option<Timestamp>,
    /// Erasures that destroyed something while it was the open one, and are final once it is destroyed.
    pub shreds: u64,
}

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

impl KeyStore {
    /// Opens a new epoch, closes the one before, and wraps all keys anew in bounded batches beside the traffic. A call that
    /// is interrupted is gone on with by the next, which then opens none.
    ///
    /// # Errors
    /// [`Error::WrongRootKey`] if the root key was rotated since the store was opened; [`Error::Ring`],
    /// [`Error::Unavailable`].
    pub async fn rotate(&self, at: Timestamp) -> Result<Rotated, Error> {
        let epoch = self.commit(move |session| session.open_epoch(seconds(at))).await?;
        let mut rotated = Rotated { epoch, rows: 0, damaged: 0 };
        for table in [Table::Subjects, Table::Days] {
            let mut after = 0;
            while let Some(batch) = self.commit(move |session| session.rewrap(table, after, epoch)).await? {
                after = batch.last;
                rotated.rows += batch.rows;
                rotated.damaged += batch.damaged;
            }
        }
        let mut after = Some(NOBODY);
        while let Some(merchant) = after {
            after = self.commit(move |session| session.close_merchants(merchant, epoch)).await?;
        }
        self.commit(|session| session.tell(Notice::Epochs)).await?;
        Ok(rotated)
    }

    /// Destroys the keys of the epochs that were closed before then and that nothing hangs under; which these are. No copy
    /// of the key store opens what hung under them from here on.
    ///
    /// # Errors
    /// [`Error::Damaged`] if a key is found again; [`Error::Ring`], [`Error::Unavailable`].
    pub async fn destroy_epochs(&self, closed_before: Timestamp, at: Timestamp) -> Result<Vec<Epoch>, Error> {
        let (before, at) = (seconds(closed_before), seconds(at));
        let gone = self.commit(move |session| session.destroy_epochs(before, at)).await?;
        if !gone.is_empty() {
            let ring = Arc::clone(&self.vault.ring);
            let cleared = tokio::task::spawn_blocking(move || ring.clear()).await;
            if let Ok(Err(error)) = cleared {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "What is left of destroyed epochs is not cleared away"
                );
            }
            let destroyed = gone.clone();
            self.look(move |session| session.ensure_epochs_gone(&destroyed)).await?;
        }
        Ok(gone)
    }

    /// All epochs, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn epochs(&self) -> Result<Vec<EpochState>, Error> {
        let epochs = "SELECT epoch, opened_at, closed_at, destroyed_at,
            (SELECT count(*) FROM erasure WHERE erasure.epoch = epoch_key.epoch) FROM epoch_key ORDER BY epoch";
        self.look(move |session| {
            Ok(session.store.all(epochs, values![], |row| {
                Ok(EpochState {
                    number: row.at(0)?,
                    opened_at: time(row.at(1)?),
                    closed_at: row.at::<Option<i64>>(2)?.map(time),
                    destroyed_at: row.at::<Option<i64>>(3)?.map(time),
                    shreds: row.at(4)?,
                })
            })?)
        })
        .await
    }

    /// How many wrapped keys hang under an epoch; reads all rows.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn rows_of_epoch(&self, epoch: Epoch) -> Result<u64, Error> {
        self.look(move |session| {
            let mut rows = 0;
            for table in TABLES {
                let count = format!("SELECT count(*) FROM {table} WHERE epoch = ?1");
                rows += session.store.one(&count, values![epoch], |row| row.at::<u64>(0))?;
            }
            Ok(rows)
        })
        .await
    }

    /// Destroys the merchant's keys of the days before this one: what is still sealed under them in the inbox is gone. How
    /// many there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn destroy_days(&self, merchant: MerchantId, before: NaiveDate) -> Result<u64, Error> {
        self.commit(move |session| {
            let (shop, day) = (merchant.bytes(), before.num_days_from_ce());
            // `secure_delete` overwrites what is deleted; where there is none the epoch does.
            let delete = "DELETE FROM day_key WHERE merchant = ?1 AND day < ?2";
            let gone = session.store.execute(delete, values![&shop, day])?;
            if gone > 0 {
                session.tell(Notice::Days)?;
            }
            Ok(gone)
        })
        .await
    }

    /// Wraps what the root key wraps under another one, and destroys what the old one wrapped. Whoever has the store open
    /// must open it again with the new key; so must the caller. If it is interrupted, the key that still opens the store
    /// says how far it came: with the old one, do it again; with the new one, remove the old one's file and its ring.
    ///
    /// # Errors
    /// [`Error::WrongRootKey`] if it was rotated to a third key; [`Error::Ring`], [`Error::Unavailable`].
    pub async fn rotate_root(self, to: &RootKey) -> Result<(), Error> {
        let ring: Arc<dyn Ring> = match &self.vault.file {
            Some(file) => Arc::new(FileRing::beside(to, file, self.vault.log_id)),
            None => Arc::clone(&self.vault.ring),
        };
        let (to, place) = (to.clone(), Arc::clone(&ring));
        let new = to.fingerprint();
        self.commit(move |session| session.rotate_root(&to, &*place)).await?;
        // Only now: until the transaction is durable, the old ring is the one that counts.
        self.commit(move |session| {
            let vault = session.vault;
            vault.ring.destroy(session.store, &|slot| slot.root != new)?;
            ring.destroy(session.store, &|slot| slot.root != new)
        })
        .await?;
        let ring = Arc::clone(&self.vault.ring);
        drop(tokio::task::spawn_blocking(move || ring.clear()).await);
        Ok(())
    }
}

const TABLES: [&str; 3] = ["merchant_key", "subject_key", "day_key"];

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

struct Batch {
    last: i64,
    rows: u64,
    damaged: u64,
}

pub(crate) struct WrappedRow {
    pub(crate) n: i64,
    pub(crate) id: DataKeyId,
    pub(crate) epoch: Epoch,
    pub(crate) wrapped: Vec<u8>,
}

/// Wrapping keys of merchants, unwrapped for one batch.
#[derive(Default)]
struct Wrappings(HashMap<(MerchantId, Epoch), Cipher>);

impl Session<'_> {
    /// The epoch's key; another process may have opened it meanwhile.
    pub(crate) fn epoch_cipher(&self, epoch: Epoch) -> Result<Arc<Cipher>, Error> {
        match self.vault.epoch(epoch) {
            Err(Error::EpochGone { .. }) => {
                self.see_epochs()?;
                self.vault.epoch(epoch)
            }
            known => known,
        }
    }

    /// Has the keys in memory that are in the ring, and no others.
    pub(crate) fn see_epochs(&self) -> Result<(), Error> {
        let slots = self.vault.ring.slots(self.store)?;
        self.vault.hold_epochs(opened(&slots, &self.vault.root, &self.vault.log_id)?);
        Ok(())
    }

    /// The epoch to wrap everything under: a new one, unless the last rotation was interrupted.
    fn open_epoch(&mut self, at: i64) -> Result<Epoch, Error> {
        self.ensure_own_root()?;
        let open = self.epoch()?;
        let unfinished = "SELECT 1 FROM merchant_key WHERE epoch < ?1 LIMIT 1";
        if self.store.first(unfinished, values![open], |_| Ok(()))?.is_some() {
            return Ok(open);
        }
        let ring = &self.vault.ring;
        let newest = ring.slots(self.store)?.iter().map(|slot| slot.epoch).max().unwrap_or(open);
        let epoch = newest.max(open).max(FIRST - 1) + 1;
        ring.add(self.store, &[fresh_slot(epoch, &self.vault.root, &self.vault.log_id)?])?;
        let close = "UPDATE epoch_key SET closed_at = ?2 WHERE epoch = ?1";
        self.store.execute(close, values![open, at])?;
        insert_epoch(self.store, epoch, at)?;
        self.store.execute("UPDATE meta SET epoch = ?1", values![epoch])?;
        self.see_epochs()?;
        self.tell(Notice::Epochs)?;
        Ok(epoch)
    }

    fn ensure_own_root(&self) -> Result<(), Error> {
        let expected = self.store.one("SELECT root_fingerprint FROM meta", values![], |row| row.at(0))?;
        let found = self.vault.root.fingerprint();
        if expected == found { Ok(()) } else { Err(Error::WrongRootKey { expected, found }) }
    }

    /// Wraps the rows behind this one anew under `epoch`; `None` if there are none, or if another rotation began.
    fn rewrap(&mut self, table: Table, after: i64, epoch: Epoch) -> Result<Option<Batch>, Error> {
        if self.epoch()? != epoch {
            return Ok(None);
        }
        let rows = self.wrapped_rows(table, after, BATCH)?;
        let Some(last) = rows.last().map(|row| row.n) else { return Ok(None) };
        let mut batch = Batch { last, rows: 0, damaged: 0 };
        let (mut wrappings, mut anew) = (Wrappings::default(), Vec::with_capacity(rows.len()));
        for row in rows.into_iter().filter(|row| row.epoch != epoch) {
            match self.wrap_anew(&row, epoch, &mut wrappings) {
                Ok(wrapped) => anew.push((row, wrapped)),
                Err(Error::Damaged { what }) => {
                    tracing::error!(%what, "A wrapped key does not open and stays as it is");
                    batch.damaged += 1;
                }
                Err(Error::KeyMissing { what, .. }) => {
                    tracing::error!(%what, "A key that others hang under is missing");
                    batch.damaged += 1;
                }
                Err(fault) => return Err(fault),
            }
        }
        batch.rows = anew.len() as u64;
        self.store_anew(table, epoch, &anew)?;
        for (row, wrapped) in anew {
            if self.vault.cached(row.id).is_some() && !is_destroyed(&wrapped) {
                self.seen.push(Seen::DataKey(row.id, KeyState::Live { epoch, wrapped: wrapped.into() }));
            }
        }
        Ok(Some(batch))
    }

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
            let merchant = MerchantId::from_bytes(row.at(1)?);
            let id = match table {
                Table::Subjects => DataKeyId::subject(merchant, CustomerId::from_bytes(row.at(2)?)),
                Table::Days => {
                    let day = NaiveDate::from_num_days_from_ce_opt(row.at(2)?);
                    DataKeyId::day(merchant, day.ok_or(group_commit::StoreError::misread("a day"))?)
                }
            };
            Ok(WrappedRow { n: row.at(0)?, id, epoch: row.at(3)?, wrapped: row.at(4)? })
        })?)
    }

    fn wrap_anew(
        &mut self,
        row: &WrappedRow,
        epoch: Epoch,
        wrappings: &mut Wrappings,
    ) -> Result<Vec<u8>, Error> {
        if is_destroyed(&row.wrapped) {
            return Ok(row.wrapped.clone());
        }
        let WrappedRow { id, epoch: from, .. } = *row;
        let log_id = &self.vault.log_id;
        let key: Zeroizing<[u8; 64]> = {
            let old = wrappings.of(self, id.merchant, from)?;
            Wrap::Data(id, from).open(old, log_id, &row.wrapped)?
        };
        let new = wrappings.of(self, id.merchant, epoch)?;
        Wrap::Data(id, epoch).seal(new, log_id, &*key)
    }

    fn store_anew(&self, table: Table, epoch: Epoch, rows: &[(WrappedRow, Vec<u8>)]) -> Result<(), Error> {
        let name = table.name();
        if !self.vault.is_shared() {
            let update = format!("UPDATE {name} SET epoch = ?2, wrapped = ?3 WHERE n = ?1");
            for (row, wrapped) in rows {
                self.store.execute(&update, values![row.n, epoch, wrapped])?;
            }
            return Ok(());
        }
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let places: Vec<_> =
                (0..rows.len()).map(|row| format!("(?{}, ?{})", 2 * row + 2, 2 * row + 3)).collect();
            let update = format!(
                "UPDATE {name} SET epoch = ?1, wrapped = anew.column2 FROM (VALUES {}) AS anew
                 WHERE {name}.n = anew.column1",
                places.join(", ")
            );
            let mut values = vec![ValueRef::from(epoch)];
            for (row, wrapped) in rows {
                values.extend([ValueRef::from(row.n), ValueRef::from(wrapped)]);
            }
            self.store.execute(&update, &values)?;
        }
        Ok(())
    }

    /// The merchant's wrapping key under this epoch, made if it is the open one and there is none.
    fn merchant_wrapping(&mut self, id: MerchantId, epoch: Epoch) -> Result<Cipher, Error> {
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
    ) -> Result<Cipher, Error> {
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
        // Makes the merchant's row if none of its keys needed it.
        match self.merchant_wrapping(id, epoch) {
            Err(error @ (Error::Damaged { .. } | Error::EpochGone { .. })) => {
                tracing::error!(merchant.id = %id, error = &error as &dyn std::error::Error, "A merchant's keys do not open and stay as they are");
                return Ok(());
            }
            made => drop(made?),
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
        self.see_merchant(id)
    }

    fn destroy_epochs(&mut self, before: i64, at: i64) -> Result<Vec<Epoch>, Error> {
        self.ensure_own_root()?;
        let open = self.epoch()?;
        let closed = "SELECT epoch FROM epoch_key
            WHERE closed_at < ?1 AND destroyed_at IS NULL AND epoch < ?2 ORDER BY epoch";
        let closed: Vec<Epoch> = self.store.all(closed, values![before, open], |row| row.at(0))?;
        let mut gone = Vec::new();
        for epoch in closed {
            if self.is_empty(epoch)? {
                gone.push(epoch);
            }
        }
        if gone.is_empty() {
            return Ok(gone);
        }
        // An epoch that was never opened, because its transaction was not durable, goes with them.
        let known: BTreeSet<Epoch> =
            self.store.all("SELECT epoch FROM epoch_key", values![], |row| row.at(0))?.into_iter().collect();
        let is_gone =
            |slot: &Slot| gone.contains(&slot.epoch) || (slot.epoch < open && !known.contains(&slot.epoch));
        #[cfg(feature = "planted-bugs")]
        let is_gone = |slot: &Slot| is_gone(slot) && !crate::planted::is("epoch-kept");
        self.vault.ring.destroy(self.store, &is_gone)?;
        for epoch in &gone {
            let destroyed = "UPDATE epoch_key SET destroyed_at = ?2 WHERE epoch = ?1";
            self.store.execute(destroyed, values![*epoch, at])?;
        }
        self.see_epochs()?;
        self.tell(Notice::Epochs)?;
        Ok(gone)
    }

    fn is_empty(&self, epoch: Epoch) -> Result<bool, Error> {
        for table in TABLES {
            let row = format!("SELECT 1 FROM {table} WHERE epoch = ?1 LIMIT 1");
            if self.store.first(&row, values![epoch], |_| Ok(()))?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads back what was destroyed.
    fn ensure_epochs_gone(&self, gone: &[Epoch]) -> Result<(), Error> {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is("epoch-kept") {
            return Ok(());
        }
        let kept = self.vault.ring.slots(self.store)?.into_iter().find(|slot| gone.contains(&slot.epoch));
        match kept {
            Some(slot) => Err(Error::Damaged {
                what: format!("the destroyed key of epoch {} is there again and", slot.epoch),
            }),
            None => Ok(()),
        }
    }

    fn rotate_root(&mut self, to: &RootKey, place: &dyn Ring) -> Result<(), Error> {
        let expected: String =
            self.store.one("SELECT root_fingerprint FROM meta", values![], |row| row.at(0))?;
        if expected == to.fingerprint() {
            return Ok(());
        }
        self.ensure_own_root()?;
        let (vault, log_id) = (self.vault, &self.vault.log_id);
        let (old, new) = (vault.root.cipher()?, to.cipher()?);
        let mut slots = Vec::new();
        for slot in vault.ring.slots(self.store)?.iter().filter(|slot| slot.root == expected) {
            let at = Wrap::Epoch(slot.epoch);
            let key: Zeroizing<[u8; 32]> = at.open(&old, log_id, &slot.wrapped)?;
            let wrapped = at.seal(&new, log_id, &*key)?;
            slots.push(Slot { root: to.fingerprint(), epoch: slot.epoch, wrapped });
        }
        place.add(self.store, &slots)?;
        let global = Wrap::Global.seal(&new, log_id, &*vault.global.0)?;
        let token = Wrap::Token.seal(&new, log_id, &*vault.token.0)?;
        let seed =
            self.store.one("SELECT wrapped FROM signing_key", values![], |row| row.at::<Vec<u8>>(0))?;
        let seed: Zeroizing<[u8; 32]> = Wrap::Signing.open(&old, log_id, &seed)?;
        let signing = Wrap::Signing.seal(&new, log_id, &*seed)?;
        let meta = "UPDATE meta SET root_fingerprint = ?1, global_key = ?2, token_key = ?3";
        self.store.execute(meta, values![&to.fingerprint(), &global, &token])?;
        self.store.execute("UPDATE signing_key SET wrapped = ?1", values![&signing])?;
        Ok(())
    }
}

impl Wrappings {
    fn of(
        &mut self,
        session: &mut Session<'_>,
        merchant: MerchantId,
        epoch: Epoch,
    ) -> Result<&Cipher, Error> {
        use std::collections::hash_map::Entry;
        match self.0.entry((merchant, epoch)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(vacant) => Ok(vacant.insert(session.merchant_wrapping(merchant, epoch)?)),
        }
    }
}

/// A new epoch's key, wrapped.
pub(crate) fn fresh_slot(epoch: Epoch, root: &RootKey, log_id: &[u8; 16]) -> Result<Slot, Error> {
    let mut key = Zeroizing::new([0; 32]);
    chance::fill(&mut *key)?;
    let wrapped = Wrap::Epoch(epoch).seal(&root.cipher()?, log_id, &*key)?;
    Ok(Slot { root: root.fingerprint(), epoch, wrapped })
}

/// The keys of the slots that this root key wrapped. One that does not open is told, and the others serve.
pub(crate) fn opened(
    slots: &[Slot],
    root: &RootKey,
    log_id: &[u8; 16],
) -> Result<BTreeMap<Epoch, Cipher>, Error> {
    let (cipher, own) = (root.cipher()?, root.fingerprint());
    let mut keys = BTreeMap::new();
    for slot in slots.iter().filter(|slot| slot.root == own) {
        match Wrap::Epoch(slot.epoch).open::<32>(&cipher, log_id, &slot.wrapped) {
            Ok(key) => drop(keys.insert(slot.epoch, Cipher::new(&key)?)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "An epoch's key does not open");
            }
        }
    }
    Ok(keys)
}

pub(crate) fn insert_epoch(store: &dyn group_commit::Session, epoch: Epoch, at: i64) -> Result<(), Error> {
    let insert = "INSERT INTO epoch_key (epoch, wrapped, opened_at) VALUES (?1, ?2, ?3)";
    store.execute(insert, values![epoch, &Vec::new(), at])?;
    Ok(())
}

fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}
