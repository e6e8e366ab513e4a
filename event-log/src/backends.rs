//! The stores a log can stand on, one line each.

pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod sqlite;
