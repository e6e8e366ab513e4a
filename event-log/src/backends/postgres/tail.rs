//! Reading the log, page by page, and waiting for more.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use postgres_store::Address;
use sqlx::{
    PgPool, Postgres,
    postgres::{PgArguments, PgPoolOptions, PgRow},
    query::Query,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{schema, statement};
use crate::{
    backend::{Asked, Ends, Fetched, Tail, wait_beyond},
    error::Fault,
    ids::Position,
};

const CONNECTIONS_MAX: u32 = 8;
/// A busy machine takes seconds to let somebody in.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at the ends while somebody waits: the shortest after news, then twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(32);
/// After a look that failed.
const PAUSE_OF_FAULT: Duration = Duration::from_millis(250);

/// The connections of all readers of one log.
pub(super) struct Reads {
    connections: Connections,
    ends: Arc<Ends>,
    /// How many wait for more; the lookout ends with it.
    waiting: watch::Sender<usize>,
}

#[derive(Clone)]
struct Connections {
    address: Address,
    pool: PgPool,
}

impl Reads {
    /// Connects when something is asked for.
    pub(super) fn new(address: &Address, ends: Arc<Ends>) -> Self {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(CONNECT_WITHIN);
        // A connection that broke while it lay idle is found by its use; asking before each use costs a round trip.
        let pool = pool.test_before_acquire(false).after_connect(|connection, _| {
            Box::pin(async move {
                let is_standby = sqlx::query_scalar::<_, bool>("SELECT pg_is_in_recovery()");
                if is_standby.fetch_one(&mut *connection).await? {
                    return Err(sqlx::Error::Configuration(
                        "the server is a standby; name the primary".into(),
                    ));
                }
                schema::plan_once(connection).await
            })
        });
        let pool = pool.connect_lazy_with(address.options().application_name("loyalnest log reader"));
        let connections = Connections { address: address.clone(), pool };
        let (waiting, waited_for) = watch::channel(0);
        tokio::spawn(look_out(connections.clone(), ends.clone(), waited_for));
        Self { connections, ends, waiting }
    }

    /// Learns where every partition ends.
    pub(super) async fn load_ends(&self) -> Result<(), Fault> {
        self.connections.load_ends(&self.ends).await.map(drop)
    }

    async fn page(&self, partition: u16, after: Position, max_records: usize) -> Result<Fetched, Fault> {
        const ACTION: &str = "read the log";
        let from = statement::number(after.get()).map_err(|error| Fault::new(ACTION, error))?;
        let limit = i64::try_from(max_records).unwrap_or(i64::MAX).saturating_add(1);
        let bytes = i64::try_from(statement::PAGE_BYTES).unwrap_or(i64::MAX);
        let page =
            || sqlx::query(statement::PAGE).bind(i32::from(partition)).bind(from).bind(limit).bind(bytes);
        let rows = self.connections.rows(ACTION, page).await;
        let rows = rows.inspect_err(|fault| self.ends.heard(Asked::Read, Err(fault)))?;
        self.ends.heard(Asked::Read, Ok(()));
        statement::page(&rows, after, max_records).map_err(|error| Fault::new(ACTION, error))
    }
}

impl Connections {
    /// Asks again on another connection if one turns out to be broken, which a restarted server leaves many of. Reading
    /// twice does no harm.
    async fn rows<'q>(
        &self,
        action: &'static str,
        query: impl Fn() -> Query<'q, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Fault> {
        let failed = |error| match error {
            // The pool tries again until then, and does not say why it has to.
            sqlx::Error::PoolTimedOut => {
                let why = "is it down, a standby, or out of connections?";
                Fault::new(action, format!("{} let nobody in within {CONNECT_WITHIN:?}; {why}", self.address))
            }
            error => Fault::new(action, self.address.explain(error)),
        };
        let mut broken = 0;
        loop {
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            match timeout(READ_WITHIN, query().fetch_all(&mut *connection)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) if is_broken(&error) && broken < CONNECTIONS_MAX => {
                    connection.close_on_drop();
                    broken += 1;
                }
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => {
                    connection.close_on_drop();
                    return Err(Fault::new(action, format!("no answer within {READ_WITHIN:?}")));
                }
            }
        }
    }

    /// Whether there is news.
    async fn load_ends(&self, ends: &Ends) -> Result<bool, Fault> {
        const ACTION: &str = "find the ends of the log";
        let rows = self.rows(ACTION, || sqlx::query(statement::ENDS)).await?;
        let mut is_news = false;
        for row in &rows {
            let (partition, end) = statement::end(row).map_err(|error| Fault::new(ACTION, error))?;
            is_news |= end > ends.get(partition);
            ends.advance(partition, end);
        }
        Ok(is_news)
    }
}

/// Whether the connection failed and not what was asked, or the server is about to end it.
fn is_broken(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|said| said.code());
    matches!(error, sqlx::Error::Io(_)) || matches!(code.as_deref(), Some("57P01" | "57P02"))
}

/// Looks for what other processes wrote, on behalf of all readers that wait, and only while any does.
async fn look_out(connections: Connections, ends: Arc<Ends>, mut waiting: watch::Receiver<usize>) {
    let (mut pause, mut is_blind) = (PAUSE_MIN, false);
    while waiting.wait_for(|waiting| *waiting > 0).await.is_ok() {
        let looked = connections.load_ends(&ends).await;
        ends.heard(Asked::Read, looked.as_ref().map(drop).map_err(|fault| fault as &dyn std::fmt::Display));
        match looked {
            Ok(is_news) => {
                pause = if is_news { PAUSE_MIN } else { PAUSE_MAX.min(pause * 2) };
                is_blind = false;
            }
            Err(fault) => {
                if !is_blind {
                    tracing::warn!(
                        error = &fault as &dyn std::error::Error,
                        "Could not look for new records"
                    );
                }
                (pause, is_blind) = (PAUSE_OF_FAULT, true);
            }
        }
        sleep(pause).await;
    }
}

/// One reader's view of one partition.
pub(super) struct PostgresTail {
    reads: Arc<Reads>,
    end: watch::Receiver<Position>,
    partition: u16,
}

impl PostgresTail {
    pub(super) fn new(reads: Arc<Reads>, partition: u16) -> Self {
        let end = reads.ends.subscribe(partition);
        Self { reads, end, partition }
    }
}

#[async_trait]
impl Tail for PostgresTail {
    async fn fetch(&mut self, after: Position, max_records: usize) -> Result<Fetched, Fault> {
        self.reads.page(self.partition, after, max_records).await
    }

    async fn changed(&mut self, after: Position) -> Result<(), Fault> {
        let _waiting = Waiting::begin(&self.reads.waiting);
        wait_beyond(&mut self.end, after).await
    }
}

/// Somebody waits for as long as this lives.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}
