//! An order that used a code of ours came to nothing.
use crate::{Code, CustomerId, RedemptionId, payload};

payload! {
    /// An order that used a discount code of ours came to nothing, so the redemption is to be cancelled: once per code.
    OrderCodeReturned {
        /// The redemption that the code was issued for.
        redemption: RedemptionId,
        /// Who redeemed.
        customer: CustomerId,
        /// What became of the order, such as `order-cancelled` or `order-refunded`.
        reason: Code,
    }
    sample: Self { redemption: REDEMPTION, customer: CUSTOMER, reason: Code::fixed("order-cancelled") }
}
