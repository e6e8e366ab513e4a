//! The key store's handle: opening the file, counting its inserts, making keys.
use std::{
    fmt,
    future::Future,
    io,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use event_schemas::{CustomerId, Digest, MerchantId};
use group_commit::Store;
use tokio::sync::watch;

use crate::{
    Error, RootKey,
    keys::{DataKey, DataKeyId},
    notices::Mark,
    ring::FileRing,
    root::private,
    schema,
    session::Session,
    vault::{Fence, KeyState, Merchant, Roots, Seen, Vault},
};

/// Keys and directory: `keys.db`, or a schema that several processes share. Clones share one connection, and calls share
/// its commits.
#[derive(Clone)]
pub struct KeyStore {
    pub(crate) store: Store,
    pub(crate) vault: Arc<Vault>,
    /// Renews the lease as long as somebody has the store.
    pub(crate) renewal: Option<Arc<watch::Sender<()>>>,
}

impl KeyStore {
    /// Opens the store of the log with this id; makes it, with mode 0600, if there is no file.
    ///
    /// # Errors
    /// [`Error::WrongRootKey`] names the fingerprint that was expected; [`Error::OtherLog`], [`Error::UnknownFormat`],
    /// [`Error::Damaged`] and [`Error::Unavailable`] say what they say.
    pub async fn create_or_open(path: &Path, root: &RootKey, log_id: [u8; 16]) -> Result<Self, Error> {
        match private(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::File { path: path.to_owned(), source: error });
            }
            _ => {}
        }
        let roots = Roots {
            root: root.clone(),
            ring: Arc::new(FileRing::beside(root, path, log_id)),
            file: Some(path.to_owned()),
        };
        Self::over(Store::open_file(path, schema::PRAGMAS, schema::TABLES)?, roots, log_id).await
    }

    /// Opens the store of the log with this id in a schema of this database; makes it if it is not there. Several
    /// processes may do so at once.
    ///
    /// # Errors
    /// As [`KeyStore::create_or_open`].
    #[cfg(feature = "postgres")]
    pub async fn create_or_open_at(
        address: &postgres_store::Address,
        root: &RootKey,
        log_id: [u8; 16],
    ) -> Result<Self, Error> {
        let ring = Arc::new(crate::ring::SchemaRing::open(address).await?);
        let roots = Roots { root: root.clone(), ring, file: None };
        Self::over(Store::open_schema(address, schema::POSTGRES).await?, roots, log_id).await
    }

    /// How many rows the store in this database has written, and the id of the log that it is of. Needs no root key and
    /// changes nothing; blocks its thread.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[cfg(feature = "postgres")]
    pub fn counted_at(address: &postgres_store::Address) -> Result<(u64, Vec<u8>), Error> {
        let address = address.clone();
        let asked = thread::spawn(move || {
            let client = group_commit::postgres::Client::connect(&address, "loyalnest verify")?;
            let client: &dyn group_commit::Session = &client;
            let count = "SELECT insert_count, log_id FROM loyalnest_keys.meta";
            client.one(count, &[], |row| Ok((row.at(0)?, row.at(1)?)))
        });
        let counted = asked.join().map_err(|_| group_commit::Fault::Panicked)?;
        Ok(counted?)
    }

    pub(crate) async fn over(store: Store, roots: Roots, log_id: [u8; 16]) -> Result<Self, Error> {
        let under = roots.clone();
        let trunk = store.call(move |session| schema::open(session, &under, &log_id)).await??;
        let settled = trunk.settled;
        let vault = Arc::new(Vault::new(log_id, trunk, roots));
        let mut store = Self { store, vault, renewal: None };
        if settled {
            store.clear_ring().await?;
        }
        store.renew().await?;
        store.look(|session| session.see_all_merchants()).await?;
        if store.is_shared() {
            store.renewal = Some(store.keep_renewing());
        }
        Ok(store)
    }

    /// How many rows the store had written when it last answered. Each log record carries it.
    #[must_use]
    pub fn insert_count(&self) -> u64 {
        self.vault.insert_count()
    }

    /// Whether other processes may have it open too.
    pub(crate) fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// Whether the store still serves.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.store.is_open()
    }

    /// Refuses a store that has seen less than the log, such as one restored from a backup; it asks the store if another
    /// process may have written meanwhile.
    ///
    /// # Errors
    /// [`Error::Behind`], [`Error::Unavailable`].
    pub async fn ensure_at_least(&self, count: u64) -> Result<(), Error> {
        if self.insert_count() < count && self.store.is_shared() {
            self.look(|_| Ok(())).await?;
        }
        let store = self.insert_count();
        if store < count { Err(Error::Behind { store, log: count }) } else { Ok(()) }
    }

    /// Makes the merchant's keys if it has none; durable when it returns.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ensure_merchant(&self, merchant: MerchantId) -> Result<(), Error> {
        if self.vault.merchant(merchant).is_ok() {
            return Ok(());
        }
        self.commit(move |session| session.ensure_merchant(merchant)).await
    }

    /// Makes the subject's key if it has none; durable when it returns.
    ///
    /// # Errors
    /// [`Error::Redacted`] for an erased subject; [`Error::KeyMissing`] if the directory leads to the subject already;
    /// [`Error::UnknownMerchant`], [`Error::Unavailable`].
    pub async fn ensure_subject(&self, merchant: MerchantId, subject: CustomerId) -> Result<(), Error> {
        let id = DataKeyId::subject(merchant, subject);
        match self.vault.cached(id) {
            Some(KeyState::Live { .. }) => Ok(()),
            Some(KeyState::Shredded(_)) => Err(id.redacted()),
            None => self.commit(move |session| session.ensure(id).map(drop)).await,
        }
    }

    /// HMAC-SHA256 under the merchant's own key. `purpose` keeps hashes of different uses apart.
    ///
    /// # Errors
    /// [`Error::UnknownMerchant`], [`Error::Damaged`].
    pub fn hash(&self, merchant: MerchantId, purpose: &str, bytes: &[u8]) -> Result<[u8; 32], Error> {
        let key = self.own_key(merchant)?;
        Ok(key.mac("loyalnest/hash/1", &[purpose.as_bytes(), bytes]))
    }

    /// [`KeyStore::hash`] of each (purpose, text); the key is unwrapped once for all.
    ///
    /// # Errors
    /// As there.
    pub fn hash_many(
        &self,
        merchant: MerchantId,
        texts: &[(String, String)],
    ) -> Result<Vec<[u8; 32]>, Error> {
        let key = self.own_key(merchant)?;
        let hash =
            |purpose: &str, text: &str| key.mac("loyalnest/hash/1", &[purpose.as_bytes(), text.as_bytes()]);
        Ok(texts.iter().map(|(purpose, text)| hash(purpose, text)).collect())
    }

    /// The first 16 bytes of [`KeyStore::hash`], for events and command keys.
    ///
    /// # Errors
    /// As there.
    pub fn digest(&self, merchant: MerchantId, purpose: &str, bytes: &[u8]) -> Result<Digest, Error> {
        self.hash(merchant, purpose, bytes).map(|hash| shortened(&hash))
    }

    /// HMAC-SHA256 under one key of the whole installation, for what must be compared across shops.
    #[must_use]
    pub fn global_hash(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        self.vault.global.mac("loyalnest/global-hash/1", &[purpose.as_bytes(), bytes])
    }

    /// The merchant's own key; read again if somebody has wrapped it anew.
    pub(crate) fn own_key(&self, id: MerchantId) -> Result<DataKey, Error> {
        match self.vault.own_key(id, &*self.merchant(id)?) {
            Err(stale) if stale.may_be_of_a_rotation() => {
                self.look_blocking(move |session| {
                    session.see_epochs().and_then(|()| session.see_merchant(id))
                })?;
                self.vault.own_key(id, &*self.merchant(id)?)
            }
            key => key,
        }
    }

    /// A subject's or a day's key; its rows are read again if somebody has wrapped them anew.
    pub(crate) fn data_key(&self, id: DataKeyId, state: &KeyState) -> Result<Result<DataKey, Fence>, Error> {
        let epoch = match state {
            KeyState::Live { epoch, .. } => Some(*epoch),
            KeyState::Shredded(_) => None,
        };
        self.noting(id, epoch, self.data_key_again(id, state))
    }

    fn data_key_again(&self, id: DataKeyId, state: &KeyState) -> Result<Result<DataKey, Fence>, Error> {
        match self.vault.data_key(id, &*self.merchant(id.merchant)?, state) {
            Err(stale) if stale.may_be_of_a_rotation() => {
                let again = self.look_blocking(move |session| {
                    session.see_epochs()?;
                    session.see_merchant(id.merchant)?;
                    session.find(id)
                });
                let state = again?.ok_or_else(|| id.missing())?;
                self.vault.data_key(id, &*self.merchant(id.merchant)?, &state)
            }
            key => key,
        }
    }

    /// The merchant's rows. If they are not remembered they are read, which blocks this thread.
    pub(crate) fn merchant(&self, id: MerchantId) -> Result<Arc<Merchant>, Error> {
        match self.vault.merchant(id) {
            // Given as they were read: while epochs come and go they may not be remembered.
            Err(unknown @ Error::UnknownMerchant { .. }) => {
                self.look_blocking(move |session| session.see_merchant(id))?.ok_or(unknown)
            }
            known => known,
        }
    }

    /// Runs `work` in the store's next commit and caches what it saw once that is durable.
    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.store.call(seeing(Arc::clone(&self.vault), work)).await??;
        Ok(self.remember(done))
    }

    /// The same for work that only reads.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.store.look(seeing(Arc::clone(&self.vault), work)).await??;
        Ok(self.remember(done))
    }

    fn remember<T>(&self, (value, insert_count, mark, seen): Done<T>) -> T {
        self.vault.remember(insert_count, mark, seen);
        value
    }

    /// [`Self::look`] for a caller that may not await; blocks its thread.
    pub(crate) fn look_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        wait(self.look(work))
    }
}

/// What a call gave, the insert count behind it, and the rows that it saw behind some notices.
type Done<T> = (T, u64, Mark, Vec<Seen>);

fn seeing<T>(
    vault: Arc<Vault>,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, Error> + Send + 'static,
) -> impl FnOnce(&dyn group_commit::Session) -> Result<Done<T>, Error> + Send + 'static {
    move |store| {
        let mut session = Session::new(store, &vault);
        let value = work(&mut session)?;
        let (insert_count, mark, seen) = session.finish()?;
        Ok((value, insert_count, mark, seen))
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").field("insert_count", &self.insert_count()).finish_non_exhaustive()
    }
}

pub(crate) fn shortened(hash: &[u8; 32]) -> Digest {
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    Digest(short)
}

/// Waits for a future that another thread completes. The runtime's own way to block would panic inside a task, and a
/// task's budget is not renewed here, so the future may not depend on it.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        group_commit::park();
    }
}
