//! A connection that blocks its thread, on a runtime of its own.
use std::cell::RefCell;

use postgres_store::Address;
use sqlx::{Executor as _, PgConnection, raw_sql};
use tokio::runtime::{Builder, Runtime};

use crate::StoreError;

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Folding, making tables, serving other ones.
    Write,
    /// Answering queries of one merchant.
    Read,
    /// Comparing tables.
    Look,
}

impl Purpose {
    /// Takes on its role.
    pub(super) const fn role(self) -> &'static str {
        match self {
            Self::Write | Self::Look => "SET ROLE loyalnest_projector",
            Self::Read => "SET ROLE loyalnest_reader",
        }
    }

    /// What holds for the whole connection. Rows come back from the log, so no commit waits for the disk; keys of a table
    /// that the server has no figures of yet are still looked up in its index.
    const fn settings(self) -> &'static str {
        match self {
            Self::Write => {
                "SET search_path TO loyalnest_read; SET jit = off; SET synchronous_commit = off;
                 SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
            }
            Self::Read => "SET search_path TO loyalnest_read; SET jit = off; SET statement_timeout = '30s'",
            Self::Look => "SET search_path TO loyalnest_read; SET jit = off",
        }
    }
}

/// The connection.
pub(super) struct Client {
    connection: RefCell<PgConnection>,
    runtime: Option<Runtime>,
    address: Address,
}

impl Client {
    pub(super) fn connect(address: &Address, purpose: Purpose) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| address.explain(error.into()))?;
        let connection = runtime.block_on(address.connect("loyalnest"))?;
        let client =
            Self { connection: RefCell::new(connection), runtime: Some(runtime), address: address.clone() };
        client.simple(purpose.role())?;
        client.simple(purpose.settings())?;
        Ok(client)
    }

    /// Runs statements without values and without an answer.
    pub(super) fn simple(&self, sql: &str) -> Result<(), StoreError> {
        self.wait(async |connection| connection.execute(raw_sql(sql)).await.map(drop))
    }

    /// Does this on the connection and waits for it.
    pub(super) fn wait<T>(
        &self,
        ask: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, StoreError> {
        let (Some(runtime), Ok(mut connection)) = (&self.runtime, self.connection.try_borrow_mut()) else {
            return Err(StoreError::Cell("a query was asked while another one's rows came".to_owned()));
        };
        let answer = runtime.block_on(ask(&mut connection));
        Ok(answer.map_err(|error| self.address.explain(error))?)
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
