//! Erasing a person or a shop: a fence first, then the keys and what leads to them, then proof.
use event_schemas::{CustomerId, FieldAddress, MerchantId, Sealed};
use group_commit::values;
use uuid::Uuid;

use crate::{
    Error, KeyStore, Kind,
    aead::Cipher,
    directory::EVERY_MERCHANT,
    keys::{DataKey, DataKeyId, Epoch, Wrap},
    notices::Notice,
    page::WrappedRow,
    schema::{NOBODY, now, stored},
    seal::binding,
    session::Session,
    vault::MerchantRow,
};

/// Rows of a shop that one transaction takes, so that nobody waits long for it.
const BATCH: u32 = 500;

/// What is deleted of an erased shop, and where a row of it would be found.
const LEFT_OF_A_SHOP: [(&str, &str); 3] = [
    ("a deleted directory row", "SELECT 1 FROM directory WHERE merchant = ?1 LIMIT 1"),
    ("a deleted tombstone", "SELECT 1 FROM tombstone WHERE merchant = ?1 LIMIT 1"),
    ("a deleted key of a day", "SELECT 1 FROM day_key WHERE merchant = ?1 LIMIT 1"),
];

/// Who of a merchant is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// A person, under all ids that merges have given them; none where nothing is held.
    Person(Vec<CustomerId>),
    /// Everybody, and the shop itself.
    Shop,
}

/// A fence that is durable and obeyed in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// For [`KeyStore::fence_is_known`].
    pub number: u64,
}

/// What a request destroyed, however often it had to begin again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// Wrapped keys that were overwritten.
    pub keys: u64,
    /// Rows of the directory that were deleted.
    pub directory_rows: u64,
    /// Keyed hashes that stay.
    pub tombstones: u64,
    /// The epoch that was open: when it and those before are destroyed, no copy from before opens anything.
    pub epoch: Epoch,
}

/// What an attempt to open a sealed value without regard to fences came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The key was destroyed.
    Destroyed,
    /// It opens.
    Opens,
    /// There is no row that a key could have stood in.
    NoKey,
}

impl Whom {
    fn places(&self) -> Vec<[u8; 16]> {
        match self {
            Self::Person(subjects) => subjects.iter().map(|subject| subject.bytes()).collect(),
            Self::Shop => vec![NOBODY],
        }
    }

    /// The persons; none for a shop.
    #[must_use]
    pub fn subjects(&self) -> &[CustomerId] {
        match self {
            Self::Person(subjects) => subjects,
            Self::Shop => &[],
        }
    }
}

