//! A database of its own for each test, on the server that `LOYALNEST_TEST_POSTGRES` names; gone with the test.
use std::{env, thread};

use sqlx::{Executor as _, PgConnection, Row as _, raw_sql};
use uuid::Uuid;

use crate::Address;

/// Holds the address of a server's superuser.
const VARIABLE: &str = "LOYALNEST_TEST_POSTGRES";

/// An empty database; dropped with this, whoever is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    server: String,
}

impl TestDatabase {
    /// Makes it.
    ///
    /// # Panics
    /// If there is no server: these tests are never skipped.
    #[must_use]
    pub fn create() -> Self {
        let server = env::var(VARIABLE).unwrap_or_else(|_| {
            panic!(
                "{VARIABLE} is not set: run `cargo xtask test`, or `cargo xtask services up` and export its address"
            )
        });
        let name = format!("test_{}", Uuid::now_v7().simple());
        let database = Self { name, server };
        database.on_server(format!("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0", database.name));
        database
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_as(None)
    }

    /// Its address for another user of the server.
    #[must_use]
    pub fn url_as(&self, user: Option<&str>) -> String {
        let (base, parameters) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (base, _) = base.rsplit_once('/').unwrap_or((base, ""));
        let base = match (user, base.split_once('@')) {
            (Some(user), Some((_, host))) => format!("postgres://{user}@{host}"),
            _ => base.to_owned(),
        };
        format!("{base}/{}?{parameters}", self.name)
    }

    /// The same, read.
    ///
    /// # Panics
    /// If the variable holds no address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.url().parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs statements past whoever keeps the database, in one session; an error says what the server refused.
    ///
    /// # Errors
    /// What the server said.
    pub fn execute(&self, statements: &str) -> Result<(), String> {
        let statements = statements.to_owned();
        blocking(&self.url(), async move |mut connection| {
            let done = connection.execute(raw_sql(&statements)).await;
            Ok(done.map(drop).map_err(|error| error.to_string()))
        })
    }

    /// The answer of a query whose columns are all texts, after these statements.
    ///
    /// # Panics
    /// If the server refuses.
    #[must_use]
    pub fn texts(&self, before: &str, query: &str) -> Vec<Vec<Option<String>>> {
        let (before, query) = (before.to_owned(), query.to_owned());
        blocking(&self.url(), async move |mut connection| {
            connection.execute(raw_sql(&before)).await?;
            let rows = sqlx::query(&query).fetch_all(&mut connection).await?;
            rows.iter().map(|row| (0..row.len()).map(|column| row.try_get(column)).collect()).collect()
        })
    }

    fn on_server(&self, statement: String) {
        blocking(&self.server, async move |mut connection| {
            connection.execute(statement.as_str()).await.map(drop)
        });
    }
}

/// On a thread of its own, so that tests with any runtime and none may ask.
fn blocking<T: Send + 'static, F>(url: &str, ask: F) -> T
where
    F: AsyncFnOnce(PgConnection) -> sqlx::Result<T> + Send + 'static,
{
    let address: Address = url.parse().unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
    let asking = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
        runtime.block_on(async {
            let connection = address.connect("tests").await.unwrap_or_else(|error| panic!("{error}"));
            ask(connection).await.unwrap_or_else(|error| panic!("{error}"))
        })
    });
    asking.join().unwrap_or_else(|_| panic!("the server of {VARIABLE} could not be asked"))
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.on_server(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}
