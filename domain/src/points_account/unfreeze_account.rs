//! Staff let a frozen account go on.
use event_schemas::{Code, points_account::PointsAccountUnfrozen};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, State};
use crate::Rejection;

/// Ends the freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnfreezeAccount {
    /// Why.
    pub reason: Code,
}

pub(super) fn decide(state: &State, command: &UnfreezeAccount) -> Result<Vec<Event>, Rejection> {
    if !state.frozen() {
        return Ok(Vec::new());
    }
    Ok(Draft::of(state).with(PointsAccountUnfrozen { reason: command.reason.clone() }))
}
