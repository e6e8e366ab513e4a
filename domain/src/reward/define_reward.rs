//! A reward enters the catalogue or changes. Redemptions that run keep what they were promised.
use event_schemas::{
    Points, Title,
    reward::{Benefit, RewardDefined},
};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Puts a reward into the catalogue, or changes it; one that was retired can be had again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefineReward {
    /// The shop's name for it.
    pub name: Title,
    /// What it gives.
    pub benefit: Benefit,
    /// What it costs, above zero.
    pub points: Points,
}

pub(super) fn decide(state: &State, command: &DefineReward) -> Result<Vec<Event>, Rejection> {
    let DefineReward { name, benefit, points } = command.clone();
    if !points.is_positive() {
        return Err(Rejection::PointsNotPositive);
    }
    let gives_something = match benefit {
        Benefit::FixedDiscount { amount } => amount.minor > 0,
        Benefit::Percentage { percent } => (1..=100).contains(&percent),
        Benefit::FreeShipping => true,
    };
    if !gives_something {
        return Err(Rejection::InvalidBenefit);
    }
    let version = state.defined.as_ref().map_or(1, |before| before.version.saturating_add(1));
    let is_so_already = |before: &RewardDefined| {
        !state.retired && before.name == name && before.benefit == benefit && before.points == points
    };
    match &state.defined {
        Some(before) if is_so_already(before) => Ok(Vec::new()),
        _ => Ok(vec![RewardDefined { version, name, benefit, points }.into()]),
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        payload::Payload,
        reward::RewardRetired,
        sample::{title, usd},
    };

    use super::*;
    use crate::testing::given;

    fn five_off(points: i64) -> DefineReward {
        let RewardDefined { name, benefit, .. } = RewardDefined::sample();
        DefineReward { name, benefit, points: Points(points) }
    }

    fn defined(version: u32, points: i64) -> Event {
        RewardDefined { version, points: Points(points), ..RewardDefined::sample() }.into()
    }

    #[test]
    fn a_reward_is_defined_once_and_each_change_counts_its_version_up() {
        given::<State>([]).when(five_off(500)).then([defined(1, 500)]);
        given::<State>([defined(1, 500)]).when(five_off(500)).then_unchanged();
        given::<State>([defined(1, 500)]).when(five_off(400)).then([defined(2, 400)]);
    }

    #[test]
    fn a_retired_reward_can_be_had_again() {
        given::<State>([defined(1, 500), RewardRetired {}.into()])
            .when(five_off(500))
            .then([defined(2, 500)]);
    }

    #[test]
    fn a_reward_costs_at_least_a_point_and_gives_something() {
        given::<State>([]).when(five_off(0)).then_rejected(Rejection::PointsNotPositive);
        let benefits = [
            Benefit::FixedDiscount { amount: usd(0) },
            Benefit::Percentage { percent: 0 },
            Benefit::Percentage { percent: 101 },
        ];
        for benefit in benefits {
            let define = DefineReward { name: title("x"), benefit, points: Points(1) };
            given::<State>([]).when(define).then_rejected(Rejection::InvalidBenefit);
        }
    }
}
