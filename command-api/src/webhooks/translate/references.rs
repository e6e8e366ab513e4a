//! Whom a body is about, found even in bodies that cannot be used, so that an erasure finds the delivery.
use http_edge::{Malformed, check_json, read_json};
use privacy::Kind;
use serde::de::{Deserialize, Deserializer};

use super::{
    fields::Object,
    plan::{NamedShop, Private},
    shop::shop_domain,
};

/// The fields that may lead to a person, directly or further inside, and those that name the shop.
const MENTIONED: &[&str] = &[
    "id",
    "order_id",
    "order_edit",
    "admin_graphql_api_customer_kept_id",
    "admin_graphql_api_customer_deleted_id",
    "email",
    "contact_email",
    "phone",
    "customer",
    "orders_to_redact",
    "orders_requested",
    "shop_domain",
    "shop_id",
];

/// What may lead to a person in a body, whatever its topic, and to its shop.
#[derive(Debug, Default)]
pub struct Mentions<'a>(Object<'a>);

impl<'a> Mentions<'a> {
    /// Checks a body, and takes what it mentions in the same pass; nothing of what is no object.
    ///
    /// # Errors
    /// If it is not JSON in UTF-8, or nested too deep.
    pub fn read(body: &'a [u8], depth_max: usize) -> Result<Self, Malformed> {
        match read_json(body, depth_max) {
            Err(Malformed::Syntax { .. }) => check_json(body, depth_max).map(|()| Self::default()),
            read => read,
        }
    }

    /// The shop that a request about data names, as far as it can be read.
    #[must_use]
    pub fn shop(&self) -> NamedShop {
        let Self(body) = self;
        let domain = body.field("shop_domain").text().ok().flatten();
        let id = body.field("shop_id").id().ok().flatten();
        NamedShop { domain: domain.as_deref().and_then(shop_domain), id }
    }

    /// All references; what cannot be read is left out.
    #[must_use]
    pub fn references(&self, topic: &str) -> Vec<(Kind, Private)> {
        let Self(body) = self;
        let own = match topic.split('/').next() {
            Some("orders") => Some(Kind::Order),
            Some("customers") => Some(Kind::ShopifyCustomer),
            _ => None,
        };
        let mut found = Found(Vec::new());
        if let Some(kind) = own {
            found.id(kind, body, "id");
        }
        found.id(Kind::Order, body, "order_id");
        if let Ok(Some(edit)) = body.field("order_edit").object() {
            found.id(Kind::Order, &edit, "order_id");
        }
        for name in ["admin_graphql_api_customer_kept_id", "admin_graphql_api_customer_deleted_id"] {
            let id = body.field(name).global_id("Customer").ok().flatten();
            found.0.extend(id.map(|id| (Kind::ShopifyCustomer, Private(id))));
        }
        for name in ["orders_to_redact", "orders_requested"] {
            let ids = body.field(name).ids().unwrap_or_default();
            found.0.extend(ids.into_iter().map(|id| (Kind::Order, Private(id))));
        }
        found.contact(body);
        if let Ok(Some(customer)) = body.field("customer").object() {
            found.id(Kind::ShopifyCustomer, &customer, "id");
            found.contact(&customer);
        }
        found.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Mentions<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::only(MENTIONED, deserializer).map(Self)
    }
}

struct Found(Vec<(Kind, Private)>);

impl Found {
    fn id(&mut self, kind: Kind, body: &Object<'_>, name: &str) {
        let id = body.field(name).id().ok().flatten();
        self.0.extend(id.map(|id| (kind, Private(id))));
    }

    fn contact(&mut self, body: &Object<'_>) {
        for (kind, name) in [(Kind::Email, "email"), (Kind::Email, "contact_email"), (Kind::Phone, "phone")] {
            let text = body.field(name).private().ok().flatten();
            self.0.extend(text.map(|text| (kind, text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(topic: &str, body: &str) -> Vec<(Kind, Private)> {
        Mentions::read(body.as_bytes(), 32).unwrap().references(topic)
    }

    #[test]
    fn a_body_that_cannot_be_used_still_says_whom_it_is_about() {
        let body = r#"{"id":7,"line_items":3,"email":"a@example.com","customer":{"id":"9","phone":"+1"}}"#;
        let kinds: Vec<_> =
            references("orders/create", body).into_iter().map(|(kind, text)| (kind, text.0)).collect();
        let expected = [
            (Kind::Order, "7"),
            (Kind::Email, "a@example.com"),
            (Kind::ShopifyCustomer, "9"),
            (Kind::Phone, "+1"),
        ];
        assert_eq!(kinds, expected.map(|(kind, text)| (kind, text.to_owned())));
        for body in ["[]", "1e999", r#"{"\ud800":1,"id":7}"#] {
            assert!(references("orders/create", body).is_empty(), "{body}");
        }
    }

    #[test]
    fn the_last_of_two_fields_with_one_name_counts_as_it_does_for_the_translators() {
        let found = references("orders/create", r#"{"id":7,"email":"a","id":8,"em\u0061il":"b"}"#);
        assert_eq!(found.iter().map(|(_, text)| text.0.as_str()).collect::<Vec<_>>(), ["8", "b"]);
    }
}
