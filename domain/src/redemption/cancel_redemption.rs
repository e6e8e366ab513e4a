//! A completed redemption is undone: its code is to be made void, its points are to come back.
use event_schemas::{Code, redemption::RedemptionCancelled};
use serde::{Deserialize, Serialize};

use super::{Event, State, Status};
use crate::Rejection;

/// Undoes a completed redemption whose code nobody used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelRedemption {
    /// Why.
    pub reason: Code,
    /// Whether an order used the code, as its issuer says.
    pub code_used: bool,
}

/// Why a redemption whose discount was had is not undone.
const CODE_USED: &str = "code-used";

pub(super) fn decide(state: &State, command: &CancelRedemption) -> Result<Vec<Event>, Rejection> {
    let not = |reason| Err(Rejection::RedemptionNotCancellable { reason: Some(Code::fixed(reason)) });
    match state.known()? {
        Status::Completed if command.code_used => not(CODE_USED),
        Status::Completed => Ok(vec![RedemptionCancelled { reason: command.reason.clone() }.into()]),
        Status::Cancelled => Ok(Vec::new()),
        other => not(other.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{redemption::specs::until, testing::given};

    fn cancel() -> CancelRedemption {
        CancelRedemption { reason: Code::fixed("requested"), code_used: false }
    }

    #[test]
    fn a_completed_redemption_is_cancelled_once() {
        let cancelled = RedemptionCancelled { reason: cancel().reason };
        given::<State>(until(Status::Completed)).when(cancel()).then([cancelled.into()]);
        given::<State>(until(Status::Cancelled)).when(cancel()).then_unchanged();
    }

    #[test]
    fn only_a_completed_redemption_can_be_cancelled() {
        for status in [Status::Requested, Status::CodeIssued, Status::Failed, Status::Expired] {
            let reason = Some(Code::fixed(status.as_str()));
            let not = Rejection::RedemptionNotCancellable { reason };
            given::<State>(until(status)).when(cancel()).then_rejected(not);
        }
        given::<State>([]).when(cancel()).then_rejected(Rejection::UnknownRedemption);
    }

    #[test]
    fn a_redemption_whose_code_was_used_stays() {
        let used = CancelRedemption { code_used: true, ..cancel() };
        let not = Rejection::RedemptionNotCancellable { reason: Some(Code::fixed("code-used")) };
        given::<State>(until(Status::Completed)).when(used.clone()).then_rejected(not);
        given::<State>(until(Status::Cancelled)).when(used).then_unchanged();
    }
}
