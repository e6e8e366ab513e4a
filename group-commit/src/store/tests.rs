//! What holds for a store wherever it is; with the feature `postgres` all of it on both.
use super::*;
use crate::{ValueRef, values};

#[cfg(feature = "postgres")]
mod on_postgres;

const TABLES: &str = "CREATE TABLE IF NOT EXISTS t(n BIGINT PRIMARY KEY, words TEXT, bytes BLOB);
    CREATE TABLE IF NOT EXISTS numbered(n INTEGER PRIMARY KEY, words TEXT)";

/// Where a test's store is; gone with it.
enum Home {
    File(tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Server(postgres_store::testing::TestDatabase),
}

impl Home {
    fn all() -> Vec<Self> {
        vec![
            Self::File(tempfile::tempdir().unwrap()),
            #[cfg(feature = "postgres")]
            Self::Server(postgres_store::testing::TestDatabase::create()),
        ]
    }

    async fn open(&self) -> Store {
        match self {
            Self::File(folder) => {
                Store::open_file(&folder.path().join("t.db"), "PRAGMA journal_mode=WAL;", TABLES).unwrap()
            }
            #[cfg(feature = "postgres")]
            Self::Server(database) => on_postgres::open(&database.address()).await,
        }
    }
}

fn insert(n: i64) -> impl FnOnce(&dyn Session) -> Result<(), StoreError> + Send + 'static {
    move |session| session.execute("INSERT INTO t(n) VALUES (?1)", values![n]).map(drop)
}

async fn count(store: &Store) -> i64 {
    store.read(|session| session.one("SELECT count(*) FROM t", values![], |row| row.at(0))).await.unwrap()
}

#[tokio::test]
async fn a_call_that_fails_keeps_nothing_and_leaves_its_neighbours_alone() {
    for home in Home::all() {
        let store = home.open().await;
        let refused = store.call(|session| {
            insert(1)(session).unwrap();
            Err::<(), _>("no")
        });
        let panicked = store.call(|session| {
            insert(7)(session).unwrap();
            panic!("planted");
            #[expect(unreachable_code, reason = "it says what would be given back")]
            Ok::<(), StoreError>(())
        });
        let (refused, panicked, kept, doubled) =
            tokio::join!(refused, panicked, store.run(insert(2)), store.run(insert(2)));
        assert_eq!(refused.unwrap(), Err("no"));
        assert!(matches!(panicked, Err(Fault::Panicked)));
        assert!(kept.is_ok() && doubled.is_err());
        assert_eq!(count(&store).await, 1);
    }
}

#[tokio::test]
async fn values_come_back_as_they_were_stored() {
    for home in Home::all() {
        let store = home.open().await;
        let read = store.run(|session| {
            let insert = "INSERT INTO t VALUES (?1, ?2, ?3)";
            session.execute(insert, values![i64::MAX, None::<&str>, None::<&[u8]>])?;
            session.execute(insert, values![true, "drei", &[0, 255]])?;
            session.all("SELECT n, words, bytes, n = 1 FROM t ORDER BY n", values![], |row| {
                let cells = (row.at::<i64>(0)?, row.at::<Option<String>>(1)?, row.at::<Option<[u8; 2]>>(2)?);
                Ok((cells, row.at::<bool>(3)?, row.at::<u16>(0).is_ok()))
            })
        });
        let first = ((1, Some("drei".to_owned()), Some([0, 255])), true, true);
        assert_eq!(read.await.unwrap(), [first, ((i64::MAX, None, None), false, false)]);
        let misread = store.read(|session| session.one("SELECT n FROM t", &[], |row| row.at::<String>(0)));
        assert!(matches!(misread.await, Err(Fault::Store(StoreError::Cell(_)))));
        let none = store.read(|session| {
            let (sql, values) = ("SELECT n FROM t WHERE words = ?", [ValueRef::Text("vier")]);
            session.one(sql, &values, |row| row.at::<i64>(0))
        });
        assert!(matches!(none.await, Err(Fault::Store(StoreError::Missing))));
    }
}

#[tokio::test]
async fn a_row_that_the_store_numbers_is_found_by_its_number() {
    for home in Home::all() {
        let store = home.open().await;
        for words in ["one", "two"] {
            let found = store.run(move |session| {
                let number =
                    session.number("n", "INSERT INTO numbered(words) VALUES (?1)", values![words])?;
                let by_number = "SELECT words FROM numbered WHERE n = ?1";
                session.one(by_number, values![number], |row| row.at::<String>(0))
            });
            assert_eq!(found.await.unwrap(), words);
        }
    }
}

#[tokio::test]
async fn what_was_answered_is_there_when_the_store_is_opened_again() {
    for home in Home::all() {
        let store = home.open().await;
        let inserts = (0..50).map(|n| store.run(insert(n)));
        futures::future::join_all(inserts).await.into_iter().for_each(|inserted| inserted.unwrap());
        drop(store);
        assert_eq!(count(&home.open().await).await, 50);
    }
}
