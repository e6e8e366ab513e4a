//! What an erasure needs of parts that this crate does not see: read models, and whoever witnesses the log.
use std::{collections::BTreeMap, error::Error, sync::Arc};

use async_trait::async_trait;
use chrono::TimeDelta;
use event_log::Position;
use event_schemas::{Code, MerchantId};
use privacy::Whom;

/// A fault of a port, with its cause.
pub type PortError = Box<dyn Error + Send + Sync>;

/// Whoever remembers outside the installation how long the log was.
#[async_trait]
pub trait Witness: Send + Sync {
    /// Notes where the log stands; durable when it returns.
    ///
    /// # Errors
    /// It could not be noted: nothing is certified until it can.
    async fn witness(&self) -> Result<(), PortError>;
}

/// The read models, wherever they are kept and whoever folds them.
#[async_trait]
pub trait ReadModels: Send + Sync {
    /// Per partition, the position up to which every read model is. What is missing is at the start.
    ///
    /// # Errors
    /// They cannot be asked now.
    async fn reached(&self) -> Result<BTreeMap<u16, Position>, PortError>;

    /// Makes sure that nothing of these people is left, once all read models have heard that they are erased; how many
    /// rows each store had.
    ///
    /// # Errors
    /// They cannot be asked now, or something is left.
    async fn purge(&self, merchant: MerchantId, whom: &Whom) -> Result<BTreeMap<Code, u64>, PortError>;
}

/// The parts outside; without one, there is nothing to wait for.
#[derive(Clone, Default)]
pub struct Ports {
    /// Told before anything is certified.
    pub witness: Option<Arc<dyn Witness>>,
    /// Emptied before anything is certified.
    pub read_models: Option<Arc<dyn ReadModels>>,
}

/// How long what is closed may still be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// An epoch under which somebody was erased is closed when it is this old.
    pub rotate: TimeDelta,
    /// A closed epoch is destroyed after this time.
    pub keep_epochs: TimeDelta,
}

impl Default for Periods {
    /// A day, and seven.
    fn default() -> Self {
        Self { rotate: TimeDelta::days(1), keep_epochs: TimeDelta::days(7) }
    }
}
