//! The read store: where the read models are, which of their tables are served, and who may fold into them.
use std::{path::Path, sync::Arc};

use privacy::MerchantScope;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

#[cfg(feature = "postgres")]
use crate::postgres::Postgres;
use crate::{
    Definition, Error, Projection, ReadAddress, StoreError, all,
    erasure::ERASED,
    fold::CHECKPOINT,
    generations::{self, LIVE},
    live::{Live, LiveTables},
    parked::PARKED,
    session::Session,
    sqlite::Sqlite,
    table::Key,
    together::Together,
};

/// The read store's handle; cheap to clone.
#[derive(Clone)]
pub struct ReadStore {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Backend,
    tables: Arc<LiveTables>,
    /// Whoever follows the log folds under a share of it; whoever serves other tables has it alone.
    folding: RwLock<()>,
    /// Told after every moment alone: tables may stand elsewhere now.
    moved: watch::Sender<()>,
    together: Together,
}

/// Every kind of store, one line each.
enum Backend {
    Sqlite(Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
}

/// Calls the same method of whichever store it is.
macro_rules! on_backend {
    ($backend:expr, $store:ident => $call:expr) => {
        match $backend {
            Backend::Sqlite($store) => $call,
            #[cfg(feature = "postgres")]
            Backend::Postgres($store) => $call,
        }
    };
}

/// Nobody else folds into the served tables as long as this is held, whichever process. Afterwards everybody looks where
/// they stand.
pub(crate) struct Alone<'a> {
    moved: &'a watch::Sender<()>,
    /// Keeps the other processes out.
    session: Option<Box<dyn Session + Send>>,
    _folding: RwLockWriteGuard<'a, ()>,
}

impl Alone<'_> {
    /// Ends it.
    ///
    /// # Errors
    /// It had ended before, as when it took so long that the store let others in.
    pub(crate) async fn end(mut self) -> Result<(), Error> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let asked = tokio::task::spawn_blocking(move || {
            let session: &dyn Session = &*session;
            session.execute("SELECT 1", &[])
        });
        asked.await.map_err(|_| Error::Closed)?.map(drop).map_err(Error::from)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.moved.send_replace(());
    }
}

