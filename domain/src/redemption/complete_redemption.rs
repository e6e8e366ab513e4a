//! The code is issued and the points are spent: the redemption is done.
use event_schemas::redemption::RedemptionCompleted;
use serde::{Deserialize, Serialize};

use super::{Event, State, Status};
use crate::Rejection;

/// Ends a redemption well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompleteRedemption {}

pub(super) fn decide(state: &State, _: &CompleteRedemption) -> Result<Vec<Event>, Rejection> {
    match state.known()? {
        Status::CodeIssued => Ok(vec![RedemptionCompleted {}.into()]),
        Status::Completed | Status::Cancelled => Ok(Vec::new()),
        Status::Requested => Err(Rejection::CodeNotIssued),
        Status::Failed | Status::Expired => Err(Rejection::RedemptionEnded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{redemption::specs::until, testing::given};

    #[test]
    fn a_redemption_with_a_code_completes_once() {
        given::<State>(until(Status::CodeIssued))
            .when(CompleteRedemption {})
            .then([RedemptionCompleted {}.into()]);
        for status in [Status::Completed, Status::Cancelled] {
            given::<State>(until(status)).when(CompleteRedemption {}).then_unchanged();
        }
    }

    #[test]
    fn a_redemption_without_a_code_cannot_complete() {
        for (status, rejection) in
            [(Status::Requested, Rejection::CodeNotIssued), (Status::Failed, Rejection::RedemptionEnded)]
        {
            given::<State>(until(status)).when(CompleteRedemption {}).then_rejected(rejection);
        }
        given::<State>([]).when(CompleteRedemption {}).then_rejected(Rejection::UnknownRedemption);
    }
}
