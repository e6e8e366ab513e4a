//! No code could be issued; the reservation is to be released.
use event_schemas::{Code, redemption::RedemptionFailed};
use serde::{Deserialize, Serialize};

use super::{Event, State, Status};
use crate::Rejection;

/// Ends a redemption without a code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailRedemption {
    /// Why.
    pub reason: Code,
}

pub(super) fn decide(state: &State, command: &FailRedemption) -> Result<Vec<Event>, Rejection> {
    match state.known()? {
        Status::Requested => Ok(vec![RedemptionFailed { reason: command.reason.clone() }.into()]),
        Status::Failed => Ok(Vec::new()),
        Status::CodeIssued | Status::Completed | Status::Expired | Status::Cancelled => {
            Err(Rejection::RedemptionEnded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{redemption::specs::until, testing::given};

    fn fail() -> FailRedemption {
        FailRedemption { reason: Code::fixed("code-not-issued") }
    }

    #[test]
    fn a_request_fails_once() {
        let failed = RedemptionFailed { reason: fail().reason };
        given::<State>(until(Status::Requested)).when(fail()).then([failed.into()]);
        given::<State>(until(Status::Failed)).when(fail()).then_unchanged();
    }

    #[test]
    fn a_redemption_with_a_code_cannot_fail_any_more() {
        for status in [Status::CodeIssued, Status::Completed, Status::Expired, Status::Cancelled] {
            given::<State>(until(status)).when(fail()).then_rejected(Rejection::RedemptionEnded);
        }
        given::<State>([]).when(fail()).then_rejected(Rejection::UnknownRedemption);
    }
}
