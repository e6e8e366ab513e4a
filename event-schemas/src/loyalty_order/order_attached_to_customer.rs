//! A guest's order found its customer.
use crate::{CustomerId, payload};

payload! {
    /// A guest's order found its customer.
    OrderAttachedToCustomer {
        /// Who ordered.
        customer: CustomerId,
    }
    sample: Self { customer: CUSTOMER }
}