impl KeyStore {
    /// From here on nothing is opened or sealed for them: in this process when it returns, in every other when
    /// [`KeyStore::fence_is_known`]. Durable; may be repeated.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn fence(&self, merchant: MerchantId, whom: &Whom, request: Uuid) -> Result<Fenced, Error> {
        let whom = whom.clone();
        self.commit(move |session| session.raise_fence(merchant, &whom, request)).await
    }

    /// Whether a person, or without one the whole shop, is fenced. A shop's fence is everybody's.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn is_erased(&self, merchant: MerchantId, subject: Option<CustomerId>) -> Result<bool, Error> {
        self.look(move |session| {
            let of_subject = match subject {
                Some(subject) => session.fence(merchant, subject.bytes())?,
                None => None,
            };
            Ok(of_subject.is_some() || session.fence(merchant, NOBODY)?.is_some())
        })
        .await
    }

    /// The newest certificate of a person's erasure, or of their shop's; none before there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn certificate_of(
        &self,
        merchant: MerchantId,
        subject: CustomerId,
    ) -> Result<Option<String>, Error> {
        self.look(move |session| {
            let own = session.fence(merchant, subject.bytes())?.and_then(|fence| fence.certificate);
            Ok(match own {
                Some(certificate) => Some(certificate),
                None => session.fence(merchant, NOBODY)?.and_then(|fence| fence.certificate),
            })
        })
        .await
    }

    /// The hashes by which the directory knows them; for whoever keeps the same hashes beside sealed bodies, and only
    /// until [`KeyStore::destroy`].
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn references_of(
        &self,
        merchant: MerchantId,
        whom: &Whom,
    ) -> Result<Vec<(Kind, [u8; 32])>, Error> {
        let whom = whom.clone();
        self.look(move |session| session.references_of(merchant, &whom)).await
    }

    /// Overwrites their keys, deletes their rows of the directory and leaves bare tombstones of orders, refunds and
    /// customer ids; durable and read back when it returns. A shop's own key is replaced, which makes everybody in it
    /// unreadable at once; its rows go in batches after that. May be repeated.
    ///
    /// # Errors
    /// [`Error::NotFenced`]; [`Error::Damaged`] if a key is found again; [`Error::Unavailable`].
    pub async fn destroy(
        &self,
        merchant: MerchantId,
        whom: &Whom,
        request: Uuid,
    ) -> Result<Destroyed, Error> {
        match whom {
            Whom::Person(subjects) => {
                let subjects = subjects.clone();
                self.commit(move |session| session.destroy_people(merchant, &subjects, request)).await?;
            }
            Whom::Shop => {
                self.commit(move |session| session.replace_shop_keys(merchant, request)).await?;
                #[cfg(feature = "planted-bugs")]
                crate::planted::abort_at("shop:replaced");
                let mut from = Some(NOBODY);
                while let Some(after) = from {
                    from = self.commit(move |session| session.destroy_some(merchant, after, request)).await?;
                }
            }
        }
        self.ensure_gone(merchant, whom).await?;
        self.look(move |session| session.destroyed(request)).await
    }

    /// Reads back what was destroyed, in pages where it may be much.
    async fn ensure_gone(&self, merchant: MerchantId, whom: &Whom) -> Result<(), Error> {
        let all = whom.clone();
        self.look(move |session| session.ensure_gone(merchant, &all)).await?;
        let mut after = (*whom == Whom::Shop).then_some(NOBODY);
        while let Some(last) = after {
            let page = self.look(move |session| session.keys_of_shop(merchant, last)).await?;
            if page.iter().any(|row| !is_destroyed(&row.wrapped)) {
                let what = format!("a destroyed key of a subject of merchant {merchant} is there again and");
                return Err(Error::Damaged { what });
            }
            after = page.last().and_then(WrappedRow::subject);
        }
        Ok(())
    }

    /// Names the certificate that whoever reads what was sealed for them is shown from here on.
    ///
    /// # Errors
    /// [`Error::NotFenced`], [`Error::Unavailable`].
    pub async fn certify(&self, merchant: MerchantId, whom: &Whom, certificate: &str) -> Result<(), Error> {
        let (whom, certificate) = (whom.clone(), certificate.to_owned());
        self.commit(move |session| session.certify(merchant, &whom, &certificate)).await
    }

    /// Tries to open values without regard to fences and to what is remembered: with the rows as they are stored now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store could not be read. For one value: [`Error::Damaged`] if a key is there but does
    /// not open, [`Error::DoesNotOpen`] if the key is alive and the value is not one of its.
    pub async fn prove_shredded(
        &self,
        fields: &[(&FieldAddress, &Sealed)],
    ) -> Result<Vec<Result<Proof, Error>>, Error> {
        let mut subjects: Vec<_> = fields.iter().map(|(at, _)| (at.merchant, at.subject)).collect();
        subjects.sort_unstable();
        subjects.dedup();
        let asked = subjects.clone();
        let keys: Vec<Result<Kept, Error>> = self
            .look(move |session| {
                Ok(asked.iter().map(|(shop, person)| session.kept(*shop, *person)).collect())
            })
            .await?;
        let keys: std::collections::BTreeMap<_, _> = subjects.into_iter().zip(keys).collect();
        let prove = |(address, sealed): &(&FieldAddress, &Sealed)| {
            let kept = keys.get(&(address.merchant, address.subject));
            match kept {
                Some(Ok(Kept::Alive(cipher))) => {
                    cipher.open(&binding(address), &sealed.0).map(|_| Proof::Opens)
                }
                Some(Ok(Kept::Destroyed)) => Ok(Proof::Destroyed),
                Some(Ok(Kept::Never)) | None => Ok(Proof::NoKey),
                Some(Err(damage)) => Err(Error::Damaged { what: damage.to_string() }),
            }
        };
        Ok(fields.iter().map(prove).collect())
    }
}

