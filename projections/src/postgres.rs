//! The read store in a schema of a Postgres: one writer at a time, whichever node it is; readers that see one merchant.
//!
//! Three roles share the work (`roles.sql`), and every connection takes on the one that it needs, whoever logged in.
//! Sessions block, each with a runtime of its own, so that folds and queries are the same code for every store.
mod copy;
mod purpose;
mod session;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use group_commit::{Fault, postgres::Client};
use postgres_store::{Address, Schema};
use privacy::MerchantScope;
use sqlx::{Executor as _, PgConnection, raw_sql};
use tokio::sync::Semaphore;

use self::purpose::{BUILT_WITHIN, FOLDED_WITHIN, Purpose, connect};
use crate::{Error, StoreError, session::Session};

const SCHEMA: Schema = Schema {
    name: "loyalnest_read",
    steps: &[include_str!("postgres/1.sql"), include_str!("postgres/2.sql")],
};
const ROLES: &str = include_str!("postgres/roles.sql");

/// Connections that answer queries.
const READERS: usize = 8;
/// Connections that look at all merchants' rows, to compare tables.
const LOOKERS: usize = 2;

/// Whoever writes waits for whoever writes already, as with a file: a few seconds in the server, then again
/// ([`begin_in_turn`]).
const WRITE: &str = "BEGIN; SET LOCAL lock_timeout = '3s';
    SELECT pg_advisory_xact_lock(hashtextextended('loyalnest_read is written', 0));
    SET LOCAL lock_timeout TO DEFAULT";
/// The same for whoever follows the log: first it waits for whoever has the tables alone, who writes meanwhile.
const FOLD: &str = "BEGIN; SET LOCAL lock_timeout = '3s';
    SELECT pg_advisory_xact_lock_shared(hashtextextended('loyalnest_read stands still', 0));
    SELECT pg_advisory_xact_lock(hashtextextended('loyalnest_read is written', 0));
    SET LOCAL lock_timeout TO DEFAULT";
/// A process that stops while it has the tables alone is thrown out, so that the others go on.
const ALONE: &str = "SET idle_in_transaction_session_timeout = '60s'; BEGIN;
    SELECT pg_advisory_xact_lock(hashtextextended('loyalnest_read stands still', 0))";
const LOOK: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The schema.
pub(crate) struct Postgres {
    address: Address,
    writing: Arc<Pool>,
    reading: Arc<Pool>,
    looking: Arc<Pool>,
}

impl Postgres {
    /// Makes roles and schema if they are missing, or brings them up to date; several nodes may do so at once.
    pub(crate) async fn open(address: &Address) -> Result<Self, StoreError> {
        let mut connection = address.connect("loyalnest").await?;
        take_on_roles(&mut connection).await.map_err(|error| address.explain(error))?;
        SCHEMA.migrate(address, &mut connection).await?;
        let pool = |purpose, size| Arc::new(Pool::new(address, purpose, size));
        Ok(Self {
            address: address.clone(),
            writing: pool(Purpose::Write, 1),
            reading: pool(Purpose::Read, READERS),
            looking: pool(Purpose::Look, LOOKERS),
        })
    }

    pub(crate) const fn batch_records(&self) -> usize {
        8_000
    }

    /// Runs `work` in a transaction that nobody else's overlaps.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.writing.run(WRITE.to_owned(), BUILT_WITHIN, work).await
    }

    /// The same for whoever follows the log.
    pub(crate) async fn write_in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.writing.run(FOLD.to_owned(), FOLDED_WITHIN, work).await
    }

    /// Runs a short `look` behind all that is on its way.
    pub(crate) async fn look_behind<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.writing.run(WRITE.to_owned(), FOLDED_WITHIN, look).await
    }

    /// A session that keeps whoever follows the log out as long as it lives, in every process.
    pub(crate) fn alone(&self) -> Result<Option<Box<dyn Session + Send>>, StoreError> {
        let client = connect(&self.address, Purpose::Look)?;
        client.simple(ALONE)?;
        Ok(Some(Box::new(client)))
    }

    /// Runs `read` where only this merchant's rows can be seen, or all of them if none is named. All that it reads is
    /// of one moment.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        scope: Option<MerchantScope>,
        read: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(scope) = scope else {
            return self.looking.run(LOOK.to_owned(), BUILT_WITHIN, read).await;
        };
        let merchant: String = scope.merchant().bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let begin = format!("{LOOK}; SET LOCAL loyalnest.merchant = '{merchant}'");
        self.reading.run(begin, Purpose::Read.patience(), read).await
    }

    /// A session that cannot write and goes on seeing this moment.
    pub(crate) fn moment(&self) -> Result<Box<dyn Session + Send>, StoreError> {
        moment(&self.address)
    }
}

