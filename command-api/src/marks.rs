//! How far what is done now and then has come: one number each, kept with the work.
use group_commit::{Session, StoreError, values};

/// The mark of this name; 0 if there is none.
pub(crate) fn get(work: &dyn Session, name: &str) -> Result<i64, StoreError> {
    const GET: &str = "SELECT value FROM mark WHERE name = ?1";
    Ok(work.first(GET, values![name], |row| row.at(0))?.unwrap_or_default())
}

/// Puts it there.
pub(crate) fn set(work: &dyn Session, name: &str, value: i64) -> Result<(), StoreError> {
    const SET: &str = "INSERT INTO mark(name, value) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = excluded.value";
    work.execute(SET, values![name, value]).map(drop)
}