/// What stands where a subject's key was.
enum Kept {
    Alive(Cipher),
    Destroyed,
    Never,
}

impl Session<'_> {
    fn raise_fence(&mut self, merchant: MerchantId, whom: &Whom, request: Uuid) -> Result<Fenced, Error> {
        for subject in whom.places() {
            if self.fence(merchant, subject)?.is_none() {
                let fence = "INSERT INTO fence (merchant, subject, fenced_at) VALUES (?1, ?2, ?3)";
                self.store.execute(fence, values![&merchant.bytes(), &subject, now()])?;
                self.written += 1;
                self.tell(Notice::Fenced(merchant, subject))?;
            }
        }
        self.begin_erasure(merchant, *whom == Whom::Shop, request)?;
        Ok(Fenced { number: self.newest_notice()? })
    }

    fn ensure_fenced(&self, merchant: MerchantId, places: &[[u8; 16]]) -> Result<(), Error> {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is("destroy-without-fence") {
            return Ok(());
        }
        for subject in places {
            if self.fence(merchant, *subject)?.is_none() {
                return Err(Error::NotFenced { merchant });
            }
        }
        Ok(())
    }

    fn begin_erasure(&self, merchant: MerchantId, is_shop: bool, request: Uuid) -> Result<(), Error> {
        let begin =
            "INSERT INTO erasure (request, merchant, is_shop, epoch, keys, directory_rows, tombstones)
            VALUES (?1, ?2, ?3, NULL, 0, 0, 0) ON CONFLICT (request) DO NOTHING";
        self.store.execute(begin, values![request.as_bytes(), &merchant.bytes(), u32::from(is_shop)])?;
        Ok(())
    }

    /// Adds what this transaction did to what the request has done. The first sets the epoch.
    fn add_destroyed(&self, request: Uuid, done: &Destroyed) -> Result<(), Error> {
        let add = "UPDATE erasure SET epoch = coalesce(epoch, ?2), keys = keys + ?3,
            directory_rows = directory_rows + ?4, tombstones = tombstones + ?5 WHERE request = ?1";
        let Destroyed { keys, directory_rows, tombstones, epoch } = *done;
        let [keys, rows, tombstones] = [keys, directory_rows, tombstones].map(stored);
        self.store.execute(add, values![request.as_bytes(), epoch, keys, rows, tombstones])?;
        Ok(())
    }

    fn destroyed(&self, request: Uuid) -> Result<Destroyed, Error> {
        let counts = "SELECT keys, directory_rows, tombstones, epoch FROM erasure WHERE request = ?1";
        Ok(self.store.one(counts, values![request.as_bytes()], |row| {
            Ok(Destroyed {
                keys: row.at(0)?,
                directory_rows: row.at(1)?,
                tombstones: row.at(2)?,
                epoch: row.at(3)?,
            })
        })?)
    }

    fn references_of(&self, merchant: MerchantId, whom: &Whom) -> Result<Vec<(Kind, [u8; 32])>, Error> {
        let mut references = Vec::new();
        let mut add = |sql: &str, values: &[group_commit::ValueRef<'_>]| {
            let rows = self.store.all(sql, values, |row| Ok((known(row.at(0)?), row.at(1)?)));
            rows.map(|rows| {
                references.extend(rows.into_iter().filter_map(|(kind, hash)| Some((kind?, hash))));
            })
        };
        match whom {
            Whom::Person(subjects) => {
                let rows = "SELECT kind, ref_hash FROM directory WHERE merchant = ?1 AND subject = ?2";
                for subject in subjects {
                    add(rows, values![&merchant.bytes(), &subject.bytes()])?;
                }
            }
            Whom::Shop => {
                add("SELECT kind, ref_hash FROM directory WHERE merchant = ?1", values![&merchant.bytes()])?;
            }
        }
        Ok(references)
    }

    fn destroy_people(
        &mut self,
        merchant: MerchantId,
        subjects: &[CustomerId],
        request: Uuid,
    ) -> Result<(), Error> {
        let places: Vec<_> = subjects.iter().map(|subject| subject.bytes()).collect();
        self.ensure_fenced(merchant, &places)?;
        self.begin_erasure(merchant, false, request)?;
        let mut done = Destroyed { epoch: self.epoch()?, ..Destroyed::default() };
        for subject in &places {
            let key = "SELECT n, wrapped FROM subject_key WHERE merchant = ?1 AND subject = ?2";
            let keys = self.store.all(key, values![&merchant.bytes(), subject], |row| {
                Ok((row.at::<i64>(0)?, row.at::<Vec<u8>>(1)?))
            })?;
            done.keys += self.overwrite(&keys)?;
            let rows = "SELECT n, kind, ref_hash FROM directory WHERE merchant = ?1 AND subject = ?2";
            let rows = self.store.all(rows, values![&merchant.bytes(), subject], |row| {
                Ok((row.at::<i64>(0)?, row.at::<u32>(1)?, row.at::<[u8; 32]>(2)?))
            })?;
            for (n, kind, hash) in rows {
                if known(kind).is_some_and(Kind::leaves_a_tombstone) {
                    done.tombstones += self.bury_hash(merchant, kind, &hash)?;
                }
                done.directory_rows +=
                    self.store.execute("DELETE FROM directory WHERE n = ?1", values![n])?;
            }
        }
        self.add_destroyed(request, &done)
    }

    /// Leaves a tombstone, if there is none; how many it left.
    pub(crate) fn bury_hash(
        &mut self,
        merchant: MerchantId,
        kind: u32,
        hash: &[u8; 32],
    ) -> Result<u64, Error> {
        let bury = "INSERT INTO tombstone (merchant, kind, ref_hash) VALUES (?1, ?2, ?3)
            ON CONFLICT (merchant, kind, ref_hash) DO NOTHING";
        let buried = self.store.execute(bury, values![&merchant.bytes(), kind, hash])?;
        self.written += u32::try_from(buried).unwrap_or(u32::MAX);
        Ok(buried)
    }

    /// Overwrites wrapped keys where they stand as they were read, at their length; those that already are do not count.
    pub(crate) fn overwrite(&mut self, keys: &[(i64, Vec<u8>)]) -> Result<u64, Error> {
        let mut count = 0;
        for (n, wrapped) in keys {
            if !is_destroyed(wrapped) {
                let overwrite = "UPDATE subject_key SET wrapped = ?2 WHERE n = ?1 AND wrapped = ?3";
                count += self.store.execute(overwrite, values![*n, &vec![0; wrapped.len()], wrapped])?;
            }
        }
        self.written += u32::try_from(count).unwrap_or(u32::MAX);
        Ok(count)
    }

    /// Puts other keys where the shop's were: nothing that hung under them opens any more, and what still has to be hashed
    /// for a shop that is no more can be.
    fn replace_shop_keys(&mut self, merchant: MerchantId, request: Uuid) -> Result<(), Error> {
        self.ensure_fenced(merchant, &[NOBODY])?;
        self.begin_erasure(merchant, true, request)?;
        let keys = self.replace_own_keys(merchant)?;
        self.add_destroyed(request, &Destroyed { keys, epoch: self.epoch()?, ..Destroyed::default() })
    }

    /// Replaces those that are not replaced; how many rows.
    pub(crate) fn replace_own_keys(&mut self, id: MerchantId) -> Result<u64, Error> {
        let Some(merchant) = self.read_merchant(id)? else { return Ok(0) };
        let newest = merchant.rows.keys().next_back().copied();
        let mut count = 0;
        for (epoch, MerchantRow { wrapped, own_key, .. }) in &merchant.rows {
            if self.is_of_erased(id, &merchant, *epoch).unwrap_or(false) {
                continue;
            }
            let (wrapped, own_key) = if Some(*epoch) == newest {
                let row = self.fresh_merchant_row(id, *epoch, &self.vault.own_of_erased(id))?;
                (row.wrapped, row.own_key)
            } else {
                (vec![0; wrapped.len()], vec![0; own_key.len()])
            };
            let overwrite =
                "UPDATE merchant_key SET wrapped = ?3, own_key = ?4 WHERE merchant = ?1 AND epoch = ?2";
            count += self.store.execute(overwrite, values![&id.bytes(), *epoch, &wrapped, &own_key])?;
        }
        if count > 0 {
            self.written += u32::try_from(count).unwrap_or(u32::MAX);
            self.tell(Notice::Changed(id, NOBODY))?;
        }
        Ok(count)
    }

    /// Destroys a batch of the shop's rows; the subject to go on behind, if there are more.
    fn destroy_some(
        &mut self,
        merchant: MerchantId,
        after: [u8; 16],
        request: Uuid,
    ) -> Result<Option<[u8; 16]>, Error> {
        let shop = merchant.bytes();
        let mut done = Destroyed { epoch: self.epoch()?, ..Destroyed::default() };
        let keys = self.keys_of_shop(merchant, after)?;
        let last = keys.last().and_then(WrappedRow::subject);
        let keys: Vec<_> = keys.into_iter().map(|row| (row.n, row.wrapped)).collect();
        done.keys = self.overwrite(&keys)?;
        let days = self.delete_some("day_key", "merchant = ?1", values![&shop])?;
        done.keys += days;
        done.directory_rows = self.delete_some("directory", "merchant = ?1", values![&shop])?;
        // What is known over all merchants leads to this one by its id.
        let every = EVERY_MERCHANT.bytes();
        done.directory_rows +=
            self.delete_some("directory", "merchant = ?1 AND id = ?2", values![&every, &shop])?;
        let tombstones = self.delete_some("tombstone", "merchant = ?1", values![&shop])?;
        if days > 0 {
            self.tell(Notice::Days)?;
        }
        self.add_destroyed(request, &done)?;
        let is_all = last.is_none() && days + done.directory_rows + tombstones == 0;
        Ok((!is_all).then_some(last.unwrap_or([u8::MAX; 16])))
    }

    /// A page of the shop's subjects' rows in the order of their ids.
    pub(crate) fn keys_of_shop(
        &self,
        merchant: MerchantId,
        after: [u8; 16],
    ) -> Result<Vec<WrappedRow>, Error> {
        let keys = "SELECT n, merchant, subject, epoch, wrapped FROM subject_key
            WHERE merchant = ?1 AND subject > ?2 ORDER BY subject LIMIT ?3";
        Ok(self.store.all(keys, values![&merchant.bytes(), &after, BATCH], WrappedRow::of_subject)?)
    }

    fn delete_some(
        &self,
        table: &str,
        which: &str,
        values: &[group_commit::ValueRef<'_>],
    ) -> Result<u64, Error> {
        let delete =
            format!("DELETE FROM {table} WHERE n IN (SELECT n FROM {table} WHERE {which} LIMIT {BATCH})");
        Ok(self.store.execute(&delete, values)?)
    }

    /// Reads back what was destroyed, but for the keys of a shop's subjects.
    fn ensure_gone(&self, merchant: MerchantId, whom: &Whom) -> Result<(), Error> {
        let again = |what: String| Err(Error::Damaged { what });
        for subject in whom.subjects() {
            let key = "SELECT wrapped FROM subject_key WHERE merchant = ?1 AND subject = ?2";
            let (merchant, place) = (merchant.bytes(), subject.bytes());
            let kept = self.store.first(key, values![&merchant, &place], |row| row.at::<Vec<u8>>(0))?;
            if kept.is_some_and(|wrapped| !is_destroyed(&wrapped)) {
                return again(format!("the destroyed key of subject {subject} is there again and"));
            }
            let row = "SELECT 1 FROM directory WHERE merchant = ?1 AND subject = ?2";
            if self.store.first(row, values![&merchant, &place], |_| Ok(()))?.is_some() {
                return again(format!("a deleted directory row of subject {subject} is there again and"));
            }
        }
        if *whom == Whom::Shop {
            if let Some(shop) = self.read_merchant(merchant)? {
                for epoch in shop.rows.keys() {
                    if !self.is_of_erased(merchant, &shop, *epoch)? {
                        return again(format!("the destroyed key of merchant {merchant} is there again and"));
                    }
                }
            }
            for (left, rows) in LEFT_OF_A_SHOP {
                if self.store.first(rows, values![&merchant.bytes()], |_| Ok(()))?.is_some() {
                    return again(format!("{left} of merchant {merchant} is there again and"));
                }
            }
        }
        Ok(())
    }

    fn certify(&mut self, merchant: MerchantId, whom: &Whom, certificate: &str) -> Result<(), Error> {
        let places = whom.places();
        for subject in &places {
            let certify = "UPDATE fence SET certificate = ?3 WHERE merchant = ?1 AND subject = ?2";
            if self.store.execute(certify, values![&merchant.bytes(), subject, certificate])? == 0 {
                return Err(Error::NotFenced { merchant });
            }
            self.tell(Notice::Changed(merchant, *subject))?;
        }
        Ok(())
    }

    /// The subject's key as its row has it, whatever fences say.
    fn kept(&self, merchant: MerchantId, subject: CustomerId) -> Result<Kept, Error> {
        let id = DataKeyId::subject(merchant, subject);
        let key = "SELECT epoch, wrapped FROM subject_key WHERE merchant = ?1 AND subject = ?2";
        let row = self.store.first(key, values![&merchant.bytes(), &subject.bytes()], |row| {
            Ok((row.at::<Epoch>(0)?, row.at::<Vec<u8>>(1)?))
        })?;
        let Some((epoch, wrapped)) = row else { return Ok(Kept::Never) };
        if is_destroyed(&wrapped) {
            return Ok(Kept::Destroyed);
        }
        let shop = self.read_merchant(merchant)?.ok_or(Error::UnknownMerchant { merchant })?;
        let opened = self
            .epoch_cipher(epoch)
            .and_then(|_| self.vault.wrapping(merchant, &shop, epoch))
            .and_then(|wrapping| Wrap::Data(id, epoch).open(&wrapping, &self.vault.log_id, &wrapped));
        match opened {
            Ok(key) => Ok(Kept::Alive(DataKey(key).cipher()?)),
            // The shop's keys were replaced.
            Err(_) if shop.fence.is_some() => Ok(Kept::Destroyed),
            Err(damage) => Err(damage),
        }
    }
}

