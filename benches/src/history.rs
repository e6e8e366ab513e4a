//! The long log that several measurements read: made once, by commands.
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use event_log::{AdmittedRecord, FETCH_RECORDS_MAX, Log};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{measure::Bench, owners::Owners};

/// Records of one account, as many as of a customer with ten orders.
pub(crate) const RECORDS_PER_ACCOUNT: usize = 10;

/// A closed installation with a long log.
pub(crate) struct History {
    folder: TempDir,
    /// How many commands made it.
    pub(crate) records: usize,
}

impl History {
    /// Makes it, as large as the bench wants it.
    pub(crate) async fn make(bench: &Bench) -> anyhow::Result<Self> {
        let history = Self { folder: bench.folder("history-")?, records: bench.size.records };
        let owners = Owners::create(history.folder(), history.accounts()).await?;
        owners.earn_everywhere(RECORDS_PER_ACCOUNT).await?;
        drop(owners);
        history.closed().await?;
        Ok(history)
    }

    /// Its data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How many accounts it has.
    pub(crate) fn accounts(&self) -> usize {
        self.records.div_ceil(RECORDS_PER_ACCOUNT)
    }

    /// The log, for reading.
    pub(crate) fn log(&self) -> anyhow::Result<Log> {
        Ok(event_log::sqlite::open_read_only(&self.file())?)
    }

    fn file(&self) -> PathBuf {
        self.folder().join("log.db")
    }

    /// Waits until nobody writes it any more.
    pub(crate) async fn closed(&self) -> anyhow::Result<()> {
        closed(&self.file()).await
    }
}

/// Waits until the owners have let go of a log, which they do a moment after the last handle.
pub(crate) async fn closed(log: &Path) -> anyhow::Result<()> {
    loop {
        match event_log::sqlite::open(log) {
            Err(event_log::Error::Locked { .. }) => sleep(Duration::from_millis(1)).await,
            opened => return Ok(opened.map(drop)?),
        }
    }
}

/// Reads a log from end to end in one pass, chains checked.
pub(crate) async fn read(
    log: &Log,
    mut record: impl FnMut(AdmittedRecord) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut sweeper = log.sweep(&[])?;
    loop {
        let records = sweeper.next(FETCH_RECORDS_MAX).await?.records;
        if records.is_empty() {
            return Ok(());
        }
        records.into_iter().try_for_each(&mut record)?;
    }
}
