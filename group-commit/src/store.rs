//! A store wherever it is: a file of this process, or a schema that other processes have open too.
use std::path::Path;

use crate::{Database, Fault, Session, StoreError};
#[cfg(feature = "postgres")]
use crate::{
    group,
    postgres::{Client, Schema},
};

/// The handle; clones share the thread, which ends with the last of them.
///
/// Whoever writes waits for whoever writes already, also in another process: what a call reads, nobody changes before its
/// commit.
#[derive(Clone)]
pub struct Store(Place);

#[derive(Clone)]
enum Place {
    File(Database),
    #[cfg(feature = "postgres")]
    Schema(Schema),
}

impl Store {
    /// Opens or creates the file, applies `pragmas`, then `schema` (statements that may run again).
    ///
    /// # Errors
    /// SQLite cannot open the file, or it holds something else.
    pub fn open_file(path: &Path, pragmas: &str, schema: &str) -> Result<Self, StoreError> {
        Ok(Self(Place::File(Database::open(path, pragmas, schema)?)))
    }

    /// Makes the schema or brings it up to date, which several processes may do at once.
    ///
    /// # Errors
    /// The database cannot be used; the error says what to change.
    #[cfg(feature = "postgres")]
    pub async fn open_schema(
        address: &postgres_store::Address,
        schema: postgres_store::Schema,
    ) -> Result<Self, StoreError> {
        Ok(Self(Place::Schema(Schema::open(address, schema).await?)))
    }

    /// Whether other processes may have it open too.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        match &self.0 {
            Place::File(_) => false,
            #[cfg(feature = "postgres")]
            Place::Schema(_) => true,
        }
    }

    /// Whether the store's thread still serves, and its server answered when it was last asked. A server that did not is
    /// asked again for whoever looks next.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.0 {
            Place::File(database) => database.is_open(),
            #[cfg(feature = "postgres")]
            Place::Schema(schema) => schema.answers(),
        }
    }

    /// Runs `work` in the next group. `Ok(Ok(_))` = done and durable; `Ok(Err(_))` = refused by `work` itself, and
    /// nothing of it was kept.
    ///
    /// # Errors
    /// The store failed.
    pub async fn call<T, E>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Fault>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.group(false, work).await
    }

    /// The same for work that only reads, and waits for nobody in another process.
    ///
    /// # Errors
    /// The store failed.
    pub async fn look<T, E>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Fault>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.group(true, work).await
    }

    /// [`Self::call`] for work that can only fail in the store.
    ///
    /// # Errors
    /// The store failed.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        Ok(self.call(work).await??)
    }

    /// [`Self::look`] for work that can only fail in the store.
    ///
    /// # Errors
    /// The store failed.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Fault> {
        Ok(self.look(work).await??)
    }

    #[cfg_attr(not(feature = "postgres"), expect(unused_variables, reason = "a file has one way in"))]
    async fn group<T, E>(
        &self,
        only_reads: bool,
        work: impl FnOnce(&dyn Session) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Fault>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        match &self.0 {
            Place::File(database) => database.call(move |connection| work(connection)).await,
            #[cfg(feature = "postgres")]
            Place::Schema(schema) => {
                let work = move |client: &Client| work(client);
                let answered = group::enqueue(&schema.jobs, only_reads, work)?;
                answered.await.map_err(|_| Fault::Closed)?
            }
        }
    }
}

#[cfg(test)]
mod tests;
