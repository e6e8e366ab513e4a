//! Follows a partition that another node owns, so that whoever takes it over has little to read.
use std::time::Duration;

use event_log::{Log, Position};
use tokio::time::sleep;

use super::{Keeping, StartError, catch_up::Following, is_final};
use crate::nodes::{self, Proposed};

/// After a failure that may pass.
const PAUSE: Duration = Duration::from_millis(500);

/// Where the stand-by is.
pub(super) enum StandBy {
    /// This node does not stand by.
    Never,
    /// It begins now.
    Due,
    /// It begins again after a pause.
    Failed,
    Following(Box<Following>),
}

impl StandBy {
    pub(super) fn new(stands_by: bool, read: Option<Following>) -> Self {
        match read {
            Some(read) => Self::Following(Box::new(read)),
            None if stands_by => Self::Due,
            None => Self::Never,
        }
    }

    /// Returns when there may be something to do; never if it does not stand by. Loses nothing if dropped.
    pub(super) async fn changed(&mut self) {
        match self {
            Self::Never => std::future::pending().await,
            Self::Due => {}
            Self::Failed => sleep(PAUSE).await,
            // A failure shows again when it is read.
            Self::Following(following) => drop(following.changed().await),
        }
    }

    /// Takes in what there is, unless the partition is proposed meanwhile.
    ///
    /// # Errors
    /// What is wrong for good: the history is not the one that was seen before.
    pub(super) async fn step(
        &mut self,
        log: &Log,
        number: u16,
        keeping: Option<&Keeping>,
        proposed: &Proposed,
    ) -> Result<(), StartError> {
        let done = match self {
            Self::Never => Ok(()),
            Self::Due | Self::Failed => {
                Following::begin(log, number, keeping, false).await.map(|following| {
                    *self = Self::Following(Box::new(following));
                })
            }
            Self::Following(following) => follow(following, number, proposed).await,
        };
        match done {
            Err(error) if is_final(&error) => Err(error),
            Err(error) => {
                tracing::warn!(
                    partition = number,
                    error = &error as &dyn std::error::Error,
                    "Partition {number} could not be followed; trying again"
                );
                *self = Self::Failed;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Up to where it has read.
    pub(super) fn followed(&self) -> Position {
        match self {
            Self::Following(following) => following.position(),
            Self::Never | Self::Due | Self::Failed => Position::START,
        }
    }

    /// What a claim goes on from.
    pub(super) fn end(self) -> Option<Following> {
        let Self::Following(mut following) = self else { return None };
        following.count_anew();
        Some(*following)
    }
}

async fn follow(following: &mut Following, number: u16, proposed: &Proposed) -> Result<(), StartError> {
    while following.advance().await? {
        if nodes::is_proposed(Some(proposed), number) {
            return Ok(());
        }
    }
    following.save_if_due().await
}
