//! The epochs of keys, as time passes: one under which somebody was erased is closed after a day, and destroyed a week
//! after that. Then no copy of the key store from before opens anything of them.
use std::sync::PoisonError;

use event_schemas::Timestamp;

use super::{Process, certificates::after, setback::Cause};
use crate::planted;

/// A rotation that left damaged keys behind, which keep their epoch from its end, is tried again after so long.
const AGAIN_AFTER_US: i64 = 3_600 * 1_000_000;

impl Process {
    /// Closes and destroys what is due. It may be done by several nodes at once.
    pub(super) async fn turn_epochs(&self, now: Timestamp) -> Result<(), Cause> {
        let keys = &self.parts.keys;
        keys.correct_epochs(now).await?;
        let open = keys.epochs().await?.into_iter().find(|epoch| epoch.closed_at.is_none());
        let is_over = |open: Timestamp| after(open, self.periods.rotate) <= now;
        if let Some(open) = open.filter(|epoch| epoch.shreds > 0 && is_over(epoch.opened_at))
            && self.rotate(now).await?
        {
            tracing::info!(epoch = open.number, "Epoch {} of the keys is closed", open.number);
        }
        let closed_before = after(now, -self.periods.keep_epochs);
        let is_due = |closed: Timestamp| closed < closed_before;
        self.destroy_epochs(closed_before, now).await?;
        let left = keys.epochs().await?;
        if left.iter().any(|epoch| epoch.destroyed_at.is_none() && epoch.closed_at.is_some_and(is_due)) {
            // A rotation was interrupted, so that something still hangs under it.
            if self.rotate(now).await? {
                self.destroy_epochs(closed_before, now).await?;
            }
        }
        Ok(())
    }

    /// Whether it did.
    async fn rotate(&self, now: Timestamp) -> Result<bool, Cause> {
        let left_damaged = *self.left_damaged.lock().unwrap_or_else(PoisonError::into_inner);
        // One in the future was of a clock that was ahead.
        let since = |then: Timestamp| now.micros().saturating_sub(then.micros());
        if left_damaged.is_some_and(|then| (0..AGAIN_AFTER_US).contains(&since(then))) {
            return Ok(false);
        }
        planted::erasure_at("rotate").await;
        let rotated = self.parts.keys.rotate(now).await?;
        planted::erasure_past("rotate").await;
        let left_damaged = (rotated.damaged > 0).then_some(now);
        *self.left_damaged.lock().unwrap_or_else(PoisonError::into_inner) = left_damaged;
        if rotated.damaged > 0 {
            tracing::error!(
                keys = rotated.damaged,
                "ALARM: {} keys are damaged; the epoch that they hang under stays",
                rotated.damaged
            );
        }
        Ok(true)
    }

    async fn destroy_epochs(&self, closed_before: Timestamp, now: Timestamp) -> Result<(), Cause> {
        for epoch in self.parts.keys.destroy_epochs(closed_before, now).await? {
            planted::erasure_past("epochs").await;
            tracing::info!(epoch, "Epoch {epoch} of the keys is destroyed");
        }
        Ok(())
    }

    /// Looks again which epochs there are, and lets those go on that waited for the end of one.
    pub(super) async fn note_epochs(&self) -> Result<(), Cause> {
        let epochs = self.parts.keys.epochs().await?;
        let gone = epochs.iter().take_while(|epoch| epoch.destroyed_at.is_some()).last();
        let gone = gone.map_or(0, |epoch| epoch.number);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, epoch| *epoch > gone);
        *self.epochs.lock().unwrap_or_else(PoisonError::into_inner) = epochs;
        Ok(())
    }

    /// When the last epoch up to this one was destroyed; none while one of them is there.
    pub(super) fn epoch_gone(&self, number: u32) -> Option<Timestamp> {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        for epoch in epochs.iter().filter(|epoch| epoch.number <= number) {
            last = last.max(Some(epoch.destroyed_at?));
        }
        last
    }
}
