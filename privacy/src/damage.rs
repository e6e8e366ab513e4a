//! Which keys nobody can use although nobody destroyed them, and which were destroyed and are there. Damage is named and
//! the rest is served; nothing is ever made anew over it.
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use event_schemas::{CustomerId, MerchantId};
use group_commit::values;

use crate::{
    Error, KeyStore,
    aead::Cipher,
    erasure::is_destroyed,
    keys::{DataKeyId, Epoch, Owner, Wrap},
    page::{Page, Table},
    returned::{Again, Returned},
    schema::NOBODY,
    session::Session,
    vault::{MerchantRow, Vault},
};

/// Rows that one look reads.
const PAGE: u32 = 1_000;
/// Keys that are remembered between two looks.
const KNOWN_MAX: usize = 1_000;

/// A merchant's wrapping key; `None` if the shop is erased, the fault if it does not open.
type LiveWrapping = Result<Option<Arc<Cipher>>, ()>;

/// A key that nobody can use although nobody destroyed it, or that is there although it was destroyed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DamagedKey {
    /// Whose shop.
    pub merchant: MerchantId,
    /// `merchant`, `subject` or `day`.
    pub kind: &'static str,
    /// The merchant's or the subject's id, or the day.
    pub whose: String,
    /// The epoch that its row hangs under; none if there is no row.
    pub epoch: Option<Epoch>,
    /// What is wrong with it.
    pub fault: KeyFault,
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyFault {
    /// Its row is there, and what wrapped it does not open it.
    DoesNotOpen,
    /// There is no row, and something is sealed under it.
    Missing,
    /// It is there although a certificate says that it was destroyed. The next rotation destroys it again.
    ThereAgain,
}

impl KeyFault {
    /// `does-not-open`, `missing` or `there-again`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoesNotOpen => "does-not-open",
            Self::Missing => "missing",
            Self::ThereAgain => "there-again",
        }
    }
}

impl fmt::Display for DamagedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { merchant, kind, whose, epoch, fault } = self;
        write!(f, "the key of {kind} {whose} of merchant {merchant}")?;
        if let Some(epoch) = epoch {
            write!(f, " in epoch {epoch}")?;
        }
        write!(f, ": {}", fault.name())
    }
}

impl DamagedKey {
    fn merchants(merchant: MerchantId, epoch: Epoch) -> Self {
        let fault = KeyFault::DoesNotOpen;
        Self { merchant, kind: "merchant", whose: merchant.to_string(), epoch: Some(epoch), fault }
    }

    fn again(again: &Again) -> Self {
        let fault = KeyFault::ThereAgain;
        match again {
            Again::Data(row) => Self::of(row.id, Some(row.epoch), fault),
            Again::Own(merchant, epoch) => Self { fault, ..Self::merchants(*merchant, *epoch) },
        }
    }

    fn of(id: DataKeyId, epoch: Option<Epoch>, fault: KeyFault) -> Self {
        let (kind, whose) = match id.owner {
            Owner::Subject(subject) => ("subject", subject.to_string()),
            Owner::Day(day) => ("day", day.to_string()),
        };
        Self { merchant: id.merchant, kind, whose, epoch, fault }
    }
}

/// What is known of damage: what the last look found, and what was in somebody's way since.
#[derive(Default)]
pub(crate) struct Known {
    keys: Mutex<BTreeSet<DamagedKey>>,
}

impl Known {
    /// Notes a key that was in somebody's way; whether that is news.
    fn add(&self, key: DamagedKey) -> bool {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = keys.len() < KNOWN_MAX && keys.insert(key);
        tell(keys.len());
        is_news
    }

    fn all(&self) -> BTreeSet<DamagedKey> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the place of what was known; what of it is news.
    fn replace(&self, keys: BTreeSet<DamagedKey>) -> Vec<DamagedKey> {
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let news = keys.difference(&known).cloned().collect();
        *known = keys;
        tell(known.len());
        news
    }
}

fn tell(keys: usize) {
    metrics::gauge!("keys_damaged").set(f64::from(u32::try_from(keys).unwrap_or(u32::MAX)));
}

