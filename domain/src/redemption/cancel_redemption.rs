//! A completed redemption is undone: its code is to be made void, its points are to come back.
use event_schemas::{Code, redemption::RedemptionCancelled};
use serde::{Deserialize, Serialize};

use super::{Event, State, Status};
use crate::Rejection;

/// Undoes a completed redemption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelRedemption {
    /// Why.
    pub reason: Code,
}

pub(super) fn decide(state: &State, command: &CancelRedemption) -> Result<Vec<Event>, Rejection> {
    match state.known()? {
        Status::Completed => Ok(vec![RedemptionCancelled { reason: command.reason.clone() }.into()]),
        Status::Cancelled => Ok(Vec::new()),
        Status::Requested | Status::CodeIssued | Status::Failed => Err(Rejection::RedemptionNotCancellable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{redemption::specs::until, testing::given};

    fn cancel() -> CancelRedemption {
        CancelRedemption { reason: Code::fixed("requested") }
    }

    #[test]
    fn a_completed_redemption_is_cancelled_once() {
        let cancelled = RedemptionCancelled { reason: cancel().reason };
        given::<State>(until(Status::Completed)).when(cancel()).then([cancelled.into()]);
        given::<State>(until(Status::Cancelled)).when(cancel()).then_unchanged();
    }

    #[test]
    fn only_a_completed_redemption_can_be_cancelled() {
        for status in [Status::Requested, Status::CodeIssued, Status::Failed] {
            given::<State>(until(status)).when(cancel()).then_rejected(Rejection::RedemptionNotCancellable);
        }
        given::<State>([]).when(cancel()).then_rejected(Rejection::UnknownRedemption);
    }
}
