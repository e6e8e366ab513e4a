//! The same promises where the store is in a Postgres, and what only holds where several processes share it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]
#[path = "main.rs"]
mod promises;
#[path = "shared.rs"]
mod shared;