impl Vault {
    /// Notes that something is sealed under a key that is not there.
    pub(crate) fn missed(&self, id: DataKeyId) -> Error {
        metrics::counter!("keys_missing_total").increment(1);
        let missing = id.missing();
        if self.damage.add(DamagedKey::of(id, None, KeyFault::Missing)) {
            tracing::error!(merchant.id = %id.merchant, "ALARM: {missing}");
        }
        missing
    }
}

impl KeyStore {
    /// The keys that are known not to open, or to be missing: as the last [`KeyStore::look_for_damage`] found them, and
    /// those that were in somebody's way since. Needs no I/O.
    #[must_use]
    pub fn known_damage(&self) -> Vec<DamagedKey> {
        self.vault.damage.all().into_iter().collect()
    }

    /// Looks at every row of the store, in pages beside the traffic, and again for what was missing. What it finds is known
    /// from then on, and what is news of it is an alarm.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn look_for_damage(&self) -> Result<(), Error> {
        let mut found: BTreeSet<_> = self.damaged().await?.into_iter().collect();
        for key in self.known_damage().into_iter().filter(|key| key.fault == KeyFault::Missing) {
            let Some(subject) = key.whose.parse().ok() else { continue };
            let id = DataKeyId::subject(key.merchant, subject);
            if self.look(move |session| session.find(id)).await?.is_none() {
                found.insert(key);
            }
        }
        for key in self.vault.damage.replace(found) {
            tracing::error!(merchant.id = %key.merchant, "ALARM: {key}");
        }
        Ok(())
    }

    /// Notes it if a key is damaged.
    pub(crate) fn noting<T>(
        &self,
        id: DataKeyId,
        epoch: Option<Epoch>,
        opened: Result<T, Error>,
    ) -> Result<T, Error> {
        if let Err(error @ Error::Damaged { .. }) = &opened
            && self.vault.damage.add(DamagedKey::of(id, epoch, KeyFault::DoesNotOpen))
        {
            tracing::error!(merchant.id = %id.merchant, "ALARM: {error}");
        }
        opened
    }

    /// The keys that do not open although nobody destroyed them, those that are missing although the directory leads to
    /// somebody, and those that were destroyed and are there again. Reads the whole store, in pages beside the traffic.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn damaged(&self) -> Result<Vec<DamagedKey>, Error> {
        let mut damaged = Vec::new();
        let mut after = Some(NOBODY);
        while let Some(last) = after {
            let (next, more) = self.look(move |session| session.damaged_merchants(last)).await?;
            damaged.extend(more);
            after = next;
        }
        for table in [Table::Subjects, Table::Days] {
            let mut after = Some(0);
            while let Some(last) = after {
                let (next, more) = self.look(move |session| session.damaged_rows(table, last)).await?;
                damaged.extend(more);
                after = next;
            }
        }
        let mut returned = Returned::new();
        while let Some(found) = returned.next(self).await? {
            damaged.extend(found.iter().map(DamagedKey::again));
        }
        let mut after = Some(0);
        while let Some(last) = after {
            let (next, more) = self.look(move |session| session.missing_subjects(last)).await?;
            damaged.extend(more);
            after = next;
        }
        Ok(damaged)
    }
}

