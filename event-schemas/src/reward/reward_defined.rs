//! A reward entered the catalogue, or changed.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Money, Plain, Points, RewardId, Title, payload, plain};

/// What a reward gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Benefit {
    /// This much off.
    FixedDiscount {
        /// How much, above zero.
        amount: Money,
    },
    /// A part of the order off.
    Percentage {
        /// 1 to 100.
        percent: u8,
    },
    /// Shipping costs nothing.
    FreeShipping,
}

impl Plain for Benefit {}

plain! {
    /// The reward behind a redemption, frozen.
    #[derive(Copy)]
    RewardUsed {
        /// The reward.
        reward: RewardId,
        /// Its version.
        version: u32,
        /// What it gave then.
        benefit: Benefit,
    }
}

payload! {
    /// A reward as a whole, new or changed; running redemptions keep theirs.
    RewardDefined {
        /// Counts up by one at every change.
        version: u32,
        /// The shop's name for it.
        name: Title,
        /// What it gives.
        benefit: Benefit,
        /// What it costs.
        points: Points,
    }
    sample: Self {
        version: 1,
        name: title("5 dollars off"),
        benefit: Benefit::FixedDiscount { amount: usd(500) },
        points: points(500),
    }
}
