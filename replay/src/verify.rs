//! Verifies a log from its first record on, offline or beside a running server, and says what it checked.
//!
//! What is found: any record that was deleted, swapped, edited, moved or cut off, as far as the log itself or a read
//! model still remembers it; any answer that the rules of the ledger cannot have given; read models that are not what
//! the log gives. A suffix that was cut off with care and that nothing remembers only a witness outside can show.
mod between;
mod claims;
mod erasures;
mod history;
mod key_count;
mod ledger;
mod losses;
mod read_models;
mod report;

use std::{fmt, path::PathBuf, sync::Arc};

use event_log::{Checkpoint, Log};
use projections::{ReadAddress, Served, ServedState};

use self::history::{History, Stop, is_damage};
pub use self::report::{Check, Checked, Counted, Fault, Outcome, Report, Verdict};
use crate::{about, progress::Progress};

/// The files to verify. Only the log must be there.
#[derive(Clone, Debug)]
pub struct Files {
    /// All history.
    pub log: PathBuf,
    /// The key store, whose count of inserts the records saw.
    pub keys: KeysAt,
    /// The read models, which remember the log and are compared with it.
    pub reads: ReadAddress,
}

/// Where a key store is.
#[derive(Clone)]
pub enum KeysAt {
    /// A file.
    File(PathBuf),
    /// Elsewhere.
    Asked(Arc<AskKeys>),
}

/// Says how many rows a key store has written and the id of its log, or why it does not. May block.
pub type AskKeys = dyn Fn() -> Result<(u64, Vec<u8>), String> + Send + Sync;

impl From<PathBuf> for KeysAt {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Debug for KeysAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Asked(_) => f.write_str("asked"),
        }
    }
}

/// The log could not be verified; that says nothing about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log could not be opened or read.
    #[error("the log could not be read")]
    Log(#[from] event_log::Error),
    /// The read models could not be folded afresh.
    #[error("the read models could not be folded afresh")]
    ReadModels(#[from] projections::Error),
    /// There was no place to fold them.
    #[error("there is no room for a temporary read store")]
    Temporary(#[from] std::io::Error),
}

/// Verifies all there is. A fault is a finding in the report, not an error.
///
/// # Errors
/// What kept it from looking.
pub async fn verify(files: &Files, progress: &mut Progress) -> Result<Report, Error> {
    let log = match event_log::sqlite::open_read_only(&files.log) {
        Ok(log) => log,
        Err(error) if is_damage(&error) => return Ok(unreadable(&error)),
        Err(error) => return Err(error.into()),
    };
    verify_log(&log, files, progress).await
}

/// The same of a log that is open, wherever it is.
///
/// # Errors
/// What kept it from looking.
pub async fn verify_log(log: &Log, files: &Files, progress: &mut Progress) -> Result<Report, Error> {
    let mut report = Report::new(Some(log));
    // Before the log is read: whatever the read models stand on is in it by then.
    let served = read_models::look(files, log, &mut report).await;
    let mut history = History::new();
    let read = read_history(log, &served, &mut history, progress).await;
    report.counted = history.counted();
    report.notes.extend_from_slice(history.notes());
    match read {
        Ok(()) => {
            let remembered = served.iter().any(|served| matches!(served.state, ServedState::Table { .. }));
            report.history_passed(remembered);
        }
        Err(Stop::Fault(fault)) => {
            report.found(fault);
            return Ok(report);
        }
        Err(Stop::Error(error)) => return Err(error),
    }
    // After the log was read: a running server has counted whatever its records saw.
    key_count::check(&files.keys, log, &history, &mut report);
    if report.fault.is_none() {
        read_models::compare(log, &served, &history, &mut report, progress).await?;
    }
    Ok(report)
}

/// The file is there, but not even its first pages can be read.
fn unreadable(error: &event_log::Error) -> Report {
    let mut report = Report::new(None);
    let reason = format!("the file is damaged: {}", chain(error));
    report.found(Fault { check: Check::Chain, partition: None, position: None, reason });
    report
}

async fn read_history(
    log: &Log,
    served: &[Served],
    history: &mut History,
    progress: &mut Progress,
) -> Result<(), Stop> {
    progress.begin("reading the log", about(log));
    let remembered =
        |partition| served.iter().filter_map(move |served| served.checkpoint(partition).copied());
    let remembered: Vec<Vec<Checkpoint>> =
        (0..log.partitions()).map(|partition| remembered(partition).collect()).collect();
    history.read(log, &remembered, progress).await?;
    history.close()?;
    progress.end();
    Ok(())
}

/// The error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
