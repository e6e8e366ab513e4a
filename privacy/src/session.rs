//! One call's work inside the store's transaction: reading and minting keys. What it saw is cached only after the commit.
use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use chrono::Datelike;
use event_schemas::MerchantId;
use group_commit::{Cells, values};
use zeroize::Zeroizing;

use crate::{
    Error,
    aead::Cipher,
    chance,
    keys::{DataKey, DataKeyId, Epoch, Owner, Wrap},
    notices::Mark,
    schema::NOBODY,
    vault::{Fence, KeyState, Merchant, MerchantRow, Seen, Vault},
};

pub(crate) struct Session<'a> {
    pub(crate) store: &'a dyn group_commit::Session,
    pub(crate) vault: &'a Vault,
    /// Rows that this call has written; the log will rely on them.
    pub(crate) written: u32,
    pub(crate) seen: Vec<Seen>,
    /// What was known of fences when the call began.
    mark: Mark,
    /// The merchant's own key, unwrapped once for all of this call.
    own: Option<(MerchantId, Rc<DataKey>)>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(store: &'a dyn group_commit::Session, vault: &'a Vault) -> Self {
        Self { store, vault, written: 0, seen: Vec::new(), mark: vault.notices.mark(), own: None }
    }

    /// The insert count after this call, and the rows to cache, with what was known of fences when they were read. Also a
    /// call that wrote nothing tells the count, because what it found may have been written by a call whose caller went
    /// away.
    pub(crate) fn finish(self) -> Result<(u64, Mark, Vec<Seen>), Error> {
        if self.written > 0 {
            let count = "UPDATE meta SET insert_count = insert_count + ?1";
            self.store.execute(count, values![self.written])?;
        }
        let count = self.store.one("SELECT insert_count FROM meta", values![], |row| row.at(0))?;
        Ok((count, self.mark, self.seen))
    }

    pub(crate) fn see_all_merchants(&mut self) -> Result<(), Error> {
        let ids = "SELECT DISTINCT merchant FROM merchant_key";
        for id in self.store.all(ids, values![], |row| row.at(0).map(MerchantId::from_bytes))? {
            self.see_merchant(id)?;
        }
        Ok(())
    }

    /// Has the merchant's rows cached, if there are any; they are given too.
    pub(crate) fn see_merchant(&mut self, id: MerchantId) -> Result<Option<Arc<Merchant>>, Error> {
        let merchant = self.read_merchant(id)?.map(Arc::new);
        self.seen.extend(merchant.clone().map(|merchant| Seen::Merchant(id, merchant)));
        Ok(merchant)
    }

    pub(crate) fn ensure_merchant(&mut self, id: MerchantId) -> Result<(), Error> {
        let merchant = match self.read_merchant(id)? {
            Some(merchant) => merchant,
            None => self.mint_merchant(id)?,
        };
        self.seen.push(Seen::Merchant(id, Arc::new(merchant)));
        Ok(())
    }

    /// The merchant's rows, also those that a call ahead in the same commit has written.
    pub(crate) fn merchant(&self, id: MerchantId) -> Result<Arc<Merchant>, Error> {
        match self.vault.merchant(id) {
            Ok(merchant) => Ok(merchant),
            Err(unknown) => self.read_merchant(id)?.map(Arc::new).ok_or(unknown),
        }
    }

    pub(crate) fn own_key(&mut self, id: MerchantId) -> Result<Rc<DataKey>, Error> {
        if let Some((_, key)) = self.own.as_ref().filter(|(whose, _)| *whose == id) {
            return Ok(Rc::clone(key));
        }
        let vault = self.vault;
        let key = Rc::new(self.unwrapped(id, |merchant| vault.own_key(id, merchant))?);
        self.own = Some((id, Rc::clone(&key)));
        Ok(key)
    }

    /// The row of a data key as it stands, if there is one.
    pub(crate) fn find(&mut self, id: DataKeyId) -> Result<Option<KeyState>, Error> {
        let state = self.read(id)?;
        if let Some(state) = &state {
            self.seen.push(Seen::DataKey(id, state.clone()));
        }
        Ok(state)
    }

    /// The row of a data key, minted if there is none; [`Error::Redacted`] for a subject that is erased,
    /// [`Error::KeyMissing`] for one that the directory leads to already: that one had a key.
    pub(crate) fn ensure(&mut self, id: DataKeyId) -> Result<KeyState, Error> {
        match self.find(id)? {
            #[cfg(feature = "planted-bugs")]
            Some(KeyState::Shredded(_)) if crate::planted::is("key-minted-again") => self.mint(id),
            Some(KeyState::Shredded(_)) => Err(id.redacted()),
            Some(state) => Ok(state),
            None if self.had_a_key(id)? => Err(self.vault.missed(id)),
            None => self.mint(id),
        }
    }

    /// That somebody has a key, who is there already; nothing is made anew in a missing one's place.
    pub(crate) fn expect(&mut self, id: DataKeyId) -> Result<(), Error> {
        match self.find(id)? {
            Some(KeyState::Live { .. }) => Ok(()),
            #[cfg(feature = "planted-bugs")]
            Some(KeyState::Shredded(_)) if crate::planted::is("key-minted-again") => self.mint(id).map(drop),
            Some(KeyState::Shredded(_)) => Err(id.redacted()),
            None => Err(self.vault.missed(id)),
        }
    }

    /// Whether a row of the directory belongs to the subject: it was made with their key. Who is in a shop that is being
    /// erased is not missed.
    fn had_a_key(&self, id: DataKeyId) -> Result<bool, Error> {
        let Owner::Subject(subject) = id.owner else { return Ok(false) };
        let row = "SELECT 1 FROM directory WHERE merchant = ?1 AND subject = ?2 LIMIT 1";
        let row = self.store.first(row, values![&id.merchant.bytes(), &subject.bytes()], |_| Ok(()))?;
        Ok(row.is_some() && self.fence(id.merchant, NOBODY)?.is_none())
    }

    /// The data key itself.
    ///
    /// # Errors
    /// [`Error::Redacted`] for a subject that is erased, [`Error::KeyMissing`] if there is none.
    pub(crate) fn data_key(&mut self, id: DataKeyId) -> Result<DataKey, Error> {
        let state = self.find(id)?.ok_or_else(|| self.vault.missed(id))?;
        let vault = self.vault;
        self.unwrapped(id.merchant, |merchant| vault.data_key(id, merchant, &state))?
            .map_err(|_| id.redacted())
    }

    /// What comes of the merchant's rows as they are remembered, or as they are if somebody has wrapped them anew.
    fn unwrapped<T>(
        &mut self,
        id: MerchantId,
        unwrap: impl Fn(&Merchant) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match unwrap(&*self.merchant(id)?) {
            Err(stale) if stale.may_be_of_a_rotation() => {
                self.see_epochs()?;
                let merchant = self.read_merchant(id)?.ok_or(stale)?;
                let value = unwrap(&merchant)?;
                self.seen.push(Seen::Merchant(id, Arc::new(merchant)));
                Ok(value)
            }
            unwrapped => unwrapped,
        }
    }

    /// The epoch is read inside the transaction that mints, so nothing is ever wrapped under one that was closed.
    pub(crate) fn epoch(&self) -> Result<Epoch, Error> {
        Ok(self.store.one("SELECT epoch FROM meta", values![], |row| row.at(0))?)
    }

    fn mint_merchant(&mut self, id: MerchantId) -> Result<Merchant, Error> {
        let epoch = self.epoch()?;
        let row = self.fresh_merchant_row(id, epoch, &DataKey::generate()?)?;
        self.insert_merchant_row(id, epoch, &row)?;
        self.written += 1;
        Ok(Merchant { rows: BTreeMap::from([(epoch, row)]), fence: self.fence(id, NOBODY)? })
    }

    pub(crate) fn insert_merchant_row(
        &self,
        id: MerchantId,
        epoch: Epoch,
        row: &MerchantRow,
    ) -> Result<(), Error> {
        self.store.execute(
            "INSERT INTO merchant_key (merchant, epoch, wrapped, own_key) VALUES (?1, ?2, ?3, ?4)",
            values![&id.bytes(), epoch, &row.wrapped, &row.own_key],
        )?;
        Ok(())
    }

    /// A row with a new wrapping key and the merchant's own data key.
    pub(crate) fn fresh_merchant_row(
        &self,
        id: MerchantId,
        epoch: Epoch,
        own: &DataKey,
    ) -> Result<MerchantRow, Error> {
        let log_id = &self.vault.log_id;
        let mut key = Zeroizing::new([0; 32]);
        chance::fill(&mut *key)?;
        let wrapped = Wrap::Merchant(id, epoch).seal(&*self.epoch_cipher(epoch)?, log_id, &*key)?;
        let own_key = Wrap::Own(id, epoch).seal(&Cipher::new(&key)?, log_id, &*own.0)?;
        Ok(MerchantRow::new(wrapped, own_key))
    }

    fn mint(&mut self, id: DataKeyId) -> Result<KeyState, Error> {
        let epoch = self.epoch()?;
        // As it stands in this transaction, not as it is remembered.
        let unknown = Error::UnknownMerchant { merchant: id.merchant };
        let merchant = self.read_merchant(id.merchant)?.ok_or(unknown)?;
        if merchant.fence.is_some() {
            return Err(id.redacted());
        }
        let wrapping = self.wrapping(id.merchant, merchant, epoch)?;
        let wrapped = Wrap::Data(id, epoch).seal(&wrapping, &self.vault.log_id, &*DataKey::generate()?.0)?;
        let merchant = id.merchant.bytes();
        match id.owner {
            Owner::Subject(subject) => self.store.execute(
                "INSERT INTO subject_key (merchant, subject, epoch, wrapped) VALUES (?1, ?2, ?3, ?4)",
                values![&merchant, &subject.bytes(), epoch, &wrapped],
            )?,
            Owner::Day(day) => self.store.execute(
                "INSERT INTO day_key (merchant, day, epoch, wrapped) VALUES (?1, ?2, ?3, ?4)",
                values![&merchant, day.num_days_from_ce(), epoch, &wrapped],
            )?,
        };
        self.written += 1;
        let state = KeyState::Live { epoch, wrapped: wrapped.into() };
        self.seen.push(Seen::DataKey(id, state.clone()));
        Ok(state)
    }

    pub(crate) fn read_merchant(&self, id: MerchantId) -> Result<Option<Merchant>, Error> {
        let rows = "SELECT epoch, wrapped, own_key FROM merchant_key WHERE merchant = ?1";
        let rows = self.store.all(rows, values![&id.bytes()], |row| {
            Ok((row.at(0)?, MerchantRow::new(row.at(1)?, row.at(2)?)))
        })?;
        let rows: BTreeMap<_, _> = rows.into_iter().collect();
        let fence = self.fence(id, NOBODY)?;
        Ok((!rows.is_empty()).then_some(Merchant { rows, fence }))
    }

    fn read(&self, id: DataKeyId) -> Result<Option<KeyState>, Error> {
        let merchant = id.merchant.bytes();
        let live =
            |row: &dyn Cells| Ok(KeyState::Live { epoch: row.at(0)?, wrapped: row.cell(1)?.bytes()?.into() });
        let state = match id.owner {
            Owner::Subject(subject) => {
                if let Some(fence) = self.fence(id.merchant, subject.bytes())? {
                    return Ok(Some(KeyState::Shredded(fence)));
                }
                let key = "SELECT epoch, wrapped FROM subject_key WHERE merchant = ?1 AND subject = ?2";
                self.store.first(key, values![&merchant, &subject.bytes()], live)
            }
            Owner::Day(day) => {
                let key = "SELECT epoch, wrapped FROM day_key WHERE merchant = ?1 AND day = ?2";
                self.store.first(key, values![&merchant, day.num_days_from_ce()], live)
            }
        };
        Ok(state?)
    }

    pub(crate) fn fence(&self, merchant: MerchantId, subject: [u8; 16]) -> Result<Option<Fence>, Error> {
        let fence = "SELECT certificate FROM fence WHERE merchant = ?1 AND subject = ?2";
        let fence = self
            .store
            .first(fence, values![&merchant.bytes(), &subject], |row| Ok(Fence { certificate: row.at(0)? }));
        Ok(fence?)
    }
}
