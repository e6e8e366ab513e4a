//! The read API against a real log, key store and read store.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]
mod audit;
mod balance;
mod freshness;
mod health;
mod live;
mod orders;
mod points;
mod privacy;
mod redemptions;
mod shop;
mod statement;
mod users;
