//! A store in a schema of a Postgres, which several processes may have open: whoever writes waits for whoever writes
//! already, as with a file.
//!
//! The connection blocks its thread, so that the code over it is the code over SQLite. If it is lost, whoever shared its
//! group is told that the outcome is unknown, and the next group has a new one.
mod client;
mod row;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use postgres_store::Address;
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

/// The thread that works in a schema; it ends with the last clone.
#[derive(Clone)]
pub(crate) struct Schema {
    pub(crate) jobs: Jobs<Client>,
    /// Whether the server answered when it was last asked.
    answered: Arc<AtomicBool>,
}

impl Schema {
    /// Makes the schema or brings it up to date, and starts the thread.
    pub(crate) async fn open(address: &Address, schema: postgres_store::Schema) -> Result<Self, StoreError> {
        let mut connection = address.connect_to_keep(APPLICATION).await?;
        schema.migrate(address, &mut connection).await?;
        let (jobs, queue) = mpsc::unbounded_channel();
        let answered = Arc::new(AtomicBool::new(true));
        let (address, told) = (address.clone(), Arc::clone(&answered));
        thread::Builder::new()
            .name(schema.name.to_owned())
            .spawn(move || group::serve(Server::new(address, schema.name, told), queue))
            .map_err(StoreError::of_cell)?;
        Ok(Self { jobs, answered })
    }

    /// Whether the server answered when it was last asked; if not, it is asked again.
    pub(crate) fn answers(&self) -> bool {
        let answered = self.answered.load(Ordering::Acquire);
        if !answered {
            // What comes of it is seen at the next look.
            drop(group::enqueue(&self.jobs, true, |_: &Client| Ok::<_, StoreError>(())));
        }
        answered && !self.jobs.is_closed()
    }
}

/// The connection of a store's thread, made anew when it was lost.
struct Server {
    address: Address,
    schema: &'static str,
    begin: String,
    client: Option<Client>,
    answered: Arc<AtomicBool>,
}

impl Server {
    fn new(address: Address, schema: &'static str, answered: Arc<AtomicBool>) -> Self {
        let begin =
            format!("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('{schema} is written', 0))");
        Self { address, schema, begin, client: None, answered }
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
        self.answered.store(true, Ordering::Release);
        Ok(self.client.insert(client))
    }

    /// The server answers the commit of a transaction that failed without an error; the question before it has one.
    fn end(&self) -> &'static str {
        "SELECT 1; COMMIT"
    }

    fn failed(&mut self) {
        self.client = None;
        self.answered.store(false, Ordering::Release);
    }
}

impl Transact for Client {
    fn step(&self, sql: &str) -> Result<(), StoreError> {
        self.simple(sql)
    }
}
