//! Bodies in the shape that Shopify sends, built from a few words: `order().by(&person).line(10_00, 2).paid()`.
//!
//! Amounts are in minor units. The traps are on purpose: ids above 2^53, presentment money that is not the shop's,
//! a quantity that is left after refunds beside the one that was bought, a phone number beside every name.
mod events;
mod order;
mod person;
mod refund;

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Duration, FixedOffset};
use serde_json::{Value, json};

pub(crate) use events::{deletion, edit, merge, own_facts, product, subscription, transaction};
pub(crate) use order::{Line, Order, line, order};
pub(crate) use person::{Person, person};
pub(crate) use refund::{Refund, refund};

use crate::harness::Shop;

/// A number that no other fixture gets, too large for a double and not a multiple of what a double could hold.
pub(crate) fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(820_982_911_946_154_501);
    NEXT.fetch_add(10_007, Ordering::Relaxed)
}

/// A moment in January 2026, in the shop's own offset as Shopify writes it.
pub(crate) fn at(minute: i64) -> String {
    let start: DateTime<FixedOffset> = "2026-01-10T08:00:00-05:00".parse().unwrap();
    (start + Duration::minutes(minute)).to_rfc3339()
}

/// The minute of [`at`] that is now: what is placed then has not waited yet.
pub(crate) fn this_minute() -> i64 {
    let start: DateTime<FixedOffset> = at(0).parse().unwrap();
    (chrono::Utc::now() - start.to_utc()).num_minutes()
}

/// `5493` as `54.93` in a currency with two places.
pub(crate) fn decimal(minor: i64, places: usize) -> String {
    let digits = format!("{:0width$}", minor.unsigned_abs(), width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    let sign = if minor < 0 { "-" } else { "" };
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// How a shop writes money.
#[derive(Clone, Copy)]
struct Mint<'a> {
    shop: &'a Shop,
}

impl Mint<'_> {
    fn text(self, minor: i64) -> String {
        decimal(minor, self.shop.places)
    }

    /// The amount as a JSON number, as in `refund_line_items[].subtotal`.
    fn number(self, minor: i64) -> Value {
        serde_json::from_str(&self.text(minor)).unwrap()
    }

    /// A `*_set`, whose presentment money must not count.
    fn set(self, minor: i64) -> Value {
        json!({
            "shop_money": {"amount": self.text(minor), "currency_code": self.shop.currency},
            "presentment_money": {"amount": "777.77", "currency_code": "CAD"},
        })
    }

    fn tax_lines(self, tax: i64) -> Value {
        json!([{"title": "VAT", "rate": 0.19, "price": self.text(tax), "price_set": self.set(tax), "channel_liable": false}])
    }
}

/// A body as bytes.
pub(crate) fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}
