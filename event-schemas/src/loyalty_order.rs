//! Events of an order. None of them has a personal field: the order's own id leads nowhere.
mod assessment;
mod order_attached_to_customer;
mod order_code_returned;
mod order_observed;
mod order_refunded;
mod order_transaction_seen;
mod verdicts;

pub use assessment::{Assessment, BonusTarget, OrderStatus};
pub use order_attached_to_customer::OrderAttachedToCustomer;
pub use order_code_returned::OrderCodeReturned;
pub use order_observed::{BonusEligible, CodeUsed, EarnRule, OrderObserved, OrderStage};
pub use order_refunded::{OrderRefunded, RefundLine};
pub use order_transaction_seen::{OrderTransactionSeen, TransactionKind};
pub use verdicts::{OrderCancelled, OrderDisqualified, OrderQualified, OrderWaiting};

use crate::catalogue::LoyaltyOrderEvent;

impl LoyaltyOrderEvent {
    /// The verdict that the event carries, if it is one.
    #[must_use]
    pub const fn assessment(&self) -> Option<&Assessment> {
        match self {
            Self::OrderQualified(OrderQualified { assessment })
            | Self::OrderDisqualified(OrderDisqualified { assessment })
            | Self::OrderWaiting(OrderWaiting { assessment })
            | Self::OrderCancelled(OrderCancelled { assessment }) => Some(assessment),
            Self::OrderObserved(_)
            | Self::OrderRefunded(_)
            | Self::OrderTransactionSeen(_)
            | Self::OrderCodeReturned(_)
            | Self::OrderAttachedToCustomer(_) => None,
        }
    }
}
