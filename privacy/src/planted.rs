//! Faults that only the tests switch on; refused in a release build.
//!
//! `LOYALNEST_PLANTED_BUG=<bug>`: a mistake of this crate, such as `cache-not-evicted`.
//! `LOYALNEST_ABORT=<place>`: the process ends there, as in a power cut.
//! `LOYALNEST_HOLD=<place>@<file>[,<place>@<file>…]`: whoever comes to the place first writes the file, and goes on once
//! somebody has removed it. So a test is sure that something else happens meanwhile.
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

#[cfg(not(debug_assertions))]
compile_error!("planted-bugs must never be part of a release build");

const LOOK_EVERY: Duration = Duration::from_millis(5);

static PLANTED: LazyLock<String> =
    LazyLock::new(|| std::env::var("LOYALNEST_PLANTED_BUG").unwrap_or_default());

/// Where somebody is to wait, until one has been there.
static HELD: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(|| {
    let given = std::env::var("LOYALNEST_HOLD").unwrap_or_default();
    let places = given.split(',').filter_map(|held| held.split_once('@'));
    Mutex::new(places.map(|(place, file)| (place.to_owned(), file.into())).collect())
});

/// Whether this is the bug of this process.
pub(crate) fn is(bug: &str) -> bool {
    PLANTED.split(',').any(|planted| planted == bug)
}

/// Ends the process here if this is the place.
pub fn abort_at(place: &str) {
    if std::env::var("LOYALNEST_ABORT").is_ok_and(|named| named == place) {
        std::process::abort();
    }
}

/// Waits here if this is a place to wait at.
pub async fn hold_at(place: &str) {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).remove(place);
    if let Some(file) = held
        && fs::write(&file, place).is_ok()
    {
        while Path::exists(&file) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
