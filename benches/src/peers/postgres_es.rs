//! cqrs-es on postgres-es: the same rules and the same command, with the framework's own store and conflict retry.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::bail;
use cqrs_es::{Aggregate, AggregateError, DomainEvent, event_sink::EventSink};
use domain::{
    Decider, Rejection,
    points_account::{Command, State},
};
use event_schemas::{
    catalogue::PointsAccountEvent,
    points_account::{PointsAccountOpened, PointsEarned},
};
use postgres_es::{PostgresCqrs, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;

use crate::owners::{account, earn};

/// The table as postgres-es ships it.
const SCHEMA: &str = "DROP TABLE IF EXISTS events; CREATE TABLE events (
    aggregate_type text NOT NULL, aggregate_id text NOT NULL, sequence bigint CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL, event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence))";
/// Connections: so many that the server shares its syncs among them too.
const CONNECTIONS: u32 = 32;
/// Tries of one command that always meets another one.
const TRIES_MAX: usize = 100;

/// Removes a log of ours that an earlier run left.
pub(crate) async fn clear(url: &str) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
    sqlx::raw_sql("DROP SCHEMA IF EXISTS loyalnest_log CASCADE").execute(&pool).await?;
    Ok(())
}

/// The framework over a table of its own; cheap to clone.
#[derive(Clone)]
pub(crate) struct PostgresEs {
    framework: Arc<PostgresCqrs<Account>>,
    accounts: usize,
    turn: Arc<AtomicUsize>,
}

impl PostgresEs {
    /// Connects and makes an empty table.
    pub(crate) async fn connect(url: &str, accounts: usize) -> anyhow::Result<Self> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).min_connections(CONNECTIONS);
        let pool = pool.acquire_timeout(Duration::from_secs(30)).connect(url).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        let framework = Arc::new(postgres_cqrs::<Account>(pool, Vec::new(), ()));
        Ok(Self { framework, accounts, turn: Arc::default() })
    }

    /// The next account in turn earns points; durable when it returns.
    pub(crate) async fn earn(self) -> anyhow::Result<()> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (_, customer) = account(turn % self.accounts);
        let (id, command) = (customer.to_string(), earn());
        for _ in 0..TRIES_MAX {
            match self.framework.execute(&id, command.clone().into()).await {
                Err(AggregateError::AggregateConflict) => {}
                executed => return Ok(executed?),
            }
        }
        bail!("a command met another one {TRIES_MAX} times")
    }
}

/// Our account as the framework's aggregate.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Account(State);

impl Aggregate for Account {
    const TYPE: &'static str = "points-account";
    type Command = Command;
    type Event = Happened;
    type Error = Refused;
    type Services = ();

    async fn handle(&mut self, command: Command, (): &(), sink: &EventSink<Self>) -> Result<(), Refused> {
        for event in self.0.decide(&command).map_err(Refused)? {
            match event {
                PointsAccountEvent::PointsAccountOpened(opened) => {
                    sink.write(Happened::Opened(opened), self).await;
                }
                PointsAccountEvent::PointsEarned(earned) => sink.write(Happened::Earned(earned), self).await,
                _ => return Err(Refused(Rejection::WrongStream)),
            }
        }
        Ok(())
    }

    fn apply(&mut self, event: Happened) {
        self.0.evolve(&match event {
            Happened::Opened(opened) => opened.into(),
            Happened::Earned(earned) => earned.into(),
        });
    }
}

/// The rules said no.
#[derive(Debug, thiserror::Error)]
#[error("the command was refused: {}", .0.code())]
pub(crate) struct Refused(Rejection);

/// The events that an award brings about, written as serde derives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Happened {
    Opened(PointsAccountOpened),
    Earned(PointsEarned),
}

impl DomainEvent for Happened {
    fn event_type(&self) -> String {
        match self {
            Self::Opened(_) => "points-account-opened".to_owned(),
            Self::Earned(_) => "points-earned".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}
