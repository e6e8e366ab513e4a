//! Faults that only the tests switch on, by `LOYALNEST_PLANTED_BUG`; refused in a release build.
use std::sync::LazyLock;

#[cfg(not(debug_assertions))]
compile_error!("planted-bugs must never be part of a release build");

static PLANTED: LazyLock<String> =
    LazyLock::new(|| std::env::var("LOYALNEST_PLANTED_BUG").unwrap_or_default());

/// Whether this is the bug of this process.
pub(crate) fn is(bug: &str) -> bool {
    *PLANTED == bug
}
