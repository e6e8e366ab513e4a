//! A reward is to be issued.
use crate::{CustomerId, Money, Points, payload};

payload! {
    /// A reward is to be issued for points that are reserved.
    RedemptionRequested {
        /// Who redeems.
        customer: CustomerId,
        /// What it costs.
        points: Points,
        /// The discount it gives.
        discount: Money,
    }
    sample: Self { customer: CUSTOMER, points: points(40), discount: usd(40) }
}
