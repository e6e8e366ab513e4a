//! What is held in memory: the keys that the root wraps, and wrapped rows; it unwraps a key for one use.
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, OnceLock, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use event_schemas::{CustomerId, MerchantId};

use crate::{
    Error, RootKey,
    aead::Cipher,
    cache::Cache,
    damage::Known,
    keys::{DataKey, DataKeyId, Epoch, Wrap},
    lease::Lease,
    notices::{Mark, Notice, Notices},
    ring::Ring,
    schema::{NOBODY, Trunk},
    signing::Signer,
    strip::Strip,
};

/// About 40 MB of wrapped rows at most.
const DATA_KEYS_MAX: usize = 50_000;

pub(crate) struct Vault {
    pub(crate) log_id: [u8; 16],
    pub(crate) global: DataKey,
    pub(crate) token: DataKey,
    pub(crate) signer: Signer,
    pub(crate) lease: Lease,
    pub(crate) notices: Notices,
    pub(crate) root: RootKey,
    pub(crate) ring: Arc<dyn Ring>,
    pub(crate) damage: Known,
    /// The store's file, if it is one; else other processes may have it open too.
    pub(crate) file: Option<PathBuf>,
    epochs: RwLock<HashMap<Epoch, Arc<Cipher>>>,
    merchants: RwLock<HashMap<MerchantId, Arc<Merchant>>>,
    data_keys: Cache<DataKeyId, KeyState>,
    insert_count: AtomicU64,
}

/// What the tree of keys stands on, and where.
#[derive(Clone)]
pub(crate) struct Roots {
    pub(crate) root: RootKey,
    pub(crate) ring: Arc<dyn Ring>,
    pub(crate) file: Option<PathBuf>,
}

/// A merchant's wrapped rows, one per epoch that still wraps any of its data keys.
pub(crate) struct Merchant {
    pub(crate) rows: BTreeMap<Epoch, MerchantRow>,
    /// The shop was erased.
    pub(crate) fence: Option<Fence>,
}

pub(crate) struct MerchantRow {
    /// The key that wraps the merchant's data keys, under the epoch's.
    pub(crate) wrapped: Vec<u8>,
    /// The merchant's own data key, under `wrapped`; the same key in every row.
    pub(crate) own_key: Vec<u8>,
    /// `wrapped`, once it was unwrapped; it goes with the row that is remembered.
    unwrapped: OnceLock<Arc<Cipher>>,
}

impl MerchantRow {
    pub(crate) const fn new(wrapped: Vec<u8>, own_key: Vec<u8>) -> Self {
        Self { wrapped, own_key, unwrapped: OnceLock::new() }
    }
}

#[derive(Clone)]
pub(crate) struct Fence {
    pub(crate) certificate: Option<String>,
}

#[derive(Clone)]
pub(crate) enum KeyState {
    Live { epoch: Epoch, wrapped: Arc<[u8]> },
    Shredded(Fence),
}

/// A row that a session has read or written, to be cached once its commit is durable.
pub(crate) enum Seen {
    Merchant(MerchantId, Arc<Merchant>),
    DataKey(DataKeyId, KeyState),
}

impl Vault {
    pub(crate) fn new(log_id: [u8; 16], trunk: Trunk, roots: Roots) -> Self {
        let Roots { root, ring, file } = roots;
        Self {
            log_id,
            root,
            ring,
            damage: Known::default(),
            global: trunk.global,
            token: trunk.token,
            signer: trunk.signer,
            lease: Lease::new(file.is_none(), trunk.noticed),
            notices: Notices::default(),
            file,
            epochs: RwLock::new(shared(trunk.epochs)),
            merchants: RwLock::default(),
            data_keys: Cache::new(DATA_KEYS_MAX),
            insert_count: AtomicU64::new(trunk.insert_count),
        }
    }

    pub(crate) fn insert_count(&self) -> u64 {
        self.insert_count.load(Ordering::Acquire)
    }

    /// Takes in what a commit has made durable, and was read when no more than the notices at `mark` were known. The
    /// count first: who finds a cached row must find its count too.
    pub(crate) fn remember(&self, insert_count: u64, mark: Mark, seen: Vec<Seen>) {
        self.insert_count.fetch_max(insert_count, Ordering::AcqRel);
        if seen.is_empty() {
            return;
        }
        let notices = self.notices.hold();
        for row in seen {
            match row {
                Seen::Merchant(id, merchant) => {
                    if !notices.concern_merchant_since(mark, id) {
                        self.merchants_mut().insert(id, merchant);
                    }
                }
                Seen::DataKey(id, state) => {
                    if !notices.concern_since(mark, id) {
                        self.data_keys.insert(id, state);
                    }
                }
            }
        }
    }

