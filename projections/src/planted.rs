//! A fault that a simulation switches on: rows and checkpoint in two transactions.

/// Whether checkpoints are committed apart from their rows: only in a simulated world that has this bug.
#[cfg(feature = "simulated")]
pub(crate) fn commits_checkpoints_apart() -> bool {
    seeded::is_planted("checkpoint-apart")
}

/// Never, in an honest build.
#[cfg(not(feature = "simulated"))]
pub(crate) const fn commits_checkpoints_apart() -> bool {
    false
}