/// A session at this address that cannot write and goes on seeing this moment.
pub(crate) fn moment(address: &Address) -> Result<Box<dyn Session + Send>, StoreError> {
    let client = connect(address, Purpose::Look)?;
    // The moment is that of the first look.
    client.simple(&format!("{LOOK}; SELECT count(*) FROM projection_live"))?;
    Ok(Box::new(client))
}

/// Only a login that lacks a role has to be allowed to make roles.
async fn take_on_roles(connection: &mut PgConnection) -> sqlx::Result<()> {
    for purpose in [Purpose::Write, Purpose::Read] {
        if connection.execute(raw_sql(purpose.role())).await.is_err() {
            connection.execute(raw_sql(ROLES)).await?;
        }
    }
    connection.execute(raw_sql("RESET ROLE")).await.map(drop)
}

/// Connections for one purpose.
struct Pool {
    address: Address,
    purpose: Purpose,
    idle: Mutex<Vec<Client>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    fn new(address: &Address, purpose: Purpose, size: usize) -> Self {
        let permits = Arc::new(Semaphore::new(size));
        Self { address: address.clone(), purpose, idle: Mutex::default(), permits }
    }

    /// Runs `work` in one transaction, off the runtime's own threads, each statement within `patience`. An error of it, or
    /// a panic, keeps nothing.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        begin: String,
        patience: Duration,
        work: impl FnOnce(&dyn Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
        let pool = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let client = pool.begin(&begin)?.within(Some(patience));
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&client)));
            let outcome = outcome.unwrap_or_else(|_| Err(Fault::Panicked.into()));
            let ended = client.simple(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" });
            // A connection whose transaction has not ended for certain is of no more use.
            if ended.is_ok() {
                let client = client.within(Some(pool.purpose.patience()));
                pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
            }
            drop(permit);
            let value = outcome?;
            ended?;
            Ok(value)
        });
        done.await.map_err(|_| Error::Closed)?
    }

    /// A connection inside a new transaction; those that the server has ended meanwhile are left out. If it does not answer
    /// on one, the others would only take as long.
    fn begin(&self, begin: &str) -> Result<Client, StoreError> {
        while let Some(client) = self.idle() {
            match begin_in_turn(&client, begin) {
                Ok(()) => return Ok(client),
                Err(error) if client.is_late() || is_locked(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let client = connect(&self.address, self.purpose)?;
        begin_in_turn(&client, begin)?;
        Ok(client)
    }

    fn idle(&self) -> Option<Client> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Begins a transaction once nobody has its locks, as long as others may build. A server that is there says every few
/// seconds that they are taken, so that one that is gone without a word is not waited for; and who gives up leaves nobody
/// behind who waits on.
fn begin_in_turn(client: &Client, begin: &str) -> Result<(), StoreError> {
    let asked = Instant::now();
    loop {
        match client.simple(begin) {
            Err(error) if is_locked(&error) && asked.elapsed() < BUILT_WITHIN => client.simple("ROLLBACK")?,
            begun => return begun,
        }
    }
}

/// Whether somebody else has a lock.
fn is_locked(error: &StoreError) -> bool {
    let StoreError::Postgres(postgres_store::Error::Failed { source, .. }) = error else { return false };
    source.as_database_error().and_then(|said| said.code()).is_some_and(|code| code == "55P03")
}

#[cfg(test)]
mod tests {
    use event_schemas::MerchantId;
    use postgres_store::testing::TestDatabase;
    use uuid::Uuid;

    use super::*;
    use crate::{
        Projection as _, ReadAddress, ReadStore, Value, program_settings::ProgramSettingsByShop,
        session::Typed as _, testing::fold_at_once,
    };

    /// With a turn that waits for nobody, the rebuild of one node was seen to compare its table with one that another node
    /// had folded on.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_has_the_tables_alone_keeps_out_who_follows_the_log_in_another_process() {
        let database = TestDatabase::create();
        let address = ReadAddress::Postgres(database.address());
        let (one, other) =
            (ReadStore::open_at(&address).await.unwrap(), ReadStore::open_at(&address).await.unwrap());
        let alone = one.alone().await.unwrap();
        // Whoever builds tables beside the served ones writes.
        one.write(|_| Ok(())).await.unwrap();
        let log = event_log::memory::init(1, event_log::Class::Conditional);
        log.claim(0, |_| Ok(())).await.unwrap();
        let turn = tokio::spawn(async move { fold_at_once(&log, &other, |_| {}).await });
        let waiting = "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while database.texts("", waiting) != [[Some("1".to_owned())]] {}
        assert!(!turn.is_finished());
        drop(alone);
        assert!(turn.await.unwrap().unwrap().is_empty());
    }

    /// Catches: a connection without `idle_in_transaction_session_timeout`.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_that_stops_while_it_folds_does_not_hold_up_the_others() {
        let database = TestDatabase::create();
        let address = ReadAddress::Postgres(database.address());
        let (paused, other) =
            (ReadStore::open_at(&address).await.unwrap(), ReadStore::open_at(&address).await.unwrap());
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let pausing = tokio::spawn(async move {
            let work = move |_: &dyn Session| {
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok(())
            };
            paused.write_in_turn(work).await
        });
        is_begun.await.unwrap();
        other.write_in_turn(|_| Ok(())).await.unwrap();
        go_on.send(()).unwrap();
        assert!(pausing.await.unwrap().is_err());
    }

    /// With no patience at all this was seen to wait for ever.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_folds_gives_up_a_server_that_does_not_answer_any_more() {
        let database = TestDatabase::create();
        let store = Postgres::open(&database.address()).await.unwrap();
        let silent = |session: &dyn Session| Ok(session.execute("SELECT pg_sleep(600)", &[])?);
        let patience = Duration::from_millis(100);
        assert!(store.writing.run(FOLD.to_owned(), patience, silent).await.is_err());
        // Only here the server is there still, and goes on with what nobody waits for.
        let gone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
            AND datname = current_database()";
        database.execute(gone).unwrap();
        store.write_in_turn(|_| Ok(())).await.unwrap();
    }

    /// Catches: a wait that ends with the first answer that somebody has the lock, and one that is cut only here, whose
    /// session waits on in the server.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_folds_waits_longer_than_a_server_may_be_silent_and_asks_it_meanwhile() {
        let database = TestDatabase::create();
        let address = database.address();
        let store = Postgres::open(&address).await.unwrap();
        let building = tokio::task::spawn_blocking(move || {
            let client = connect(&address, Purpose::Look).unwrap();
            client.simple(WRITE).unwrap();
            client
        });
        let building = building.await.unwrap();
        let folding = tokio::spawn(async move { store.write_in_turn(|_| Ok(())).await });
        let waiting = "SELECT waitstart::text FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND waitstart IS NOT NULL
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let mut waits = std::collections::BTreeSet::new();
        while waits.len() < 2 {
            assert!(!folding.is_finished());
            let at_once = database.texts("", waiting);
            assert!(at_once.len() <= 1);
            waits.extend(at_once);
        }
        drop(building);
        folding.await.unwrap().unwrap();
    }

    /// Catches: an end that asks nobody.
    #[tokio::test]
    async fn who_lost_the_tables_while_it_had_them_alone_hears_of_it_at_the_end() {
        let database = TestDatabase::create();
        let store = ReadStore::open_at(&ReadAddress::Postgres(database.address())).await.unwrap();
        store.alone().await.unwrap().end().await.unwrap();
        let alone = store.alone().await.unwrap();
        let thrown_out = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        database.execute(thrown_out).unwrap();
        assert!(alone.end().await.is_err());
    }

    /// The store's own readers, with queries that no projection would ask.
    #[tokio::test]
    async fn a_query_that_forgets_its_merchant_still_sees_no_other_one_and_changes_nothing() {
        const NAME: &str = ProgramSettingsByShop::NAME;
        let database = TestDatabase::create();
        let store = ReadStore::open_at(&ReadAddress::Postgres(database.address())).await.unwrap();
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let tables = store.tables();
        let write = move |session: &dyn Session| {
            let live = tables.of(session, NAME)?;
            let row = |id: Uuid| {
                vec![Value::Id(id.into_bytes()), Value::Integer(1), Value::text("{}"), Value::Integer(1)]
            };
            Ok(session.insert(&live.shape, &mut [row(one), row(other)].into_iter())?)
        };
        store.write(write).await.unwrap();
        for (merchant, expected) in [(one, vec![one]), (other, vec![other]), (Uuid::from_u128(3), vec![])] {
            let scope = MerchantScope::for_tests(MerchantId(merchant));
            let all = store.query_rows(NAME, scope, |session, table, _| {
                session.all(&format!("SELECT merchant FROM {table}"), &[], |row| row.get::<Uuid>(0))
            });
            assert_eq!(all.await.unwrap(), expected);
            let change = store.query_rows(NAME, scope, |session, table, _| {
                session.execute(&format!("UPDATE {table} SET version = 2"), &[])
            });
            change.await.unwrap_err();
        }
    }
}