    /// Forgets what may be old by now; what was read before it is not remembered either.
    pub(crate) fn obey(&self, notice: Notice) {
        let mut notices = self.notices.hold();
        notices.push(notice);
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is("cache-not-evicted") {
            return;
        }
        match notice {
            Notice::Fenced(merchant, subject) | Notice::Changed(merchant, subject) if subject != NOBODY => {
                let subject = CustomerId::from_bytes(subject);
                self.data_keys.remove(&DataKeyId::subject(merchant, subject));
            }
            Notice::Fenced(merchant, _) | Notice::Changed(merchant, _) => {
                self.merchants_mut().remove(&merchant);
            }
            Notice::Epochs => self.merchants_mut().clear(),
            Notice::Days => self.data_keys.retain(|id| !notice.concerns(*id)),
        }
    }

    /// Remembers what keys were wrapped anew into, of those that are remembered. Who is fenced is not remembered as alive,
    /// so what was destroyed meanwhile is not either.
    pub(crate) fn wrapped_anew(&self, epoch: Epoch, strips: &[Strip]) {
        for strip in strips {
            self.data_keys.update(strip.keys(), |state, new| {
                let KeyState::Live { epoch: under, wrapped } = state else { return };
                *under = epoch;
                match Arc::get_mut(wrapped).filter(|old| old.len() == new.len()) {
                    Some(old) => old.copy_from_slice(new),
                    None => *wrapped = new.into(),
                }
            });
        }
    }

    /// For a notice that this program does not know.
    pub(crate) fn forget_all(&self) {
        self.obey(Notice::Epochs);
        self.data_keys.retain(|_| false);
    }

    fn merchants_mut(&self) -> RwLockWriteGuard<'_, HashMap<MerchantId, Arc<Merchant>>> {
        self.merchants.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn merchant(&self, id: MerchantId) -> Result<Arc<Merchant>, Error> {
        let merchants = self.merchants.read().unwrap_or_else(PoisonError::into_inner);
        merchants.get(&id).cloned().ok_or(Error::UnknownMerchant { merchant: id })
    }

    pub(crate) fn cached(&self, id: DataKeyId) -> Option<KeyState> {
        self.data_keys.get(&id)
    }

    pub(crate) fn epoch(&self, epoch: Epoch) -> Result<Arc<Cipher>, Error> {
        let epochs = self.epochs.read().unwrap_or_else(PoisonError::into_inner);
        epochs.get(&epoch).cloned().ok_or(Error::EpochGone { epoch })
    }

    /// Holds these keys of epochs, and no others.
    pub(crate) fn hold_epochs(&self, keys: BTreeMap<Epoch, Cipher>) {
        *self.epochs.write().unwrap_or_else(PoisonError::into_inner) = shared(keys);
    }

    /// The merchant's key that wraps its data keys in `epoch`.
    pub(crate) fn wrapping(
        &self,
        id: MerchantId,
        merchant: &Merchant,
        epoch: Epoch,
    ) -> Result<Arc<Cipher>, Error> {
        let row = merchant.row(id, epoch)?;
        let over = self.epoch(epoch)?;
        if let Some(known) = row.unwrapped.get() {
            return Ok(known.clone());
        }
        let key = Wrap::Merchant(id, epoch).open(&over, &self.log_id, &row.wrapped)?;
        let unwrapped = Arc::new(Cipher::new(&key)?);
        Ok(row.unwrapped.get_or_init(|| unwrapped).clone())
    }

    /// The merchant's own data key: for keyed hashes, and for references that belong to nobody yet.
    pub(crate) fn own_key(&self, id: MerchantId, merchant: &Merchant) -> Result<DataKey, Error> {
        let epoch = merchant.rows.keys().next_back().copied().unwrap_or_default();
        let wrapping = self.wrapping(id, merchant, epoch)?;
        let row = merchant.row(id, epoch)?;
        Wrap::Own(id, epoch).open(&wrapping, &self.log_id, &row.own_key).map(DataKey)
    }

    /// A subject's or a day's data key, unless its subject or the whole shop is erased.
    pub(crate) fn data_key(
        &self,
        id: DataKeyId,
        merchant: &Merchant,
        state: &KeyState,
    ) -> Result<Result<DataKey, Fence>, Error> {
        let (epoch, wrapped) = match (state, &merchant.fence) {
            (KeyState::Shredded(fence), _) | (_, Some(fence)) => return Ok(Err(fence.clone())),
            (KeyState::Live { epoch, wrapped }, None) => (*epoch, wrapped),
        };
        let wrapping = self.wrapping(id.merchant, merchant, epoch)?;
        Wrap::Data(id, epoch).open(&wrapping, &self.log_id, wrapped).map(|key| Ok(DataKey(key)))
    }
}

fn shared(keys: BTreeMap<Epoch, Cipher>) -> HashMap<Epoch, Arc<Cipher>> {
    keys.into_iter().map(|(epoch, key)| (epoch, Arc::new(key))).collect()
}

impl Merchant {
    fn row(&self, id: MerchantId, epoch: Epoch) -> Result<&MerchantRow, Error> {
        let missing = || Error::KeyMissing { merchant: id, what: format!("its own of epoch {epoch}") };
        self.rows.get(&epoch).ok_or_else(missing)
    }
}
