//! What the routes need, handed in by whoever wires the process.
use std::sync::Arc;

use event_log::Log;
use event_schemas::Timestamp;
use http_edge::{Auth, WithAuth};
use privacy::KeyStore;
use projections::{Progress, ReadStore};

use crate::{Live, Probe};

/// The state of all routes.
pub struct Reads {
    /// The log whose read models are served; only asked how far it is.
    pub log: Log,
    /// The read models.
    pub store: ReadStore,
    /// How far they are.
    pub progress: Progress,
    /// Opens sealed fields and finds ids by outside references.
    pub keys: KeyStore,
    /// Verifies tokens.
    pub auth: Arc<dyn Auth>,
    /// The consumers of the live feed.
    pub live: Live,
    /// The process's clock, for the time that an answer speaks of.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Whether questions are asked here, and not only what a process can be asked about itself.
    pub asked: bool,
    /// Everything else that health depends on.
    pub probes: Vec<Arc<dyn Probe>>,
    /// The metrics page in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl WithAuth for Reads {
    fn auth(&self) -> &dyn Auth {
        &*self.auth
    }
}