impl ReadStore {
    /// Opens the file, or makes it anew: it may be deleted whenever nobody has it open, and is filled from the log.
    ///
    /// A projection whose version is newer than the stored one gets a new generation of its table; the old one goes. What
    /// an interrupted rebuild left behind goes too.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::OtherVersion`] if a newer program built a table.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        Self::open_at(&ReadAddress::from(path)).await
    }

    /// The same for a store of any kind.
    ///
    /// # Errors
    /// [`Error::Store`]; for Postgres it says what to change.
    pub async fn open_at(address: &ReadAddress) -> Result<Self, Error> {
        let backend = match address {
            ReadAddress::File(path) => Backend::Sqlite(Sqlite::open(path)?),
            #[cfg(feature = "postgres")]
            ReadAddress::Postgres(address) => Backend::Postgres(Postgres::open(address).await?),
        };
        let prepare = |session: &dyn Session| {
            [&LIVE, &CHECKPOINT, &PARKED, &ERASED].into_iter().try_for_each(|shape| session.create(shape))?;
            all().iter().map(|definition| prepare(session, definition)).collect()
        };
        let tables = on_backend!(&backend, store => store.write(prepare).await)?;
        let shared = Shared {
            backend,
            tables: Arc::new(LiveTables::new(tables)),
            folding: RwLock::new(()),
            moved: watch::Sender::new(()),
            together: Together::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The served tables, to be asked in the transaction that uses them.
    pub(crate) fn tables(&self) -> Arc<LiveTables> {
        Arc::clone(&self.shared.tables)
    }

    /// Where batches meet that are to be folded.
    pub(crate) fn together(&self) -> &Together {
        &self.shared.together
    }

    /// Leave to fold one batch into the served tables.
    pub(crate) async fn fold_turn(&self) -> RwLockReadGuard<'_, ()> {
        self.shared.folding.read().await
    }

    /// Waits until nobody folds into the served tables, and keeps it so.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn alone(&self) -> Result<Alone<'_>, Error> {
        let folding = self.shared.folding.write().await;
        let store = self.clone();
        let session =
            tokio::task::spawn_blocking(move || on_backend!(&store.shared.backend, store => store.alone()));
        let session = session.await.map_err(|_| Error::Closed)??;
        Ok(Alone { _folding: folding, session, moved: &self.shared.moved })
    }

    /// Hears of every moment after which tables may stand elsewhere.
    pub(crate) fn moved(&self) -> watch::Receiver<()> {
        self.shared.moved.subscribe()
    }

    /// Runs `work` in a transaction of its own; one at a time, whoever writes the store.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        on_backend!(&self.shared.backend, store => store.write(work).await)
    }

    /// The same for whoever follows the log into the served tables: it waits while another process has them alone.
    pub(crate) async fn write_in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        on_backend!(&self.shared.backend, store => store.write_in_turn(work).await)
    }

    /// Runs `look` where everything is written, behind all that is on its way; a short one, also for who has the tables
    /// alone.
    pub(crate) async fn look_behind<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        on_backend!(&self.shared.backend, store => store.look_behind(look).await)
    }

    /// Records per transaction, for whoever has many: whoever else writes waits for one of these at most, and fewer would
    /// write the same rows more often.
    pub(crate) fn batch_records(&self) -> usize {
        on_backend!(&self.shared.backend, store => store.batch_records())
    }

    /// A session that cannot write and goes on seeing this moment.
    pub(crate) async fn moment(&self) -> Result<Box<dyn Session + Send>, Error> {
        let store = self.clone();
        let opened =
            tokio::task::spawn_blocking(move || on_backend!(&store.shared.backend, store => store.moment()));
        Ok(opened.await.map_err(|_| Error::Closed)??)
    }

    /// Runs a query of the merchant's rows of `P` with its table's name and its columns.
    pub(crate) async fn query<P: Projection, T: Send + 'static>(
        &self,
        scope: MerchantScope,
        query: impl FnOnce(&dyn Session, &str, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        self.query_rows(P::NAME, scope, query).await
    }

    /// The same of the projection with this name.
    pub(crate) async fn query_rows<T: Send + 'static>(
        &self,
        name: &'static str,
        scope: MerchantScope,
        query: impl FnOnce(&dyn Session, &str, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let tables = self.tables();
        self.read_of(scope, move |session| {
            let live = tables.of(session, name)?;
            Ok(query(session, &live.shape.table, &live.shape.names())?)
        })
        .await
    }

    /// The merchant's row of `P` with this key.
    pub(crate) async fn find<P>(
        &self,
        scope: MerchantScope,
        key: Key<P::Row>,
    ) -> Result<Option<P::Row>, Error>
    where
        P: Projection,
        P::Row: Send + 'static,
    {
        let tables = self.tables();
        self.read_of(scope, move |session| Ok(tables.of(session, P::NAME)?.shape.find(session, &key)?)).await
    }

    /// Runs `read` with the rights of whoever answers for one merchant, off the runtime's own threads. All that it reads
    /// is of one moment, the served generations too.
    async fn read_of<T: Send + 'static>(
        &self,
        scope: MerchantScope,
        read: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        on_backend!(&self.shared.backend, store => store.read(Some(scope), read).await)
    }

    /// Runs `read` over the rows of all merchants, as whoever compares tables does.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        on_backend!(&self.shared.backend, store => store.read(None, read).await)
    }
}

/// The served generation of a projection, made or replaced if need be.
pub(crate) fn prepare(session: &dyn Session, definition: &'static Definition) -> Result<Live, Error> {
    let generation = match generations::stored(session, definition.name)? {
        Some((generation, version)) if version == definition.version => generation,
        // What a newer program built is not for this one to drop.
        Some((_, found)) if found > definition.version => {
            return Err(generations::other_version(definition, found));
        }
        Some((generation, _)) => {
            generations::forget_all(session, definition.name)?;
            generation.saturating_add(1)
        }
        None => 1,
    };
    let live = Live::new(definition, generation);
    session.create(&live.shape)?;
    session.index(&live.shape)?;
    generations::serve(session, definition, generation)?;
    generations::forget_newer(session, definition.name, generation)?;
    Ok(live)
}
