//! The directory: outside references to random ids. Only a keyed hash of a reference is stored, and for some kinds its
//! sealed text; when a person is erased their rows go, and nothing leads from the log to them any more.
use std::{collections::HashMap, fmt, rc::Rc};

use event_schemas::{CustomerId, MerchantId};
use group_commit::values;
use uuid::Uuid;

use crate::{
    Error, KeyStore, Kind,
    blind::reference_hash,
    keys::{DataKey, DataKeyId},
    schema::{NOBODY, now},
    session::Session,
};

/// Stands for the merchant where a kind is looked up over all of them.
pub const EVERY_MERCHANT: MerchantId = MerchantId::from_bytes([0; 16]);

/// An outside reference, the id it gets if it has none yet, and the person it belongs to.
#[derive(Clone)]
pub struct Reference {
    /// What it names.
    pub kind: Kind,
    /// The reference itself. E-mails and domains are normalised by the directory.
    pub text: String,
    /// A fresh random id.
    pub proposed: Uuid,
    /// The person, if known. Their key is made with the row if they are who is proposed, else they have one.
    pub subject: Option<CustomerId>,
}

impl Reference {
    /// A reference.
    #[must_use]
    pub fn new(kind: Kind, text: impl Into<String>, proposed: Uuid, subject: Option<CustomerId>) -> Self {
        Self { kind, text: text.into(), proposed, subject }
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reference")
            .field("kind", &self.kind)
            .field("proposed", &self.proposed)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// What the directory knows of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The id that it has for ever.
    pub id: Uuid,
    /// The person it belongs to.
    pub subject: Option<CustomerId>,
    /// The row was made by this very call.
    pub fresh: bool,
}

impl KeyStore {
    /// The reference's id, which is the proposed one if it had none; durable when it returns.
    ///
    /// # Errors
    /// As [`KeyStore::resolve_many`].
    pub async fn resolve(&self, merchant: MerchantId, reference: Reference) -> Result<Entry, Error> {
        self.commit(move |session| session.resolve(merchant, &reference)).await
    }

    /// Resolves several references in order, all or none, in one durable round trip.
    ///
    /// A kind with several ids per reference gets the row (reference, proposed id) if it is not there. An id that an
    /// earlier reference of the call proposed, as `proposed` or as `subject`, stands for the id that it got. An existing
    /// row keeps its subject; [`KeyStore::attach`] gives it one.
    ///
    /// # Errors
    /// [`Error::Erased`] if a reference belonged to an erased person, [`Error::Redacted`] if a subject is erased,
    /// [`Error::KeyMissing`] if a subject who was there before has no key; [`Error::UnknownMerchant`],
    /// [`Error::Unavailable`].
    pub async fn resolve_many(
        &self,
        merchant: MerchantId,
        references: Vec<Reference>,
    ) -> Result<Vec<Entry>, Error> {
        self.commit(move |session| {
            let mut got = HashMap::new();
            let mut resolve = |mut reference: Reference| {
                let stands_for = |id: Uuid| got.get(&id).copied().unwrap_or(id);
                let proposed = reference.proposed;
                reference.proposed = stands_for(proposed);
                reference.subject = reference.subject.map(|subject| CustomerId(stands_for(subject.0)));
                let entry = session.resolve(merchant, &reference)?;
                got.entry(proposed).or_insert(entry.id);
                Ok(entry)
            };
            references.into_iter().map(&mut resolve).collect()
        })
        .await
    }

    /// What the directory knows of a reference, the oldest id if it has several.
    ///
    /// # Errors
    /// [`Error::UnknownMerchant`], [`Error::Unavailable`].
    pub async fn find(
        &self,
        merchant: MerchantId,
        kind: Kind,
        reference: &str,
    ) -> Result<Option<Entry>, Error> {
        Ok(self.find_all(merchant, kind, reference).await?.into_iter().next())
    }

    /// All ids of a reference, in the order of the ids.
    ///
    /// # Errors
    /// [`Error::UnknownMerchant`], [`Error::Unavailable`].
    pub async fn find_all(
        &self,
        merchant: MerchantId,
        kind: Kind,
        reference: &str,
    ) -> Result<Vec<Entry>, Error> {
        let reference = reference.to_owned();
        self.look(move |session| {
            let hash = session.reference_hash(merchant, kind, &reference)?;
            session.entries(merchant, kind, &hash)
        })
        .await
    }

