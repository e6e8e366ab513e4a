//! A store in a schema of a Postgres, which several processes may have open: whoever writes waits for whoever writes
//! already, as with a file.
//!
//! The connection blocks its thread, so that the code over it is the code over SQLite. If it is lost, whoever shared its
//! group is told that the outcome is unknown, and the next group has a new one.
mod client;
mod row;

use std::{thread, time::Duration};

use postgres_store::{Address, Schema};
use tokio::sync::mpsc;

pub use self::client::{Client, added};
use crate::{
    StoreError,
    group::{self, Jobs, Source, Transact},
};

/// How the server knows these connections.
const APPLICATION: &str = "loyalnest stores";

/// What the server may take for a statement, or for whoever writes in another process.
const PATIENCE: Duration = Duration::from_secs(10);

/// Each statement has one good plan, by an index; planning it anew takes longer than doing it. Who stops in the middle of
/// a transaction (a process that is paused, a machine that is gone) must not hold up the others.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;
    SET idle_in_transaction_session_timeout = '3s'; SET tcp_user_timeout = '10s'";

/// Makes the schema or brings it up to date, and starts the thread that works in it.
pub(crate) async fn open(address: &Address, schema: Schema) -> Result<Jobs<Client>, StoreError> {
    let mut connection = address.connect_to_keep(APPLICATION).await?;
    schema.migrate(address, &mut connection).await?;
    let (jobs, queue) = mpsc::unbounded_channel();
    let address = address.clone();
    let source = move || Server::new(address, schema.name);
    thread::Builder::new()
        .name(schema.name.to_owned())
        .spawn(move || group::serve(source(), queue))
        .map_err(StoreError::of_cell)?;
    Ok(jobs)
}

/// The connection of a store's thread, made anew when it was lost.
struct Server {
    address: Address,
    schema: &'static str,
    begin: String,
    client: Option<Client>,
}

impl Server {
    fn new(address: Address, schema: &'static str) -> Self {
        let begin =
            format!("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('{schema} is written', 0))");
        Self { address, schema, begin, client: None }
    }

    fn connect(&self) -> Result<Client, StoreError> {
        let client = Client::connect_to_keep(&self.address, APPLICATION, PATIENCE)?;
        client.simple(SETTINGS)?;
        client.simple(&format!("SET search_path TO {}", self.schema))?;
        Ok(client)
    }
}

impl Source for Server {
    type Connection = Client;

    /// A connection that the server has ended meanwhile is replaced. Who only reads sees what is committed.
    fn begin(&mut self, only_reads: bool) -> Result<&Client, StoreError> {
        let begin = if only_reads { "BEGIN READ ONLY" } else { &self.begin };
        let kept = self.client.take().filter(|client| client.simple(begin).is_ok());
        let client = match kept {
            Some(client) => client,
            None => {
                let client = self.connect()?;
                client.simple(begin)?;
                client
            }
        };
        Ok(self.client.insert(client))
    }

    /// The server answers the commit of a transaction that failed without an error; the question before it has one.
    fn end(&self) -> &'static str {
        "SELECT 1; COMMIT"
    }

    fn failed(&mut self) {
        self.client = None;
    }
}

impl Transact for Client {
    fn step(&self, sql: &str) -> Result<(), StoreError> {
        self.simple(sql)
    }
}
