//! Events of a shop's catalogue of rewards.
mod reward_defined;
mod reward_retired;

pub use reward_defined::{Benefit, RewardDefined, RewardUsed};
pub use reward_retired::RewardRetired;
