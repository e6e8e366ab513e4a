//! No code was issued in time; the reservation is to be released.
use event_schemas::redemption::RedemptionExpired;
use serde::{Deserialize, Serialize};

use super::{Event, State, Status};
use crate::Rejection;

/// Ends a redemption whose code did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpireRedemption {}

pub(super) fn decide(state: &State, _: &ExpireRedemption) -> Result<Vec<Event>, Rejection> {
    match state.known()? {
        Status::Requested => Ok(vec![RedemptionExpired {}.into()]),
        Status::Expired => Ok(Vec::new()),
        Status::CodeIssued | Status::Completed | Status::Failed | Status::Cancelled => {
            Err(Rejection::RedemptionEnded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{redemption::specs::until, testing::given};

    #[test]
    fn a_request_expires_once() {
        given::<State>(until(Status::Requested))
            .when(ExpireRedemption {})
            .then([RedemptionExpired {}.into()]);
        given::<State>(until(Status::Expired)).when(ExpireRedemption {}).then_unchanged();
    }

    #[test]
    fn a_redemption_that_ended_otherwise_does_not_expire() {
        for status in [Status::CodeIssued, Status::Completed, Status::Failed, Status::Cancelled] {
            given::<State>(until(status)).when(ExpireRedemption {}).then_rejected(Rejection::RedemptionEnded);
        }
        given::<State>([]).when(ExpireRedemption {}).then_rejected(Rejection::UnknownRedemption);
    }
}
