//! Reads over HTTP: balances, statements, orders, customers, settings, the audit log, the live feed, health. Never
//! appends to the log.
mod answers;
mod attempt;
mod deadlines;
mod documented;
mod failure;
mod fresh;
mod live;
mod opened;
mod probe;
mod routes;
mod state;

pub use deadlines::{Ages, Deadlines};
pub use live::Live;
pub use probe::Probe;
pub use routes::{document, routers};
pub use state::Reads;
