//! The four verdicts on an order. Each carries the whole assessment, so the newest one says everything.
use crate::{
    loyalty_order::{Assessment, OrderStatus},
    payload,
};

payload! {
    /// The order earns, or earned until it was refunded wholly.
    OrderQualified {
        /// The standing.
        assessment: Assessment,
    }
    sample: Self { assessment: Assessment::sample(OrderStatus::Qualified, None, 54) },
    upcast: payload::with_defaults
}

payload! {
    /// The order earns nothing, and the reason says why.
    OrderDisqualified {
        /// The standing.
        assessment: Assessment,
    }
    sample: Self { assessment: Assessment::sample(OrderStatus::Disqualified, Some("test"), 0) },
    upcast: payload::with_defaults
}

payload! {
    /// The order earns nothing yet: something is missing that may still come.
    OrderWaiting {
        /// The standing.
        assessment: Assessment,
    }
    sample: Self { assessment: Assessment::sample(OrderStatus::Waiting, Some("unpaid"), 0) },
    upcast: payload::with_defaults
}

payload! {
    /// The order was cancelled and earns nothing any more.
    OrderCancelled {
        /// The standing.
        assessment: Assessment,
    }
    sample: Self { assessment: Assessment::sample(OrderStatus::Cancelled, None, 0) },
    upcast: payload::with_defaults
}