impl Session<'_> {
    /// The damage of some merchants' own rows, and the merchant to go on behind.
    fn damaged_merchants(&self, after: [u8; 16]) -> Result<(Option<[u8; 16]>, Vec<DamagedKey>), Error> {
        let merchants = self.merchants_behind(after)?;
        let mut damaged = Vec::new();
        for id in merchants.iter().copied().map(MerchantId::from_bytes) {
            let Some(merchant) = self.read_merchant(id)? else { continue };
            let opens = |epoch: Epoch, row: &MerchantRow| {
                // Somebody else may have opened it since.
                self.epoch_cipher(epoch)?;
                let wrapping = self.vault.wrapping(id, &merchant, epoch)?;
                Wrap::Own(id, epoch).open::<64>(&wrapping, &self.vault.log_id, &row.own_key)
            };
            damaged.extend(
                merchant
                    .rows
                    .iter()
                    .filter(|(_, row)| !(is_destroyed(&row.wrapped) && merchant.fence.is_some()))
                    .filter(|(epoch, row)| opens(**epoch, row).is_err())
                    .map(|(epoch, _)| DamagedKey::merchants(id, *epoch)),
            );
        }
        Ok((merchants.last().copied(), damaged))
    }

    /// Who is missing among those to whom a page of the directory leads, and the row to go on behind.
    fn missing_subjects(&self, after: i64) -> Result<(Option<i64>, Vec<DamagedKey>), Error> {
        let page = "SELECT n FROM directory WHERE n > ?1 ORDER BY n LIMIT ?2";
        let Some(last) = self.store.all(page, values![after, PAGE], |row| row.at::<i64>(0))?.pop() else {
            return Ok((None, Vec::new()));
        };
        let rows = "SELECT DISTINCT d.merchant, d.subject FROM directory d
            WHERE d.n > ?1 AND d.n <= ?2 AND d.subject <> ?3 AND NOT EXISTS
                (SELECT 1 FROM subject_key k WHERE k.merchant = d.merchant AND k.subject = d.subject)";
        let rows = self.store.all(rows, values![after, last, &NOBODY], |row| {
            Ok(DataKeyId::subject(MerchantId::from_bytes(row.at(0)?), CustomerId::from_bytes(row.at(1)?)))
        })?;
        let mut missing = Vec::new();
        for id in rows {
            if !self.may_be_destroyed(id)? && self.fence(id.merchant, NOBODY)?.is_none() {
                missing.push(DamagedKey::of(id, None, KeyFault::Missing));
            }
        }
        Ok((Some(last), missing))
    }

    /// The damage of a page, and the row to go on behind.
    fn damaged_rows(&self, table: Table, after: i64) -> Result<(Option<i64>, Vec<DamagedKey>), Error> {
        let page = self.page(table, after, PAGE, Page::default())?;
        let mut wrappings = HashMap::<(MerchantId, Epoch), LiveWrapping>::new();
        let mut damaged = Vec::new();
        for row in page.rows() {
            let at = (row.id.merchant, row.epoch);
            let wrapping = match wrappings.get(&at) {
                Some(known) => known,
                None => {
                    let wrapping = self.live_wrapping(at)?;
                    wrappings.entry(at).or_insert(wrapping)
                }
            };
            let is_sound = match wrapping {
                Ok(None) => true,
                Ok(Some(_)) if is_destroyed(row.wrapped) => self.may_be_destroyed(row.id)?,
                Ok(Some(cipher)) => {
                    Wrap::Data(row.id, row.epoch).open::<64>(cipher, &self.vault.log_id, row.wrapped).is_ok()
                }
                Err(()) => is_destroyed(row.wrapped) && self.may_be_destroyed(row.id)?,
            };
            if !is_sound {
                damaged.push(DamagedKey::of(row.id, Some(row.epoch), KeyFault::DoesNotOpen));
            }
        }
        Ok((page.last(), damaged))
    }

    /// Whether a fence says that the key was to be destroyed; a row of zero bytes without one is damage.
    fn may_be_destroyed(&self, id: DataKeyId) -> Result<bool, Error> {
        match id.owner {
            Owner::Subject(subject) => Ok(self.fence(id.merchant, subject.bytes())?.is_some()),
            Owner::Day(_) => Ok(false),
        }
    }

    /// The merchant's wrapping key; `None` if the shop is erased.
    fn live_wrapping(&self, at: (MerchantId, Epoch)) -> Result<LiveWrapping, Error> {
        let (id, epoch) = at;
        let Some(merchant) = self.read_merchant(id)? else { return Ok(Err(())) };
        if merchant.fence.is_some() {
            return Ok(Ok(None));
        }
        let opened = self.epoch_cipher(epoch).and_then(|_| self.vault.wrapping(id, &merchant, epoch));
        Ok(opened.map(Some).map_err(drop))
    }
}
