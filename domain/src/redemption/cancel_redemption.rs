//! A completed redemption is undone: its code is to be made void, its points are to come back.
use event_schemas::{Code, redemption::RedemptionCancelled};
use serde::{Deserialize, Serialize};

use super::{Event, State, Status};
use crate::Rejection;

/// Undoes a completed redemption whose code nobody used, or an order that came to nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelRedemption {
    /// Why.
    pub reason: Code,
    /// What is known of its code.
    pub code: CodeUse,
}

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeUse {
    /// No order used it, as far as its issuer knows.
    Unused,
    /// An order used it, as its issuer says.
    Used,
    /// An order used it and came to nothing.
    Returned,
}

/// Why a redemption whose discount was had is not undone.
const CODE_USED: &str = "code-used";

pub(super) fn decide(state: &State, command: &CancelRedemption) -> Result<Vec<Event>, Rejection> {
    let not = |reason| Err(Rejection::RedemptionNotCancellable { reason: Some(Code::fixed(reason)) });
    match state.known()? {
        Status::Completed if command.code == CodeUse::Used => not(CODE_USED),
        Status::Completed => Ok(vec![RedemptionCancelled { reason: command.reason.clone() }.into()]),
        Status::Cancelled => Ok(Vec::new()),
        // Its points went back when it ended.
        Status::Failed | Status::Expired if command.code == CodeUse::Returned => Ok(Vec::new()),
        other => not(other.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{redemption::specs::until, testing::given};

    fn cancel() -> CancelRedemption {
        CancelRedemption { reason: Code::fixed("requested"), code: CodeUse::Unused }
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
        let used = CancelRedemption { code: CodeUse::Used, ..cancel() };
        let not = Rejection::RedemptionNotCancellable { reason: Some(Code::fixed("code-used")) };
        given::<State>(until(Status::Completed)).when(used.clone()).then_rejected(not);
        given::<State>(until(Status::Cancelled)).when(used).then_unchanged();
    }

    #[test]
    fn the_order_that_used_the_code_undoes_whatever_was_spent_on_it() {
        let returned = CancelRedemption { reason: Code::fixed("order-cancelled"), code: CodeUse::Returned };
        let cancelled = RedemptionCancelled { reason: returned.reason.clone() };
        given::<State>(until(Status::Completed)).when(returned.clone()).then([cancelled.into()]);
        for status in [Status::Cancelled, Status::Failed, Status::Expired] {
            given::<State>(until(status)).when(returned.clone()).then_unchanged();
        }
        for status in [Status::Requested, Status::CodeIssued] {
            let reason = Some(Code::fixed(status.as_str()));
            let not = Rejection::RedemptionNotCancellable { reason };
            given::<State>(until(status)).when(returned.clone()).then_rejected(not);
        }
    }
}