    /// The reference behind an id; `None` if there is no row, if its kind keeps none, or if its person is erased.
    ///
    /// # Errors
    /// [`Error::DoesNotOpen`] if the row was changed; [`Error::UnknownMerchant`], [`Error::KeyMissing`],
    /// [`Error::Unavailable`].
    pub async fn reveal(&self, merchant: MerchantId, kind: Kind, id: Uuid) -> Result<Option<String>, Error> {
        Ok(self.reveal_many(merchant, kind, vec![id]).await?.pop().flatten())
    }

    /// The same for a page, in the order of the ids.
    ///
    /// # Errors
    /// As [`KeyStore::reveal`].
    pub async fn reveal_many(
        &self,
        merchant: MerchantId,
        kind: Kind,
        ids: Vec<Uuid>,
    ) -> Result<Vec<Option<String>>, Error> {
        // The rows and the fences are read now; what must not happen is that the answer is older than the lease.
        loop {
            let asked = ids.clone();
            let watch = self.watch().await?;
            let reveal =
                self.look(move |s| asked.into_iter().map(|id| s.reveal(merchant, kind, id)).collect());
            let revealed = reveal.await?;
            if self.vault.stands_everywhere(watch) {
                return Ok(revealed);
            }
        }
    }

    /// Gives the rows of an id, such as a guest's order, the person they belong to. A row that has a person keeps it.
    /// `None` if the id has no row.
    ///
    /// # Errors
    /// [`Error::Redacted`] if the subject is erased, [`Error::KeyMissing`] if they have no key; [`Error::UnknownMerchant`],
    /// [`Error::Unavailable`].
    pub async fn attach(
        &self,
        merchant: MerchantId,
        kind: Kind,
        id: Uuid,
        subject: CustomerId,
    ) -> Result<Option<Entry>, Error> {
        self.commit(move |session| session.attach(merchant, kind, id, subject, Keyless::Refused)).await
    }

