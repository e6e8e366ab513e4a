//! The write side: the webhook door and its workers, commands over HTTP, the owners of the log's partitions, policies.
mod actions;
pub mod app;
pub mod chance;
mod clock;
mod columns;
pub mod commands;
mod cqrs;
pub mod erasure;
mod exports;
pub mod idempotency;
pub mod issuer;
pub mod loss;
mod marks;
pub mod nodes;
pub mod owner;
mod planted;
pub mod policies;
pub mod problem;
mod requests;
pub mod routes;
pub mod schedule;
pub mod shops;
#[cfg(test)]
mod testing;
mod upkeep;
pub mod webhooks;
pub mod work;

pub use app::App;
pub use clock::{Clock, WrongClock};
pub use columns::RecordColumns;
pub use commands::{Answered, Commander, Envelope, Lane, Made, Origin, Outcome, Unavailable};
#[cfg(feature = "postgres")]
pub use cqrs::cold::{Cold, ColdAggregates, ColdError};
pub use owner::{DueQuery, DueStream};
pub use routes::{command_router, delivery_router, document, router};
pub use shops::Shops;
pub use upkeep::Upkeep;
