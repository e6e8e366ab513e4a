//! Reads over HTTP: balances, statements, orders, customers, settings, redemptions, health. Never appends to the log.
mod answers;
mod failure;
mod fresh;
mod opened;
mod probe;
mod routes;
mod state;

pub use probe::Probe;
pub use routes::{document, router};
pub use state::Reads;
