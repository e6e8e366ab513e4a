//! The projections against real logs and a real read store.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]
mod audit;
mod coverage;
mod erasure;
mod ledger;
#[cfg(feature = "postgres")]
mod on_postgres;
mod parked;
mod rebuild;
mod running;
mod shelf;
mod statement;
mod story;
mod transaction;
