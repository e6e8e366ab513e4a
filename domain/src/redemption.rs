//! One exchange of points for a reward, from the request to the code. The code itself is not in the state.
mod cancel_redemption;
mod complete_redemption;
mod expire_redemption;
mod fail_redemption;
mod quote;
mod record_code_issued;
mod request_redemption;

pub use cancel_redemption::{CancelRedemption, CodeUse};
pub use complete_redemption::CompleteRedemption;
pub use expire_redemption::ExpireRedemption;
pub use fail_redemption::FailRedemption;
pub use quote::{NotRedeemable, price, quote, worth};
pub use record_code_issued::RecordCodeIssued;
pub use request_redemption::RequestRedemption;

use event_schemas::{
    Code, CustomerId, Money, Points, StreamType, catalogue::RedemptionEvent as Event,
    redemption::RedemptionRequested,
};
use serde::{Deserialize, Serialize};

use crate::{Decider, Rejection, decider::commands};

commands! {
    Redemption {
        RequestRedemption = "request-redemption" in request_redemption;
        RecordCodeIssued = "record-code-issued" in record_code_issued;
        CompleteRedemption = "complete-redemption" in complete_redemption;
        ExpireRedemption = "expire-redemption" in expire_redemption;
        FailRedemption = "fail-redemption" in fail_redemption;
        CancelRedemption = "cancel-redemption" in cancel_redemption;
    }
}

/// How far a redemption came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A code is to be issued.
    Requested,
    /// The code is issued; the points are to be spent.
    CodeIssued,
    /// The code is issued and the points are spent.
    Completed,
    /// No code was issued.
    Failed,
    /// No code was issued in time.
    Expired,
    /// It was completed, then undone.
    Cancelled,
}

impl Status {
    /// The status in kebab-case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::CodeIssued => "code-issued",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A redemption after its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    requested: Option<RedemptionRequested>,
    status: Option<Status>,
    issuer: Option<Code>,
}

impl State {
    /// How far it came; none if it was never requested.
    #[must_use]
    pub const fn status(&self) -> Option<Status> {
        self.status
    }

    /// Whether its one code was issued, even if the code is void by now.
    #[must_use]
    pub fn code_issued(&self) -> bool {
        self.status
            .is_some_and(|status| !matches!(status, Status::Requested | Status::Failed | Status::Expired))
    }

    /// Whether its points are spent or went back: nothing of it is on its way any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.status, Some(Status::Completed | Status::Failed | Status::Expired | Status::Cancelled))
    }

    /// Who issued its code, if it was issued.
    #[must_use]
    pub const fn issuer(&self) -> Option<&Code> {
        self.issuer.as_ref()
    }

    /// Whether a till gave the discount itself, so that there never is a code.
    #[must_use]
    pub fn at_till(&self) -> bool {
        self.requested.as_ref().is_some_and(|requested| requested.pos.is_some())
    }

    /// Who redeems.
    #[must_use]
    pub fn customer(&self) -> Option<CustomerId> {
        self.requested.as_ref().map(|requested| requested.customer)
    }

    /// What it costs.
    #[must_use]
    pub fn points(&self) -> Option<Points> {
        self.requested.as_ref().map(|requested| requested.points)
    }

    /// The discount it gives.
    #[must_use]
    pub fn discount(&self) -> Option<Money> {
        self.requested.as_ref().map(|requested| requested.discount)
    }

    fn known(&self) -> Result<Status, Rejection> {
        self.status.ok_or(Rejection::UnknownRedemption)
    }
}

impl Decider for State {
    const STREAM: StreamType = StreamType::Redemption;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        dispatch(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        self.status = Some(match event {
            Event::RedemptionRequested(requested) => {
                self.requested = Some(requested.clone());
                Status::Requested
            }
            Event::DiscountCodeIssued(issued) => {
                self.issuer = Some(issued.issuer.clone());
                Status::CodeIssued
            }
            Event::RedemptionCompleted(_) => Status::Completed,
            Event::RedemptionFailed(_) => Status::Failed,
            Event::RedemptionExpired(_) => Status::Expired,
            Event::RedemptionCancelled(_) => Status::Cancelled,
        });
    }
}

#[cfg(test)]
mod specs {
    use event_schemas::{Code, payload::Payload, redemption::*};

    use super::*;

    /// The history that ends in this status.
    pub(super) fn until(status: Status) -> Vec<Event> {
        let requested = Event::from(RedemptionRequested::sample());
        let issued = Event::from(DiscountCodeIssued::sample());
        let completed = Event::from(RedemptionCompleted {});
        match status {
            Status::Requested => vec![requested],
            Status::CodeIssued => vec![requested, issued],
            Status::Completed => vec![requested, issued, completed],
            Status::Expired => vec![requested, RedemptionExpired {}.into()],
            Status::Failed => vec![requested, RedemptionFailed { reason: Code::fixed("x") }.into()],
            Status::Cancelled => {
                vec![requested, issued, completed, RedemptionCancelled { reason: Code::fixed("x") }.into()]
            }
        }
    }
}
