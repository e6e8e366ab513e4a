//! A store that never syncs: `LOYALNEST_PLANTED_BUG=synchronous-off:NAME` for the file `NAME.db`.
use std::path::Path;

use rusqlite::Connection;

#[cfg(not(debug_assertions))]
compile_error!("planted-bugs must never be part of a release build");

/// Takes the file's durability away, if this is the planted bug.
pub(crate) fn forget_to_sync(path: &Path, connection: &Connection) -> rusqlite::Result<()> {
    let store = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let planted = std::env::var("LOYALNEST_PLANTED_BUG").unwrap_or_default();
    match planted.strip_prefix("synchronous-off:") {
        Some(name) if name == store => connection.execute_batch("PRAGMA synchronous=OFF"),
        _ => Ok(()),
    }
}
