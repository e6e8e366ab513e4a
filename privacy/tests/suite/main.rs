//! The key store from outside: one module per promise it makes.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]
mod directory;
mod epochs;
mod erasure;
mod inbox;
#[cfg(feature = "planted-bugs")]
pub(crate) mod planted;
mod sealing;
mod store;
mod tokens;

use event_schemas::{CustomerId, FieldAddress, MerchantId, RecordId};
#[cfg(feature = "postgres")]
use postgres_store::testing::TestDatabase;
use privacy::{Error, KeyStore, RootKey};
use tempfile::TempDir;
use uuid::Uuid;

const LOG: [u8; 16] = [9; 16];
pub(crate) const SHOP: MerchantId = MerchantId::from_bytes([1; 16]);
const OTHER_SHOP: MerchantId = MerchantId::from_bytes([2; 16]);
pub(crate) const ADA: CustomerId = CustomerId::from_bytes([3; 16]);
pub(crate) const BOB: CustomerId = CustomerId::from_bytes([4; 16]);

/// A store in a place of its own, which goes with it.
struct Home {
    place: Place,
    root: RootKey,
}

enum Place {
    Folder(TempDir),
    #[cfg(feature = "postgres")]
    Server(TestDatabase),
}

impl Home {
    fn new() -> Self {
        Self { place: place(), ..Self::in_a_folder() }
    }

    /// For what is tried many times and has nothing to do with where a store is.
    fn in_a_folder() -> Self {
        Self { place: Place::Folder(tempfile::tempdir().unwrap()), root: RootKey::from_bytes([7; 32]) }
    }

    /// The folder of a store that is in one.
    fn folder(&self) -> &std::path::Path {
        match &self.place {
            Place::Folder(folder) => folder.path(),
            #[cfg(feature = "postgres")]
            Place::Server(_) => panic!("this store is in no folder"),
        }
    }

    async fn try_open(&self, root: &RootKey, log: [u8; 16]) -> Result<KeyStore, Error> {
        match &self.place {
            Place::Folder(folder) => {
                KeyStore::create_or_open(&folder.path().join("keys.db"), root, log).await
            }
            #[cfg(feature = "postgres")]
            Place::Server(database) => KeyStore::create_or_open_at(&database.address(), root, log).await,
        }
    }

    async fn open(&self) -> KeyStore {
        self.try_open(&self.root, LOG).await.unwrap()
    }

    /// A store that knows both shops, and Ada and Bob at the first.
    async fn peopled(&self) -> KeyStore {
        let store = self.open().await;
        for shop in [SHOP, OTHER_SHOP] {
            store.ensure_merchant(shop).await.unwrap();
        }
        for person in [ADA, BOB] {
            store.ensure_subject(SHOP, person).await.unwrap();
        }
        store
    }

    /// A copy of the key store as a backup takes it: without the root key and the ring.
    fn back_up(&self, name: &str) {
        match &self.place {
            Place::Folder(folder) => {
                std::fs::copy(folder.path().join("keys.db"), folder.path().join(name)).unwrap();
            }
            #[cfg(feature = "postgres")]
            Place::Server(database) => {
                let copy =
                    |table: &&str| format!("CREATE TABLE {name}.{table} AS TABLE loyalnest_keys.{table};");
                let copies: String = TABLES.iter().map(copy).collect();
                database.execute(&format!("CREATE SCHEMA {name}; {copies}")).unwrap();
            }
        }
    }

    /// Puts the copy in the store's place.
    fn restore(&self, name: &str) {
        match &self.place {
            Place::Folder(folder) => {
                std::fs::copy(folder.path().join(name), folder.path().join("keys.db")).unwrap();
            }
            #[cfg(feature = "postgres")]
            Place::Server(database) => {
                let restore = |table: &&str| {
                    format!(
                        "TRUNCATE loyalnest_keys.{table};
                         INSERT INTO loyalnest_keys.{table} OVERRIDING SYSTEM VALUE SELECT * FROM {name}.{table};"
                    )
                };
                database.execute(&TABLES.iter().map(restore).collect::<String>()).unwrap();
            }
        }
    }

    /// Changes what is stored behind the store's back. The words are SQLite's.
    fn tamper(&self, sql: &str) {
        match &self.place {
            Place::Folder(folder) => {
                let file = rusqlite::Connection::open(folder.path().join("keys.db"));
                file.unwrap().execute_batch(sql).unwrap();
            }
            #[cfg(feature = "postgres")]
            Place::Server(database) => {
                let words = "SET search_path TO loyalnest_keys;
                    CREATE OR REPLACE FUNCTION zeroblob(n INTEGER) RETURNS BYTEA LANGUAGE SQL
                        AS $$ SELECT decode(repeat('00', n), 'hex') $$;";
                database.execute(&format!("{words} {}", sql.replace("x'", "'\\x"))).unwrap();
            }
        }
    }
}

#[cfg(feature = "postgres")]
const TABLES: [&str; 11] = [
    "meta",
    "epoch_key",
    "merchant_key",
    "subject_key",
    "day_key",
    "fence",
    "directory",
    "tombstone",
    "notice",
    "erasure",
    "signing_key",
];

/// Where this target's stores are.
#[cfg(not(feature = "postgres"))]
fn place() -> Place {
    Place::Folder(tempfile::tempdir().unwrap())
}

/// Where this target's stores are.
#[cfg(feature = "postgres")]
fn place() -> Place {
    match env!("CARGO_CRATE_NAME") {
        "on_postgres" => Place::Server(TestDatabase::create()),
        _ => Place::Folder(tempfile::tempdir().unwrap()),
    }
}

pub(crate) fn address(field: &'static str) -> FieldAddress {
    FieldAddress {
        merchant: SHOP,
        subject: ADA,
        stream_type: 2,
        stream: ADA.0,
        version: 1,
        record: RecordId(Uuid::from_u128(5)),
        index: 0,
        event_type: 6,
        field: field.into(),
    }
}
