//! A connection that blocks its thread, on a runtime of its own.
use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
    time::Duration,
};

use futures::TryStreamExt as _;
use postgres_store::Address;
use sqlx::{
    Arguments as _, Encode, Executor as _, PgConnection, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo, types::Oid},
    query_with, raw_sql,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{
    StoreError, ValueRef,
    session::{OnRow, Session},
};

/// What a server may take from the first word to a connection that can be used.
const CONNECTED_WITHIN: Duration = Duration::from_secs(20);

/// The connection.
pub struct Client {
    connection: RefCell<PgConnection>,
    runtime: Option<Runtime>,
    address: Address,
    patience: Option<Duration>,
    /// A statement took too long: what its answer would be comes before that of any other.
    is_late: Cell<bool>,
}

impl Client {
    /// Connects; `application` is how the server knows it.
    ///
    /// # Errors
    /// What is wrong with the address, the server, the password or the database, and what to change.
    pub fn connect(address: &Address, application: &str) -> Result<Self, StoreError> {
        Self::new(address, None, address.connect(application))
    }

    /// Connects to a server that keeps what it says is committed, and gives up a statement that takes longer than
    /// `patience`: what it did is unknown, and the connection of no more use.
    ///
    /// # Errors
    /// As [`Self::connect`], or which setting of the server to change.
    pub fn connect_to_keep(
        address: &Address,
        application: &str,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        Self::new(address, Some(patience), address.connect_to_keep(application))
    }

    fn new(
        address: &Address,
        patience: Option<Duration>,
        connecting: impl Future<Output = Result<PgConnection, postgres_store::Error>>,
    ) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| address.explain(error.into()))?;
        let connected = runtime.block_on(async { timeout(CONNECTED_WITHIN, connecting).await });
        let silent = |_| address.explain(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        let connection = RefCell::new(connected.map_err(silent)??);
        let is_late = Cell::new(false);
        Ok(Self { connection, runtime: Some(runtime), address: address.clone(), patience, is_late })
    }

    /// Gives up a statement that takes longer than this from now on.
    #[must_use]
    pub const fn within(mut self, patience: Option<Duration>) -> Self {
        self.patience = patience;
        self
    }

    /// Whether a statement was given up. The connection is of no more use.
    #[must_use]
    pub const fn is_late(&self) -> bool {
        self.is_late.get()
    }

    /// Runs statements without values and without an answer.
    ///
    /// # Errors
    /// The server refused, or the connection is lost.
    pub fn simple(&self, sql: &str) -> Result<(), StoreError> {
        self.wait(async |connection| connection.execute(raw_sql(sql)).await.map(drop))
    }

    /// Does this on the connection and waits for it.
    ///
    /// # Errors
    /// The server refused, or the connection is lost.
    pub fn wait<T>(
        &self,
        ask: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, StoreError> {
        let (Some(runtime), Ok(mut connection)) = (&self.runtime, self.connection.try_borrow_mut()) else {
            return Err(StoreError::Cell("a query was asked while another one's rows came".to_owned()));
        };
        let late = || Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        let answer = runtime.block_on(async {
            if self.is_late.get() {
                return late();
            }
            let asking = ask(&mut connection);
            match self.patience {
                None => asking.await,
                Some(patience) => match timeout(patience, asking).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        self.is_late.set(true);
                        late()
                    }
                },
            }
        });
        Ok(answer.map_err(|error| self.address.explain(error))?)
    }

    /// Runs a query whose values stand as `$1`, `$2` and so on.
    ///
    /// # Errors
    /// The server refused, the connection is lost, or `on_row` refused.
    pub fn stream(&self, sql: &str, arguments: PgArguments, on_row: OnRow<'_>) -> Result<(), StoreError> {
        self.wait(async |connection| {
            let mut found = query_with(sql, arguments).fetch(connection);
            while let Some(row) = found.try_next().await? {
                if let Err(error) = on_row(&row) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })?
    }

    /// Runs a statement whose values stand as `$1`, `$2` and so on; returns how many rows it changed.
    ///
    /// # Errors
    /// The server refused, or the connection is lost.
    pub fn change(&self, sql: &str, arguments: PgArguments) -> Result<u64, StoreError> {
        self.wait(async |connection| {
            Ok(query_with(sql, arguments).execute(connection).await?.rows_affected())
        })
    }
}

impl Session for Client {
    fn each(&self, sql: &str, values: &[ValueRef<'_>], on_row: OnRow<'_>) -> Result<(), StoreError> {
        self.stream(&numbered(sql), added(values)?, on_row)
    }

    fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64, StoreError> {
        self.change(&numbered(sql), added(values)?)
    }

    fn number(&self, column: &str, insert: &str, values: &[ValueRef<'_>]) -> Result<i64, StoreError> {
        let session: &dyn Session = self;
        session.one(&format!("{insert} RETURNING {column}"), values, |row| row.at(0))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Also among a runtime's own threads, which must not wait for another runtime's end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A statement's values as the driver sends them.
///
/// # Errors
/// One is too long.
pub fn added(values: &[ValueRef<'_>]) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match *value {
            ValueRef::Null => arguments.add(Absent),
            ValueRef::Integer(number) => arguments.add(number),
            ValueRef::Text(text) => arguments.add(text),
            ValueRef::Bytes(bytes) => arguments.add(bytes),
        };
        added.map_err(StoreError::of_cell)?;
    }
    Ok(arguments)
}

/// No value, of a type that the server works out from where it stands.
struct Absent;

impl Type<Postgres> for Absent {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Absent {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

/// `?` for values becomes `$1`, `$2` and so on, and `?2` becomes `$2`. No statement has a question mark elsewhere.
fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (part, number) in parts.zip(1..) {
        // Writing into a string does not fail.
        let _ = if part.starts_with(|first: char| first.is_ascii_digit()) {
            write!(numbered, "${part}")
        } else {
            write!(numbered, "${number}{part}")
        };
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_in_their_order_unless_they_have_numbers() {
        assert_eq!(numbered("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!(numbered("a = ?2, b = ?1 + ?2"), "a = $2, b = $1 + $2");
    }
}
