//! Where a test keeps its read stores: the same test runs on every kind.
use std::path::PathBuf;
#[cfg(feature = "postgres")]
use std::{collections::HashMap, sync::Mutex};

#[cfg(feature = "postgres")]
use projections::testing::TestDatabase;
use projections::{ReadAddress, ReadStore};

/// Runs tests that take a shelf on each kind of store.
macro_rules! on_every_store {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&$crate::shelf::Shelf::of_files()).await;
            })*
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&$crate::shelf::Shelf::of_databases()).await;
            })*
        }
    };
}
pub(crate) use on_every_store;

/// Read stores by name, gone with this.
pub(crate) enum Shelf {
    Files(tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Databases(Mutex<HashMap<String, TestDatabase>>),
}

impl Shelf {
    pub(crate) fn of_files() -> Self {
        Self::Files(tempfile::tempdir().unwrap())
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn of_databases() -> Self {
        Self::Databases(Mutex::default())
    }

    pub(crate) async fn open(&self, name: &str) -> ReadStore {
        ReadStore::open_at(&self.address(name)).await.unwrap()
    }

    pub(crate) fn address(&self, name: &str) -> ReadAddress {
        match self {
            Self::Files(folder) => ReadAddress::File(file(folder, name)),
            #[cfg(feature = "postgres")]
            Self::Databases(databases) => {
                let mut databases = databases.lock().unwrap();
                let database = databases.entry(name.to_owned()).or_insert_with(TestDatabase::create);
                database.url().parse().unwrap()
            }
        }
    }

    /// Runs statements of the common subset past the store.
    pub(crate) fn tamper(&self, name: &str, statements: &str) {
        match self {
            Self::Files(folder) => connect(folder, name).execute_batch(statements).unwrap(),
            #[cfg(feature = "postgres")]
            Self::Databases(databases) => {
                databases.lock().unwrap()[name].execute(&format!("{SCHEMA}; {statements}")).unwrap();
            }
        }
    }

    /// The answer of a query of the common subset whose columns are all texts.
    pub(crate) fn ask(&self, name: &str, query: &str) -> Vec<Vec<Option<String>>> {
        match self {
            Self::Files(folder) => {
                let connection = connect(folder, name);
                let mut select = connection.prepare(query).unwrap();
                let columns = select.column_count();
                let rows = select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
                rows.unwrap().collect::<Result<_, _>>().unwrap()
            }
            #[cfg(feature = "postgres")]
            Self::Databases(databases) => databases.lock().unwrap()[name].texts(SCHEMA, query),
        }
    }

    /// Writes a row of a table once more under another id, all given as hexadecimal digits.
    pub(crate) fn give_row(&self, name: &str, table: &str, key: &str, from: &str, to: &str) {
        let bytes = |digits: &str| match self {
            Self::Files(_) => format!("x'{digits}'"),
            #[cfg(feature = "postgres")]
            Self::Databases(_) => format!("decode('{digits}', 'hex')"),
        };
        let statements = format!(
            "CREATE TEMPORARY TABLE copied AS SELECT * FROM {table} WHERE {key} = {};
             UPDATE copied SET {key} = {}; INSERT INTO {table} SELECT * FROM copied; DROP TABLE copied",
            bytes(from),
            bytes(to)
        );
        self.tamper(name, &statements);
    }

    /// From here on, nothing may be written into `checkpoint` for this projection.
    pub(crate) fn break_checkpoints(&self, name: &str, projection: &str) {
        let when = format!("WHEN (NEW.projection = '{projection}')");
        let statements = match self {
            Self::Files(_) => format!(
                "CREATE TRIGGER crash BEFORE INSERT ON checkpoint {when} BEGIN SELECT RAISE(ABORT, 'crash'); END"
            ),
            #[cfg(feature = "postgres")]
            Self::Databases(_) => format!(
                "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'crash'; END $$;
                 CREATE TRIGGER crash BEFORE INSERT ON checkpoint FOR EACH ROW {when} EXECUTE FUNCTION crash()"
            ),
        };
        self.tamper(name, &statements);
    }

    /// Ends [`Self::break_checkpoints`].
    pub(crate) fn mend_checkpoints(&self, name: &str) {
        let statement = match self {
            Self::Files(_) => "DROP TRIGGER crash",
            #[cfg(feature = "postgres")]
            Self::Databases(_) => "DROP TRIGGER crash ON checkpoint",
        };
        self.tamper(name, statement);
    }
}

#[cfg(feature = "postgres")]
pub(crate) const SCHEMA: &str = "SET search_path TO loyalnest_read";

fn file(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(format!("{name}.db"))
}

fn connect(folder: &tempfile::TempDir, name: &str) -> rusqlite::Connection {
    rusqlite::Connection::open(file(folder, name)).unwrap()
}