fn known(kind: u32) -> Option<Kind> {
    u8::try_from(kind).ok().and_then(Kind::from_number)
}

/// Nothing that is wrapped is all zero bytes.
pub(crate) fn is_destroyed(wrapped: &[u8]) -> bool {
    wrapped.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RootKey;

    const SHOP: MerchantId = MerchantId::from_bytes([1; 16]);

    /// Catches, tried: a read-back that leaves one of the places out, so that what is there again is certified as gone.
    #[tokio::test]
    async fn whatever_of_an_erased_shop_is_there_again_is_found_when_it_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::from_bytes([7; 32]);
        let store = KeyStore::create_or_open(&folder.path().join("keys.db"), &root, [9; 16]).await.unwrap();
        store.ensure_merchant(SHOP).await.unwrap();
        store.ensure_subject(SHOP, CustomerId::from_bytes([3; 16])).await.unwrap();
        let copy = "CREATE TABLE copied AS SELECT wrapped, own_key FROM merchant_key";
        store.commit(move |session| Ok(session.store.execute(copy, values![])?)).await.unwrap();
        store.fence(SHOP, &Whom::Shop, Uuid::nil()).await.unwrap();
        store.destroy(SHOP, &Whom::Shop, Uuid::nil()).await.unwrap();
        let read_back = || store.ensure_gone(SHOP, &Whom::Shop);
        let old = "UPDATE merchant_key SET wrapped = (SELECT wrapped FROM copied), own_key = (SELECT own_key FROM copied)";
        for again in [
            old,
            "UPDATE subject_key SET wrapped = (SELECT own_key FROM merchant_key LIMIT 1)",
            "INSERT INTO day_key (merchant, day, epoch, wrapped) SELECT merchant, 1, 1, wrapped FROM merchant_key",
            "INSERT INTO tombstone (merchant, kind, ref_hash) SELECT merchant, 1, wrapped FROM merchant_key",
            "INSERT INTO directory (merchant, kind, ref_hash, id, subject, added_at)
                SELECT merchant, 1, wrapped, merchant, merchant, 0 FROM merchant_key",
        ] {
            read_back().await.unwrap();
            let changed = store.commit(|session| Ok(session.store.execute(again, values![])?)).await;
            assert_eq!(changed.unwrap(), 1);
            assert!(matches!(read_back().await, Err(Error::Damaged { .. })), "{again}");
            store.destroy(SHOP, &Whom::Shop, Uuid::nil()).await.unwrap();
        }
    }
}
