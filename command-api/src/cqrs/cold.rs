//! Single aggregates of a log in Postgres, loaded through the framework's own repository over the view `events`: one
//! question to the database, whatever else is in the partition.
use std::error::Error;

use cqrs_es::{
    DomainEvent as _,
    persist::{EventUpcaster, PersistenceError, SerializedEvent},
};
use domain::{Aggregate, StreamRef};
use event_log::postgres::Address;
use event_schemas::{EVENTS, MerchantId};
use postgres_es::PostgresEventRepository;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::Recorded;
use crate::owner::StreamKey;

/// The log's view; there is no table of snapshots, and nothing is asked of it.
const TABLES: [&str; 2] = ["loyalnest_log.events", "loyalnest_log.snapshots"];

/// An aggregate as its events give it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cold {
    /// Its state.
    pub aggregate: Aggregate,
    /// How many events it has.
    pub version: u64,
}

/// An aggregate could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ColdError {
    /// The database could not be asked.
    #[error("the events could not be read")]
    Read(#[from] PersistenceError),
    /// The view does not show all of its events, as of records that were written without being shown.
    #[error("event {expected} of {aggregate} is not shown")]
    Gap {
        /// Which.
        aggregate: String,
        /// The first one that is missing.
        expected: u64,
    },
    /// The events are not those of such an aggregate.
    #[error("the events cannot be those of {aggregate}")]
    Unfit {
        /// Which.
        aggregate: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Loads aggregates one by one; cheap to clone.
#[derive(Clone)]
pub struct ColdAggregates {
    pool: PgPool,
}

impl ColdAggregates {
    /// Connects when something is asked for.
    #[must_use]
    pub fn new(address: &Address) -> Self {
        Self { pool: PgPool::connect_lazy_with(address.options().application_name("loyalnest aggregates")) }
    }

    /// The aggregate as of all that is committed; version 0 if there is none.
    ///
    /// # Errors
    /// [`ColdError`].
    pub async fn load(&self, merchant: MerchantId, stream: StreamRef) -> Result<Cold, ColdError> {
        let key = StreamKey::new(merchant, stream);
        let name = key.to_string();
        let mut cold = Cold { aggregate: Aggregate::new(key.stream_type), version: 0 };
        for event in super::serialized(&self.repository(), key.stream_type, &name).await? {
            let expected = cold.version + 1;
            if u64::try_from(event.sequence) != Ok(expected) {
                return Err(ColdError::Gap { aggregate: name, expected });
            }
            let unfit = |source| ColdError::Unfit { aggregate: name.clone(), source };
            let recorded: Recorded =
                serde_json::from_value(Shown.upcast(event).payload).map_err(|error| unfit(error.into()))?;
            let Recorded::Event(event) = recorded else {
                return Err(unfit(format!("{} is no event", recorded.event_type()).into()));
            };
            cold.aggregate.evolve(&event).map_err(|error| unfit(error.into()))?;
            cold.version = expected;
        }
        Ok(cold)
    }

    fn repository(&self) -> PostgresEventRepository {
        let [events, snapshots] = TABLES;
        PostgresEventRepository::new(self.pool.clone()).with_tables(events, snapshots)
    }
}

/// Turns an event as the view shows it, named by its payload's one key, into ours; older versions are lifted on the way.
pub(crate) struct Shown;

impl EventUpcaster for Shown {
    fn can_upcast(&self, event_type: &str, _: &str) -> bool {
        EVENTS.iter().any(|kind| kind.name == event_type)
    }

    fn upcast(&self, mut event: SerializedEvent) -> SerializedEvent {
        let number = EVENTS.iter().find(|kind| kind.name == event.event_type).map(|kind| kind.number);
        let version = event.event_version.parse::<u16>().ok();
        let data = event.payload.get(&event.event_type).map(Value::to_string);
        // What does not fit becomes a payload that cannot be read.
        event.payload = json!({"Event": {"number": number, "version": version, "json": data}});
        event
    }
}

#[cfg(test)]
mod tests;
