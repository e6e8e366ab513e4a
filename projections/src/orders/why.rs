//! One plain sentence per order that answers "why these points, or none?". Names nobody and nothing from outside.
use event_schemas::{
    Points,
    loyalty_order::{Assessment, OrderStatus},
};

use super::Order;
use crate::column::Json;

/// What each reason says to a shop, one line each.
const REASONS: &[(&str, &str)] = &[
    ("unpaid", "The order is not paid yet; it earns once it is"),
    ("guest", "A guest ordered; the order earns once it carries a customer"),
    ("customer-unknown", "The order's customer is not known yet; it earns once they are"),
    ("order-unknown", "A refund of the order came, but not the order itself yet"),
    ("test", "A test order earns nothing"),
    ("voided", "The payment was voided, so the order earns nothing"),
    ("deleted", "The order was deleted, so it earns nothing any more"),
    (
        "nothing-eligible",
        "Nothing in the order earns: the settings leave out what it consists of, or it cost nothing",
    ),
    ("another-customer", "The order's customer was changed at the shop; points stay with the first one"),
];

impl Order {
    /// Why the order has the points that it has; nothing while only its account has spoken of it.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        let Json(verdict) = self.assessment.as_ref()?;
        Some(format!("{}.", self.says(verdict)))
    }

    fn says(&self, verdict: &Assessment) -> String {
        let known = verdict.reason.as_ref().and_then(|reason| {
            let known = REASONS.iter().find(|(code, _)| *code == reason.as_str());
            known.map(|(_, says)| (*says).to_owned())
        });
        match (known, verdict.status) {
            (Some(says), _) => says,
            (None, OrderStatus::Qualified) => self.says_qualified(verdict),
            (None, OrderStatus::Cancelled) => {
                "The order was cancelled, so it earns nothing any more".to_owned()
            }
            (None, OrderStatus::Refunded) => "All that earned points was refunded".to_owned(),
            (None, OrderStatus::Waiting | OrderStatus::Disqualified) => {
                let reason = verdict.reason.as_ref().map_or("no reason told", |reason| reason.as_str());
                format!("The order is {} ({reason})", verdict.status.as_str())
            }
        }
    }

    fn says_qualified(&self, verdict: &Assessment) -> String {
        let currency = verdict.eligible.currency;
        let refunded = if verdict.refunded.minor > 0 {
            format!(", of which {} was refunded", verdict.refunded.amount())
        } else {
            String::new()
        };
        let eligible = format!("{currency} {}{refunded}, at {}", verdict.eligible.amount(), verdict.rate);
        if verdict.target <= Points::ZERO {
            return format!("{eligible} per {currency}, is less than one point");
        }
        format!("{eligible} per {currency} earns {} points", verdict.target)
    }
}
