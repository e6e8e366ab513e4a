//! The write and the read side in a world that follows from one seed: time, disk, delays, doubt, fencing, crashes.
//!
//! Real code throughout: routes, door, inbox, owners, policies, projections. Simulated are the log (in memory, behind
//! faults), the SQLite files (in memory, behind faults), the clock, randomness and the crash, which drops everything and
//! keeps what was durable. The same seed gives the same run, line by line.
#![expect(clippy::unwrap_used, reason = "a simulation that cannot go on is a test that failed")]
mod check;
mod clients;
mod journal;
mod shopify;
mod slots;
mod system;
mod world;

pub use world::{Run, run};
