//! A place at which a process waits until it is let go on, so that something else surely happens meanwhile.
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{Folder, PATIENCE};

/// The place, as `planted.rs` of `privacy`, `command-api`, `projections` and `event-log` name it; once for each process, but
/// once among all of them where the log stores or doubts.
pub(crate) struct Hold {
    place: &'static str,
    file: PathBuf,
}

impl Hold {
    pub(crate) fn at(folder: &Folder, place: &'static str) -> Self {
        Self { place, file: folder.root().join(format!("held-{}", place.replace(':', "-"))) }
    }

    /// What the process is told.
    pub(crate) fn setting(&self) -> String {
        format!("{}@{}", self.place, self.file.display())
    }

    /// Waits until the process stands at the place.
    pub(crate) async fn reached(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.file.exists() {
            assert!(Instant::now() < deadline, "nobody came to {}", self.place);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets it go on; it stood there until now.
    pub(crate) fn release(&self) {
        std::fs::remove_file(&self.file).unwrap();
    }
}
