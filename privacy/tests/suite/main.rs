//! The key store from outside: one module per promise it makes.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]
mod directory;
mod erasure;
mod inbox;
mod sealing;
mod store;
mod tokens;

use std::path::PathBuf;

use event_schemas::{CustomerId, FieldAddress, MerchantId, RecordId};
use privacy::{KeyStore, RootKey};
use tempfile::TempDir;
use uuid::Uuid;

const LOG: [u8; 16] = [9; 16];
const SHOP: MerchantId = MerchantId::from_bytes([1; 16]);
const OTHER_SHOP: MerchantId = MerchantId::from_bytes([2; 16]);
const ADA: CustomerId = CustomerId::from_bytes([3; 16]);
const BOB: CustomerId = CustomerId::from_bytes([4; 16]);

/// A store in a folder of its own, which goes with it.
struct Home {
    folder: TempDir,
    root: RootKey,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), root: RootKey::from_bytes([7; 32]) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    async fn open(&self) -> KeyStore {
        KeyStore::create_or_open(&self.path(), &self.root, LOG).await.unwrap()
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

    /// Changes the file behind the store's back.
    fn tamper(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

fn address(field: &'static str) -> FieldAddress {
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
