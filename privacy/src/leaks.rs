//! Tests that nothing leaves in clear: no file and no text holds a reference, a value or a key.
use std::{collections::HashSet, path::Path};

use aws_lc_rs::rand;
use event_schemas::{CustomerId, FieldAddress, MerchantId, RecordId, Timestamp};
use uuid::Uuid;

use crate::{Error, KeyStore, Kind, Reference, RootKey, Whom, keys::DataKeyId};

const SHOP: MerchantId = MerchantId::from_bytes([1; 16]);

fn person(n: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(n << 64 | 1))
}

async fn store(folder: &Path, root: &RootKey) -> KeyStore {
    KeyStore::create_or_open(&folder.join("keys.db"), root, [9; 16]).await.unwrap()
}

/// All bytes of all files of the folder.
fn bytes_of(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap();
    files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

fn holds(bytes: &[u8], marker: &[u8]) -> bool {
    bytes.windows(marker.len()).any(|window| window == marker)
}

/// The spellings in which a marker could have slipped out.
fn spellings(marker: &[u8]) -> [Vec<u8>; 3] {
    let utf16 = marker.iter().flat_map(|byte| [*byte, 0]).collect();
    [marker.to_vec(), hex::encode(marker).into_bytes(), utf16]
}

#[tokio::test]
async fn no_file_and_no_debug_text_holds_a_reference_a_value_or_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut root_bytes = [0; 32];
    rand::fill(&mut root_bytes).unwrap();
    let root = RootKey::from_bytes(root_bytes);
    let store = store(folder.path(), &root).await;
    store.ensure_merchant(SHOP).await.unwrap();
    let (ada, order) = (person(1), Uuid::from_u128(7));
    let references = vec![
        Reference::new(Kind::ShopifyCustomer, "marker-customer", ada.0, Some(ada)),
        Reference::new(Kind::VerifiedEmail, "marker@email.example", ada.0, Some(ada)),
        Reference::new(Kind::Order, "marker-order", order, None),
        Reference::new(Kind::ShopDomain, "marker-shop.myshopify.com", SHOP.0, None),
    ];
    let shown = format!("{references:?}");
    let entries = store.resolve_many(SHOP, references).await.unwrap();
    store.attach(SHOP, Kind::Order, order, ada).await.unwrap();
    let address = FieldAddress {
        merchant: SHOP,
        subject: ada,
        stream_type: 2,
        stream: ada.0,
        version: 1,
        record: RecordId(order),
        index: 0,
        event_type: 6,
        field: "first_name".into(),
    };
    let sealer = store.sealer(SHOP, ada).unwrap();
    let sealed = sealer.seal(&address, b"marker-value").unwrap();
    let opened = store.open(&address, &sealed).await.unwrap();
    let shown = format!("{shown} {entries:?} {store:?} {root:?} {sealer:?} {sealed:?} {opened:?}");

    let vault = &store.vault;
    let merchant = vault.merchant(SHOP).unwrap();
    let id = DataKeyId::subject(SHOP, ada);
    let Ok(data_key) = vault.data_key(id, &merchant, &vault.cached(id).unwrap()).unwrap() else {
        panic!("nobody erased this subject")
    };
    let own_key = vault.own_key(SHOP, &merchant).unwrap();
    let mut markers = vec![root_bytes.to_vec(), sealed.0.clone()];
    for text in ["marker-customer", "marker@email", "marker-order", "marker-shop", "marker-value"] {
        markers.push(text.as_bytes().to_vec());
    }
    for key in [&vault.global, &vault.token, &data_key, &own_key] {
        markers.extend(key.0.chunks(32).map(<[u8]>::to_vec));
    }
    let files = bytes_of(folder.path());
    assert!(holds(&files, &ada.bytes()), "the scan sees what is there");
    for marker in markers {
        for spelling in spellings(&marker) {
            assert!(!holds(&files, &spelling) && !holds(shown.as_bytes(), &spelling), "{spelling:?}");
        }
    }
}

/// 4,000 orders in random order, each second one a guest's that is attached later: pages split many times.
async fn fill(store: &KeyStore) {
    store.ensure_merchant(SHOP).await.unwrap();
    for batch in 0..40 {
        let mut rows = Vec::new();
        for n in 0..100 {
            let mut id = [0; 16];
            rand::fill(&mut id).unwrap();
            let id = Uuid::from_bytes(id);
            let text = format!("order-{:06}", batch * 100 + n);
            rows.push(Reference::new(Kind::Order, text, id, (n % 2 == 0).then(|| buyer(id))));
        }
        let buyers: Vec<_> = rows.iter().map(|row| DataKeyId::subject(SHOP, buyer(row.proposed))).collect();
        let known =
            store.commit(|session| buyers.into_iter().try_for_each(|id| session.ensure(id).map(drop)));
        known.await.unwrap();
        let entries = store.resolve_many(SHOP, rows).await.unwrap();
        let guests = entries.into_iter().filter(|entry| entry.subject.is_none()).map(|entry| {
            let store = store.clone();
            tokio::spawn(async move { store.attach(SHOP, Kind::Order, entry.id, buyer(entry.id)).await })
        });
        for attached in guests.collect::<Vec<_>>() {
            attached.await.unwrap().unwrap();
        }
    }
}

