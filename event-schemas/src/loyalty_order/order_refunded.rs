//! A refund of an order was seen.
use crate::{Money, ProductId, RefundId, Timestamp, payload, plain};

plain! {
    /// What was refunded of one line, in minor units of the refund's currency.
    RefundLine {
        /// The line's product, if Shopify still knows it.
        product_id: Option<ProductId>,
        /// Whether the line is a gift card.
        gift_card: bool,
        /// Whether the line is a tip.
        #[serde(default)]
        tip: bool,
        /// Net of discounts; contains tax if the order's prices do.
        subtotal_minor: i64,
        /// Tax of the line.
        tax_minor: i64,
    }
}

payload! {
    /// A refund, counted once. What of it counts against the award depends on the order's rule.
    OrderRefunded {
        /// The refund.
        refund: RefundId,
        /// When it was made.
        refunded_at: Timestamp,
        /// Lines refunded.
        lines: Vec<RefundLine>,
        /// Shipping refunded; contains its tax if the order's prices do.
        shipping: Money,
        /// Tax of the shipping refunded.
        shipping_tax: Money,
        /// Whether it was paid out as store credit.
        #[serde(default)]
        store_credit: bool,
        /// What was paid out beyond lines and shipping, in minor units; below zero if less than they come to was.
        #[serde(default)]
        beyond_minor: i64,
        /// Tax of that, with the same sign; contained in it if the order's prices contain tax.
        #[serde(default)]
        beyond_tax_minor: i64,
    }
    sample: Self {
        refund: REFUND,
        refunded_at: time(),
        lines: vec![RefundLine {
            product_id: Some(ProductId::try_new("632910392").unwrap_or_else(|e| panic!("{e}"))),
            gift_card: false,
            tip: false,
            subtotal_minor: 1999,
            tax_minor: 160,
        }],
        shipping: usd(0),
        shipping_tax: usd(0),
        store_credit: false,
        beyond_minor: 250,
        beyond_tax_minor: 20,
    },
    upcast: payload::with_defaults
}
