//! A reward is to be issued.
use crate::{CustomerId, Money, Points, payload, points_account::PosEntry, reward::RewardUsed};

payload! {
    /// A reward is to be issued for points that are reserved.
    RedemptionRequested {
        /// Who redeems.
        customer: CustomerId,
        /// What it costs.
        points: Points,
        /// The discount it gives.
        discount: Money,
        /// The reward of the catalogue, if it is one.
        reward: Option<RewardUsed>,
        /// The till that gave the discount already, if one did.
        pos: Option<PosEntry>,
    }
    sample: Self { customer: CUSTOMER, points: points(40), discount: usd(40), reward: None, pos: None },
    upcast: payload::with_defaults
}
