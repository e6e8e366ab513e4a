//! After the log lost records: which snapshots say what it does not, and how they go.
use event_log::Checkpoint;

use super::snapshots::{SnapshotError, Snapshots};

impl Snapshots {
    /// Where the snapshots of each partition were taken that has some.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub async fn remembered(&self, partitions: u16) -> Result<Vec<Checkpoint>, SnapshotError> {
        let mut remembered = Vec::new();
        for partition in 0..partitions {
            let cover = self.of(partition).cover().await?;
            remembered.extend(cover.map(|cover| cover.covering.checkpoint));
        }
        Ok(remembered)
    }

    /// Drops a partition's snapshots; its owner reads the log from the beginning.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub async fn forget(&self, partition: u16) -> Result<(), SnapshotError> {
        self.of(partition).clear().await
    }
}
