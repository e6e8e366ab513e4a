//! A reward leaves the catalogue.
use event_schemas::reward::RewardRetired;
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Takes the reward out of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetireReward {}

pub(super) fn decide(state: &State, _: &RetireReward) -> Result<Vec<Event>, Rejection> {
    match (&state.defined, state.retired) {
        (None, _) => Err(Rejection::UnknownReward),
        (Some(_), true) => Ok(Vec::new()),
        (Some(_), false) => Ok(vec![RewardRetired {}.into()]),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{payload::Payload, reward::RewardDefined};

    use super::*;
    use crate::testing::given;

    #[test]
    fn a_reward_leaves_the_catalogue_once() {
        let defined = || Event::from(RewardDefined::sample());
        given::<State>([defined()]).when(RetireReward {}).then([RewardRetired {}.into()]);
        given::<State>([defined(), RewardRetired {}.into()]).when(RetireReward {}).then_unchanged();
        given::<State>([]).when(RetireReward {}).then_rejected(Rejection::UnknownReward);
    }
}
