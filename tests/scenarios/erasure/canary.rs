//! Canaries: whatever leads to a person is recognisable, and then looked for in every byte that there is.
use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};

use super::*;
use crate::harness::{Door, Folder, files};

/// What the key store holds of everybody: wrapped keys, and the rows that lead to them.
pub(super) fn rows_of(folder: &Folder) -> Vec<(Vec<u8>, String, Vec<u8>)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let keys = Connection::open_with_flags(folder.data().join("keys.db"), flags).unwrap();
    let queries = [
        ("a wrapped key", "SELECT subject, wrapped FROM subject_key"),
        ("a sealed reference", "SELECT subject, sealed_ref FROM directory WHERE sealed_ref IS NOT NULL"),
    ];
    let mut rows = Vec::new();
    for (name, query) in queries {
        let mut statement = keys.prepare(query).unwrap();
        let found = statement.query_map([], |row| Ok((row.get(0)?, name.to_owned(), row.get(1)?))).unwrap();
        rows.extend(found.map(Result::unwrap));
    }
    rows
}

/// Those of one customer, to be looked for.
fn keys_of(folder: &Folder, customer: &str) -> Vec<Marker> {
    let id: uuid::Uuid = customer.parse().unwrap();
    let own = rows_of(folder).into_iter().filter(|(subject, ..)| subject == id.as_bytes());
    own.map(|(_, name, bytes)| Marker::bytes(&name, &bytes)).collect()
}

fn everything(folder: &Folder) -> Vec<PathBuf> {
    [files(&folder.data()), files(&folder.printed())].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_erased_person_is_left_in_any_byte_of_any_file_or_answer() {
    let folder = Folder::new();
    let server = Server::start_on(&folder, &[("LOYALNEST_LOG_FILTER", "trace")]);
    let shop = Shop::open(&server).await;
    let (gone, stays) = (Member::join(&shop, "Gone").await, Member::join(&shop, "Stays").await);
    let named = Markers::new(&[gone.markers("Gone"), stays.markers("Stays")].concat());
    let control = Marker::text("the shop's domain", &shop.domain);

    // Before: only who may ask is told, and whoever looks for keys finds them.
    named.stand_nowhere_in(&everything(&folder), &control);
    let told = gone.answers(&shop).await;
    assert!(told.iter().any(|(_, text)| !named.found(text.as_bytes()).is_empty()), "nobody is told anything");
    let keys = keys_of(&folder, &gone.customer);
    assert!(keys.len() >= 3, "a key, a Shopify id and an e-mail at least");
    let keys = Markers::new(&keys);
    let in_store = std::fs::read(folder.data().join("keys.db")).unwrap();
    assert!(keys.found(&in_store).len() >= 3, "the scan would not find a key that is there");

    let id = asked(&shop, &json!({"customer_id": gone.customer})).await;
    certified(&shop, &id).await;
    statement(&server, &shop, &id).await;
    gone.comes_late(&shop).await;

    // After: nobody is told, no key is left, and the next person is as before.
    let named_now = Markers::new(&gone.markers("Gone"));
    for (path, text) in gone.answers(&shop).await {
        let text = text.replace(&gone.order.id.to_string(), "");
        assert_eq!(named_now.found(text.as_bytes()), [""; 0], "{path}: {text}");
    }
    let wrong = gone.remembered(&shop, "Gone").await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    keys.stand_nowhere_in(&everything(&folder), &control);
    named.stand_nowhere_in(&everything(&folder), &control);
    assert_eq!(shop.customer(stays.person.id).await["email"], stays.person.email.as_str());
    let door = Door::of(&server);
    assert_eq!(named.found(door.get("/metrics").await.text.as_bytes()), [""; 0]);

    // Once more with the files as an orderly end leaves them, and after another start.
    assert!(server.end_by("TERM").0.success());
    keys.stand_nowhere_in(&everything(&folder), &control);
    let server = Server::start_on(&folder, &[]);
    let wrong = gone.remembered(&shop.at(&server), "Gone").await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    keys.stand_nowhere_in(&everything(&folder), &control);
}

#[cfg(all(feature = "kafka", feature = "postgres"))]
mod on_servers {
    use postgres_store::testing::TestDatabase;

    use super::*;
    use crate::harness::OwnServer;

    /// What leads to one customer in the database, as text shows it.
    fn keys_of(database: &TestDatabase, customer: &str) -> Vec<Marker> {
        let own = format!("= decode('{}', 'hex')", customer.replace('-', ""));
        let queries = [
            (
                "a wrapped key",
                format!("SELECT encode(wrapped, 'hex') FROM loyalnest_keys.subject_key WHERE subject {own}"),
            ),
            (
                "a sealed reference",
                format!("SELECT encode(sealed_ref, 'hex') FROM loyalnest_keys.directory WHERE subject {own}"),
            ),
        ];
        let mut keys = Vec::new();
        for (name, query) in queries {
            let found = database.texts("", &query).into_iter().flatten().flatten();
            keys.extend(found.map(|hex| Marker::text(name, &hex)));
        }
        keys
    }

    /// Every row of every table, as text.
    fn tables(database: &TestDatabase) -> String {
        let names = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
            WHERE table_schema LIKE 'loyalnest%' AND table_type = 'BASE TABLE'";
        let mut all = String::new();
        for name in database.texts("", names).into_iter().flatten().flatten() {
            for row in database.texts("", &format!("SELECT t::text FROM {name} t")).into_iter().flatten() {
                all.push_str(&row.unwrap_or_default());
                all.push('\n');
            }
        }
        all
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nor_in_any_topic_table_or_file_of_the_servers() {
        let (kafka, database) = (OwnServer::kafka(1), TestDatabase::create());
        let folder = Folder::with_servers(&kafka.url, &database.url());
        let server = Server::start_on(&folder, &[]);
        let shop = Shop::open(&server).await;
        let gone = Member::join(&shop, "Gone").await;
        let named = Markers::new(&gone.markers("Gone"));
        let control = Marker::text("a type of the log's events", "points-account");
        // Whoever may ask is told, and whoever looks for keys finds them: the scan would see what is left.
        let told = gone.answers(&shop).await;
        assert!(
            told.iter().any(|(_, text)| !named.found(text.as_bytes()).is_empty()),
            "nobody is told anything"
        );
        let keys = keys_of(&database, &gone.customer);
        assert!(keys.len() >= 3, "a key, a Shopify id and an e-mail at least");
        let keys = Markers::new(&keys);
        assert!(
            keys.found(tables(&database).as_bytes()).len() >= 2,
            "the scan would not find a key that is there"
        );
        for when in ["before", "after"] {
            let rows = tables(&database);
            assert!(rows.contains("points-account"), "{when}: the tables are not seen");
            assert_eq!(named.found(rows.as_bytes()), [""; 0], "{when}");
            named.stand_nowhere_in(&[everything(&folder), files(&kafka.folder)].concat(), &control);
            if when == "before" {
                erased(&shop, &gone.customer).await;
                let wrong = gone.remembered(&shop, "Gone").await;
                assert!(wrong.is_empty(), "{wrong:#?}");
            }
        }
        let left = tables(&database);
        assert_eq!(keys.found(left.as_bytes()), [""; 0]);
    }
}