/// Whose order it is: an id that shares no 16 bytes with the order's.
fn buyer(order: Uuid) -> CustomerId {
    CustomerId::from_bytes(order.into_bytes().map(|byte| !byte))
}

#[tokio::test]
async fn what_an_erasure_and_a_rotation_destroy_is_gone_from_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), &RootKey::from_bytes([7; 32])).await;
    fill(&store).await;
    let file = rusqlite::Connection::open(folder.path().join("keys.db")).unwrap();
    let before = values(&file);
    assert_eq!(before.each_ref().map(Vec::len), [4_000; 4]);
    let whom = Whom::Person(victims(&file));
    store.fence(SHOP, &whom, Uuid::nil()).await.unwrap();
    let destroyed = store.destroy(SHOP, &whom, Uuid::nil()).await.unwrap();
    assert_eq!((destroyed.keys, destroyed.directory_rows, destroyed.tombstones), (400, 400, 400));
    let left = values(&file).map(HashSet::<Vec<u8>>::from_iter);
    let mut left = left.iter();
    let erased = before.clone().map(|column| {
        let left = left.next().unwrap();
        column.into_iter().filter(|value| !left.contains(value)).collect::<Vec<_>>()
    });
    let [keys, references, _, ids] = &erased;
    let after = Haystack::new(&bytes_of(folder.path()));
    assert_eq!((keys.len(), references.len()), (400, 400));
    assert_eq!((after.count(keys), after.count(references)), (0, 0), "keys and references go at once");

    let ring = || std::fs::read_to_string(folder.path().join("keys.db.09090909.epochs")).unwrap();
    let first = ring().lines().nth(1).unwrap().to_owned();
    store.rotate(Timestamp::EPOCH).await.unwrap();
    let after = Haystack::new(&bytes_of(folder.path()));
    assert_eq!(after.count(&before[0]), 0, "no row moves when it is wrapped anew");
    assert!(ring().contains(&first));
    assert_eq!(
        store.destroy_epochs(Timestamp::from_micros(1_000_000), Timestamp::EPOCH).await.unwrap().len(),
        1
    );
    assert!(!holds(&bytes_of(folder.path()), first.as_bytes()));

    drop(store);
    file.execute_batch("VACUUM").unwrap();
    let after = Haystack::new(&bytes_of(folder.path()));
    assert_eq!(after.count(ids), 0, "index entries at the next VACUUM at latest");
}

/// Each tenth person.
fn victims(connection: &rusqlite::Connection) -> Vec<CustomerId> {
    let mut statement = connection.prepare("SELECT subject FROM subject_key WHERE n % 10 = 0").unwrap();
    let rows = statement.query_map([], |row| row.get(0).map(CustomerId::from_bytes)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// The values of wrapped keys, sealed references, hashes and ids.
fn values(connection: &rusqlite::Connection) -> [Vec<Vec<u8>>; 4] {
    let column = |sql: &str| -> Vec<Vec<u8>> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    [
        column("SELECT wrapped FROM subject_key ORDER BY n"),
        column("SELECT sealed_ref FROM directory ORDER BY subject"),
        column("SELECT ref_hash FROM directory ORDER BY subject"),
        column("SELECT id FROM directory ORDER BY subject"),
    ]
}

/// Every 16 bytes in a row that files hold, so that thousands of values are looked up fast.
struct Haystack(HashSet<[u8; 16]>);

impl Haystack {
    fn new(bytes: &[u8]) -> Self {
        Self(bytes.array_windows::<16>().copied().collect())
    }

    /// How many of the values show 16 bytes of themselves anywhere, first or last.
    fn count(&self, values: &[Vec<u8>]) -> usize {
        let shows = |value: &&Vec<u8>| {
            let ends = [value.first_chunk::<16>(), value.last_chunk::<16>()];
            ends.into_iter().flatten().any(|end| self.0.contains(end))
        };
        values.iter().filter(shows).count()
    }
}

#[tokio::test]
async fn the_file_is_opened_as_the_design_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), &RootKey::from_bytes([7; 32])).await;
    let pragma = |name: &'static str| {
        store.look(move |session| {
            let value = session.store.one(&format!("PRAGMA {name}"), &[], |row| Ok(row.cell(0)?.owned()));
            Ok(value.map(|value| format!("{value:?}"))?)
        })
    };
    assert_eq!(pragma("secure_delete").await.unwrap(), "Integer(1)");
    assert_eq!(pragma("journal_mode").await.unwrap(), "Text(\"delete\")");
    assert_eq!(pragma("synchronous").await.unwrap(), "Integer(3)");
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    std::fs::write(&path, [b'x'; 8192]).unwrap();
    let error = KeyStore::create_or_open(&path, &RootKey::from_bytes([7; 32]), [9; 16]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)));
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    drop(store(folder.path(), &RootKey::from_bytes([7; 32])).await);
    let metadata = std::fs::metadata(folder.path().join("keys.db")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}
