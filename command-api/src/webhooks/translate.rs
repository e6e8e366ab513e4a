//! From Shopify's payloads to what they ask for. Pure: no look-ups, no clock.
mod compliance;
mod customers;
mod fields;
mod orders;
mod plan;
mod products;
mod references;
mod refunds;
mod shop;
mod transactions;

pub use fields::Unusable;
pub use plan::{
    Beyond, Buyer, DataSubject, NamedShop, Order, OwnFacts, Person, Plan, Private, Refund, ShopFacts,
    Transaction, Translated,
};
pub use references::Mentions;

use fields::Object;

type Translator = fn(&Object<'_>, &ShopFacts) -> Result<Translated, Unusable>;

/// Every topic that has an effect, one line each.
const TRANSLATORS: &[(&str, Translator)] = &[
    ("orders/create", orders::translate),
    ("orders/paid", orders::translate),
    ("orders/updated", orders::translate),
    ("orders/cancelled", orders::translate),
    ("orders/fulfilled", orders::translate),
    ("orders/edited", orders::edited),
    ("orders/delete", orders::deleted),
    ("order_transactions/create", transactions::translate),
    ("refunds/create", refunds::translate),
    ("customers/create", customers::translate),
    ("customers/update", customers::translate),
    ("customers/enable", customers::enabled),
    ("customers/disable", customers::disabled),
    ("customers/delete", customers::deleted),
    ("customers/merge", customers::merged),
    ("products/create", products::translate),
    ("products/update", products::translate),
    ("products/delete", products::deleted),
    ("shop/update", shop::updated),
    ("app/uninstalled", shop::uninstalled),
    ("app_subscriptions/update", shop::subscription),
    ("customers/redact", compliance::redaction),
    ("customers/data_request", compliance::data_request),
    ("shop/redact", compliance::shop_redaction),
];

/// Requests about data: Shopify sends them whatever a shop has subscribed to, also when it is gone.
pub const COMPLIANCE: &[&str] = &["customers/redact", "customers/data_request", "shop/redact"];

/// Whether deliveries of this topic have an effect.
#[must_use]
pub fn is_known(topic: &str) -> bool {
    TRANSLATORS.iter().any(|(name, _)| *name == topic)
}

/// Whether a delivery of this topic is a request about data that has to be carried out, whatever else is erased.
#[must_use]
pub fn is_compliance(topic: &str) -> bool {
    COMPLIANCE.contains(&topic)
}

/// Reads a body. `None` = no delivery of this topic has an effect.
#[must_use]
pub fn translate(topic: &str, body: &str, shop: &ShopFacts) -> Option<Result<Translated, Unusable>> {
    let (_, translator) = TRANSLATORS.iter().find(|(name, _)| *name == topic)?;
    Some(Object::body(body).and_then(|body| translator(&body, shop)))
}

#[cfg(test)]
mod tests;
