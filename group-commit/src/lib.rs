//! Stores whose callers share durable commits: a SQLite file, or a schema of a Postgres, each behind one connection on one
//! thread.
//!
//! The log has a writer of its own, because its transaction also fences; this one serves the stores beside it.
mod error;
mod file;
mod group;
#[cfg(feature = "planted-bugs")]
mod planted;
#[cfg(feature = "postgres")]
pub mod postgres;
mod session;
#[cfg(feature = "simulated")]
pub mod simulated;
mod sqlite;
mod store;
mod value;

use std::thread;

pub use error::{Fault, StoreError};
pub use file::Database;
pub use session::{Cell, Cells, OnRow, Session};
pub use store::Store;
pub use value::{Value, ValueRef};

/// Blocks the thread until it is unparked, for who polls a call without a runtime. In a simulated world, where the
/// stores have no threads, it makes them do what they were asked for.
pub fn park() {
    #[cfg(feature = "simulated")]
    if simulated::work_now() {
        return;
    }
    thread::park();
}
