//! A reward is requested for points that are reserved: the intent behind the call that issues its code.
use event_schemas::{
    CustomerId, Money, Points, points_account::PosEntry, redemption::RedemptionRequested, reward::RewardUsed,
};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Requests a reward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRedemption {
    /// Who redeems.
    pub customer: CustomerId,
    /// What it costs.
    pub points: Points,
    /// The discount it gives; zero where a reward's benefit has no amount.
    pub discount: Money,
    /// The reward of the catalogue, if it is one.
    pub reward: Option<RewardUsed>,
    /// The till that gave the discount already, if one did.
    pub pos: Option<PosEntry>,
}

pub(super) fn decide(state: &State, command: &RequestRedemption) -> Result<Vec<Event>, Rejection> {
    let RequestRedemption { customer, points, discount, reward, pos } = *command;
    let requested = RedemptionRequested { customer, points, discount, reward, pos };
    match &state.requested {
        None => Ok(vec![requested.into()]),
        Some(first) if *first == requested => Ok(Vec::new()),
        Some(_) => Err(Rejection::SourceConflict),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::payload::Payload;

    use super::*;
    use crate::testing::given;

    fn request(points: i64) -> RequestRedemption {
        let RedemptionRequested { customer, discount, reward, pos, .. } = RedemptionRequested::sample();
        RequestRedemption { customer, points: Points(points), discount, reward, pos }
    }

    #[test]
    fn a_reward_is_requested_once() {
        given::<State>([]).when(request(40)).then([RedemptionRequested::sample().into()]);
        given::<State>([RedemptionRequested::sample().into()]).when(request(40)).then_unchanged();
    }

    #[test]
    fn the_same_redemption_for_other_points_is_a_conflict() {
        given::<State>([RedemptionRequested::sample().into()])
            .when(request(41))
            .then_rejected(Rejection::SourceConflict);
    }
}
