//! What tests of whole nodes switch on in their log; refused in a release build.
//!
//! `LOYALNEST_DEAF=<file>`: no owner reads back what it wrote, as long as the file is there.
//! `LOYALNEST_HOLD=log-stores:<text>@<file>`: who is about to store a record with this text in it on a Postgres writes
//! the file, and goes on once somebody has removed it; `log-doubts:<text>@<file>`: so does who could not store one. Each
//! happens once among all processes that are told the same.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use tokio::time::sleep;

const LOOK_EVERY: Duration = Duration::from_millis(5);

static DEAF: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("LOYALNEST_DEAF").map(PathBuf::from));

/// Waits as long as the file is there.
pub(crate) async fn deaf() {
    if let Some(file) = &*DEAF {
        while_there(file).await;
    }
}

async fn while_there(file: &Path) {
    while file.exists() {
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(feature = "postgres")]
pub(crate) use holding::hold_at;

#[cfg(feature = "postgres")]
mod holding {
    use std::sync::{Mutex, PoisonError};

    use super::{LazyLock, PathBuf, fs, while_there};

    struct Held {
        place: String,
        text: String,
        file: PathBuf,
    }

    static HELD: LazyLock<Mutex<Vec<Held>>> = LazyLock::new(|| {
        let given = std::env::var("LOYALNEST_HOLD").unwrap_or_default();
        let held = |held: &str| {
            let (place, file) = held.split_once('@')?;
            let (place, text) = place.split_once(':')?;
            Some(Held { place: place.to_owned(), text: text.to_owned(), file: file.into() })
        };
        Mutex::new(given.split(',').filter_map(held).collect())
    });

    /// Waits here if this is a place to wait at for one of these records.
    pub(crate) async fn hold_at<'a>(place: &str, records: impl Iterator<Item = &'a [u8]> + Clone) {
        let Some(file) = taken(place, &records) else { return };
        let past = file.with_extension("past");
        if !past.exists() && fs::write(&file, place).is_ok() {
            while_there(&file).await;
            drop(fs::write(&past, ""));
        }
    }

    fn taken<'a>(place: &str, records: &(impl Iterator<Item = &'a [u8]> + Clone)) -> Option<PathBuf> {
        let mut all = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let is_held = |Held { place: at, text, .. }: &Held| {
            let has_text = |record: &[u8]| record.windows(text.len()).any(|part| part == text.as_bytes());
            at == place && records.clone().any(has_text)
        };
        all.iter().position(is_held).map(|at| all.remove(at).file)
    }
}