    /// The same for a request to erase the person: also one whose key is missing, which is an alarm, can be erased with all
    /// that is theirs. Of such a row only the hash is kept.
    ///
    /// # Errors
    /// As [`KeyStore::attach`], but for the missing key.
    pub async fn attach_for_request(
        &self,
        merchant: MerchantId,
        kind: Kind,
        id: Uuid,
        subject: CustomerId,
    ) -> Result<Option<Entry>, Error> {
        self.commit(move |session| session.attach(merchant, kind, id, subject, Keyless::Given)).await
    }
}

/// What becomes of a row that is to belong to a person without a key.
#[derive(Clone, Copy)]
enum Keyless {
    Refused,
    Given,
}

/// A row's own key: what its sealed reference is bound to, beside its subject.
struct RowKey {
    merchant: MerchantId,
    kind: Kind,
    hash: [u8; 32],
    id: Uuid,
}

impl RowKey {
    fn associated_data(&self, subject: Option<CustomerId>) -> Vec<u8> {
        let subject = stored(subject);
        let kind = [self.kind.number()];
        [
            &b"loyalnest/reference/1"[..],
            &self.merchant.bytes(),
            &kind,
            &self.hash,
            self.id.as_bytes(),
            &subject,
        ]
        .concat()
    }
}

struct Row {
    key: RowKey,
    subject: Option<CustomerId>,
    sealed: Option<Vec<u8>>,
}

impl Session<'_> {
    fn resolve(&mut self, merchant: MerchantId, reference: &Reference) -> Result<Entry, Error> {
        let Reference { kind, proposed, subject, .. } = *reference;
        self.ensure_shop_stands(merchant)?;
        let hash = self.reference_hash(merchant, kind, &reference.text)?;
        let known = self.known(merchant, kind, &hash)?;
        if let Some((entry, doubted)) =
            known.into_iter().find(|(entry, _)| !kind.has_many_ids() || entry.id == proposed)
        {
            if doubted {
                self.trust(merchant, kind, &hash)?;
            }
            return Ok(entry);
        }
        let is_erased = self.is_erased(merchant, kind, &hash)?;
        #[cfg(feature = "planted-bugs")]
        let is_erased = is_erased && !crate::planted::is("key-minted-again");
        if is_erased {
            return Err(Error::Erased { kind });
        }
        if let Some(subject) = subject {
            let id = DataKeyId::subject(merchant, subject);
            if subject.0 == proposed { self.ensure(id).map(drop)? } else { self.expect(id)? }
        }
        let key = RowKey { merchant: scope(merchant, kind), kind, hash, id: proposed };
        let sealed = kind
            .is_revealed()
            .then(|| self.seal_reference(&key, subject, &kind.normalised(&reference.text)))
            .transpose()?;
        self.store.execute(
            "INSERT INTO directory (merchant, kind, ref_hash, id, subject, sealed_ref, added_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            values![
                &key.merchant.bytes(),
                kind.number(),
                &hash,
                proposed.as_bytes(),
                &stored(subject),
                sealed.as_ref(),
                now()
            ],
        )?;
        self.written += 1;
        Ok(Entry { id: proposed, subject, fresh: true })
    }

    /// Nobody gets an id in a shop that is erased.
    fn ensure_shop_stands(&self, merchant: MerchantId) -> Result<(), Error> {
        match self.fence(merchant, NOBODY)? {
            Some(_) => Err(Error::ShopErased { merchant }),
            None => Ok(()),
        }
    }

    pub(crate) fn reference_hash(
        &mut self,
        merchant: MerchantId,
        kind: Kind,
        text: &str,
    ) -> Result<[u8; 32], Error> {
        if kind.is_global() {
            return Ok(reference_hash(&self.vault.global, kind, text));
        }
        Ok(reference_hash(&*self.own_key(merchant)?, kind, text))
    }

    pub(crate) fn entries(
        &self,
        merchant: MerchantId,
        kind: Kind,
        hash: &[u8; 32],
    ) -> Result<Vec<Entry>, Error> {
        Ok(self.known(merchant, kind, hash)?.into_iter().map(|(entry, _)| entry).collect())
    }

    /// The rows of a reference, and whether each is doubted.
    fn known(&self, merchant: MerchantId, kind: Kind, hash: &[u8; 32]) -> Result<Vec<(Entry, bool)>, Error> {
        let merchant = scope(merchant, kind).bytes();
        // Ordered here: for the order alone a planner would walk all rows of the kind by id.
        let mut known = self.store.all(
            "SELECT id, subject, added_at FROM directory WHERE merchant = ?1 AND kind = ?2 AND ref_hash = ?3",
            values![&merchant, kind.number(), hash],
            |row| {
                let entry =
                    Entry { id: Uuid::from_bytes(row.at(0)?), subject: person(row.at(1)?), fresh: false };
                Ok((entry, row.at::<i64>(2)? < 0))
            },
        )?;
        known.sort_unstable_by_key(|(entry, _)| entry.id);
        Ok(known)
    }

    /// Ends the doubt about a reference's rows: somebody is about to write what stands behind them.
    fn trust(&self, merchant: MerchantId, kind: Kind, hash: &[u8; 32]) -> Result<(), Error> {
        let merchant = scope(merchant, kind).bytes();
        let trust = "UPDATE directory SET added_at = ?4 WHERE merchant = ?1 AND kind = ?2 AND ref_hash = ?3 AND added_at < 0";
        self.store.execute(trust, values![&merchant, kind.number(), hash, now()])?;
        Ok(())
    }

    pub(crate) fn is_erased(&self, merchant: MerchantId, kind: Kind, hash: &[u8; 32]) -> Result<bool, Error> {
        let tombstone = "SELECT 1 FROM tombstone WHERE merchant = ?1 AND kind = ?2 AND ref_hash = ?3";
        let merchant = scope(merchant, kind).bytes();
        let found = self.store.first(tombstone, values![&merchant, kind.number(), hash], |_| Ok(()));
        Ok(found?.is_some())
    }

    fn rows(&self, merchant: MerchantId, kind: Kind, id: Uuid) -> Result<Vec<Row>, Error> {
        let merchant = scope(merchant, kind);
        let rows = self.store.all(
            "SELECT ref_hash, subject, sealed_ref FROM directory WHERE merchant = ?1 AND kind = ?2 AND id = ?3",
            values![&merchant.bytes(), kind.number(), id.as_bytes()],
            |row| {
                let key = RowKey { merchant, kind, hash: row.at(0)?, id };
                Ok(Row { key, subject: person(row.at(1)?), sealed: row.at(2)? })
            },
        );
        Ok(rows?)
    }

    fn reveal(&mut self, merchant: MerchantId, kind: Kind, id: Uuid) -> Result<Option<String>, Error> {
        let row = self.rows(merchant, kind, id)?.into_iter().next();
        row.map_or(Ok(None), |row| match self.open_reference(&row) {
            Err(Error::Redacted { .. } | Error::ShopErased { .. }) => Ok(None),
            revealed => revealed,
        })
    }

    fn attach(
        &mut self,
        merchant: MerchantId,
        kind: Kind,
        id: Uuid,
        subject: CustomerId,
        keyless: Keyless,
    ) -> Result<Option<Entry>, Error> {
        self.ensure_shop_stands(merchant)?;
        let mut entry = None;
        for row in self.rows(merchant, kind, id)? {
            let owner = match row.subject {
                Some(owner) => owner,
                None => self.give(&row, subject, keyless).map(|()| subject)?,
            };
            entry = Some(Entry { id, subject: Some(owner), fresh: false });
        }
        Ok(entry)
    }

    fn give(&mut self, row: &Row, subject: CustomerId, keyless: Keyless) -> Result<(), Error> {
        let reference = match (self.expect(DataKeyId::subject(row.key.merchant, subject)), keyless) {
            (Err(Error::KeyMissing { .. }), Keyless::Given) => None,
            (has_key, _) => has_key.and_then(|()| self.open_reference(row))?,
        };
        let sealed = reference.map(|text| self.seal_reference(&row.key, Some(subject), &text)).transpose()?;
        let RowKey { merchant, kind, hash, id } = &row.key;
        self.store.execute(
            "UPDATE directory SET subject = ?5, sealed_ref = ?6
             WHERE merchant = ?1 AND kind = ?2 AND ref_hash = ?3 AND id = ?4",
            values![&merchant.bytes(), kind.number(), hash, id.as_bytes(), &subject.bytes(), sealed.as_ref()],
        )?;
        self.written += 1;
        Ok(())
    }

    fn seal_reference(
        &mut self,
        row: &RowKey,
        subject: Option<CustomerId>,
        text: &str,
    ) -> Result<Vec<u8>, Error> {
        let key = self.reference_key(row.merchant, subject)?;
        key.cipher()?.seal(&row.associated_data(subject), text.as_bytes())
    }

    fn open_reference(&mut self, row: &Row) -> Result<Option<String>, Error> {
        let Some(sealed) = &row.sealed else { return Ok(None) };
        let key = self.reference_key(row.key.merchant, row.subject)?;
        let clear = key.cipher()?.open(&row.key.associated_data(row.subject), sealed)?;
        String::from_utf8(clear).map(Some).map_err(|_| Error::DoesNotOpen)
    }

    fn reference_key(
        &mut self,
        merchant: MerchantId,
        subject: Option<CustomerId>,
    ) -> Result<Rc<DataKey>, Error> {
        match subject {
            Some(subject) => self.data_key(DataKeyId::subject(merchant, subject)).map(Rc::new),
            None => self.own_key(merchant),
        }
    }
}

/// The merchant under which rows of a kind stand.
pub(crate) fn scope(merchant: MerchantId, kind: Kind) -> MerchantId {
    if kind.is_global() { EVERY_MERCHANT } else { merchant }
}

fn stored(subject: Option<CustomerId>) -> [u8; 16] {
    subject.map_or(NOBODY, CustomerId::bytes)
}

pub(crate) fn person(stored: [u8; 16]) -> Option<CustomerId> {
    (stored != NOBODY).then(|| CustomerId::from_bytes(stored))
}
