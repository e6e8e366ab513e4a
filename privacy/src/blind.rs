//! References by their keyed hashes alone: what finds a person's deliveries, and what keeps one who is not known here
//! from becoming known by what still arrives.
use event_schemas::{CustomerId, MerchantId};
use group_commit::values;
use uuid::Uuid;

use crate::{Entry, Error, KeyStore, Kind, directory::scope, keys::DataKey, session::Session};

/// The keyed hash under which a reference stands in the directory.
pub(crate) fn reference_hash(key: &DataKey, kind: Kind, text: &str) -> [u8; 32] {
    key.mac("loyalnest/reference-hash/1", &[&[kind.number()], kind.normalised(text).as_bytes()])
}

impl KeyStore {
    /// The hashes under which these references stand in the directory, or would; the key is unwrapped once for all. Only
    /// for kinds that are looked up per shop.
    ///
    /// # Errors
    /// [`Error::UnknownMerchant`], [`Error::Damaged`], and what an erased shop answers.
    pub fn reference_hashes(
        &self,
        merchant: MerchantId,
        references: &[(Kind, String)],
    ) -> Result<Vec<[u8; 32]>, Error> {
        let key = self.own_key(merchant)?;
        Ok(references.iter().map(|(kind, text)| reference_hash(&key, *kind, text)).collect())
    }

    /// Leaves a bare tombstone for each reference that the directory does not know: it never gets an id from here on.
    /// Says how many are new; durable when it returns.
    ///
    /// # Errors
    /// [`Error::UnknownMerchant`], [`Error::Unavailable`].
    pub async fn bury(&self, merchant: MerchantId, references: Vec<(Kind, String)>) -> Result<u64, Error> {
        self.commit(move |session| {
            let mut buried = 0;
            for (kind, text) in &references {
                buried += u64::from(session.bury(merchant, *kind, text)?);
            }
            Ok(buried)
        })
        .await
    }

    /// Takes a reference's tombstone away: whoever it names may become known again, as somebody new. Says whether there
    /// was one; durable when it returns.
    ///
    /// # Errors
    /// [`Error::UnknownMerchant`], [`Error::Unavailable`].
    pub async fn unbury(
        &self,
        merchant: MerchantId,
        kind: Kind,
        text: impl Into<String>,
    ) -> Result<bool, Error> {
        const UNBURY: &str = "DELETE FROM tombstone WHERE merchant = ?1 AND kind = ?2 AND ref_hash = ?3";
        let text = text.into();
        self.commit(move |session| {
            let hash = session.reference_hash(merchant, kind, &text)?;
            let shop = scope(merchant, kind).bytes();
            Ok(session.store.execute(UNBURY, values![&shop, kind.number(), &hash])? > 0)
        })
        .await
    }

    /// Whether the reference belonged to somebody who was erased, or was buried.
    ///
    /// # Errors
    /// [`Error::UnknownMerchant`], [`Error::Unavailable`].
    pub async fn is_buried(
        &self,
        merchant: MerchantId,
        kind: Kind,
        text: impl Into<String>,
    ) -> Result<bool, Error> {
        let text = text.into();
        self.look(move |session| {
            let hash = session.reference_hash(merchant, kind, &text)?;
            session.is_erased(merchant, kind, &hash)
        })
        .await
    }
}

impl KeyStore {
    /// The ids of one kind that belong to these people, in the order of the ids.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ids_of(
        &self,
        merchant: MerchantId,
        people: Vec<CustomerId>,
        kind: Kind,
    ) -> Result<Vec<Uuid>, Error> {
        const IDS: &str =
            "SELECT DISTINCT id FROM directory WHERE merchant = ?1 AND subject = ?2 AND kind = ?3";
        self.look(move |session| {
            let mut ids = Vec::new();
            for person in people {
                let (merchant, person) = (merchant.bytes(), person.bytes());
                let values = values![&merchant, &person, kind.number()];
                ids.extend(session.store.all(IDS, values, |row| row.at(0).map(Uuid::from_bytes))?);
            }
            ids.sort_unstable();
            ids.dedup();
            Ok(ids)
        })
        .await
    }

    /// What the directory has under these hashes, which somebody keeps who no longer has the references.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn entries_of(
        &self,
        merchant: MerchantId,
        references: Vec<(Kind, [u8; 32])>,
    ) -> Result<Vec<Entry>, Error> {
        self.look(move |session| {
            let mut entries = Vec::new();
            for (kind, hash) in &references {
                entries.extend(session.entries(merchant, *kind, hash)?);
            }
            Ok(entries)
        })
        .await
    }

    /// Whether any of these references, by the numbers of their kinds and their hashes, was erased or buried.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn any_buried(
        &self,
        merchant: MerchantId,
        references: Vec<(u8, [u8; 32])>,
    ) -> Result<bool, Error> {
        const BURIED: &str = "SELECT 1 FROM tombstone WHERE merchant = ?1 AND kind = ?2 AND ref_hash = ?3";
        self.look(move |session| {
            for (kind, hash) in references {
                let merchant = merchant.bytes();
                if session.store.first(BURIED, values![&merchant, kind, &hash], |_| Ok(()))?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }

    /// The hashes of all references of a shop that were erased or buried.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn buried(&self, merchant: MerchantId) -> Result<Vec<[u8; 32]>, Error> {
        const BURIED: &str = "SELECT ref_hash FROM tombstone WHERE merchant = ?1";
        self.look(move |session| {
            Ok(session.store.all(BURIED, values![&merchant.bytes()], |row| row.at(0))?)
        })
        .await
    }
}

impl Session<'_> {
    fn bury(&mut self, merchant: MerchantId, kind: Kind, text: &str) -> Result<bool, Error> {
        const BURY: &str = "INSERT INTO tombstone (merchant, kind, ref_hash) VALUES (?1, ?2, ?3)";
        let hash = self.reference_hash(merchant, kind, text)?;
        if !self.entries(merchant, kind, &hash)?.is_empty() || self.is_erased(merchant, kind, &hash)? {
            return Ok(false);
        }
        self.store.execute(BURY, values![&scope(merchant, kind).bytes(), kind.number(), &hash])?;
        self.written += 1;
        Ok(true)
    }
}
