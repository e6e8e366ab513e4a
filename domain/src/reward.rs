//! A reward of a shop's catalogue: what it gives, what it costs, and whether it can still be had.
mod define_reward;
mod retire_reward;

pub use define_reward::DefineReward;
pub use retire_reward::RetireReward;

use event_schemas::{
    Points, StreamType,
    catalogue::RewardEvent as Event,
    reward::{Benefit, RewardDefined},
};
use serde::{Deserialize, Serialize};

use crate::{Decider, Rejection, decider::commands};

commands! {
    Reward {
        DefineReward = "define-reward" in define_reward;
        RetireReward = "retire-reward" in retire_reward;
    }
}

/// A reward after its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    defined: Option<RewardDefined>,
    retired: bool,
}

impl State {
    /// The newest definition; none if there never was one.
    #[must_use]
    pub const fn defined(&self) -> Option<&RewardDefined> {
        self.defined.as_ref()
    }

    /// Whether it was taken out of the catalogue.
    #[must_use]
    pub const fn retired(&self) -> bool {
        self.retired
    }

    /// What it gives and costs, unless it is retired.
    #[must_use]
    pub fn offered(&self) -> Option<(Benefit, Points)> {
        self.defined.as_ref().filter(|_| !self.retired).map(|defined| (defined.benefit, defined.points))
    }
}

impl Decider for State {
    const STREAM: StreamType = StreamType::Reward;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        dispatch(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::RewardDefined(defined) => {
                self.defined = Some(defined.clone());
                self.retired = false;
            }
            Event::RewardRetired(_) => self.retired = true,
        }
    }
}
