//! The code was issued. A redemption never has two codes: the issuer names them after it, and a second record is dropped.
use event_schemas::{Code, Personal, redemption::DiscountCodeIssued};
use serde::{Deserialize, Serialize};

use super::{Event, State, Status};
use crate::{
    Rejection,
    planted::{self, Bug},
};

/// Records the code that was issued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordCodeIssued {
    /// The code.
    #[serde(with = "event_schemas::personal::transit")]
    pub code: Option<Personal<String>>,
    /// Who issued it, such as `local`.
    pub issuer: Code,
}

pub(super) fn decide(state: &State, command: &RecordCodeIssued) -> Result<Vec<Event>, Rejection> {
    let RecordCodeIssued { code, issuer } = command.clone();
    let issued = DiscountCodeIssued { code, issuer }.into();
    match state.known()? {
        Status::Requested => Ok(vec![issued]),
        Status::Completed if planted::is(Bug::SecondCode) => Ok(vec![issued]),
        Status::CodeIssued | Status::Completed | Status::Cancelled => Ok(Vec::new()),
        Status::Failed | Status::Expired => Err(Rejection::RedemptionEnded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{redemption::specs::until, testing::given};

    fn issued(code: &str) -> RecordCodeIssued {
        RecordCodeIssued { code: Some(Personal::Clear(code.to_owned())), issuer: Code::fixed("local") }
    }

    #[test]
    fn a_code_is_recorded_for_a_request() {
        let RecordCodeIssued { code, issuer } = issued("A");
        given::<State>(until(Status::Requested)).when(issued("A")).then([DiscountCodeIssued {
            code,
            issuer,
        }
        .into()]);
    }

    #[test]
    fn a_redemption_never_has_two_codes() {
        for status in [Status::CodeIssued, Status::Completed, Status::Cancelled] {
            given::<State>(until(status)).when(issued("B")).then_unchanged();
        }
    }

    #[test]
    fn no_code_without_a_request_or_after_a_failure() {
        given::<State>([]).when(issued("A")).then_rejected(Rejection::UnknownRedemption);
        given::<State>(until(Status::Failed)).when(issued("A")).then_rejected(Rejection::RedemptionEnded);
    }
}
