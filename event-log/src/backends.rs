//! The stores a log can stand on, one line each.

pub mod memory;
pub mod sqlite;
