//! Whom a body is about, found even in bodies that cannot be used, so that an erasure finds the delivery.
use super::{fields::Object, plan::Private};

/// Something in a body that leads to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referred {
    /// Shopify's order id.
    Order,
    /// Shopify's customer id.
    Customer,
    /// E-mail address.
    Email,
    /// Phone number.
    Phone,
}

impl Referred {
    /// The kind as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Customer => "customer",
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }
}

/// All references of a body; what cannot be read is left out.
#[must_use]
pub fn references(topic: &str, body: &str) -> Vec<(Referred, Private)> {
    let Ok(body) = Object::body(body) else { return Vec::new() };
    let own = match topic.split('/').next() {
        Some("orders") => Some(Referred::Order),
        Some("customers") => Some(Referred::Customer),
        _ => None,
    };
    let mut found = Found(Vec::new());
    if let Some(kind) = own {
        found.id(kind, &body, "id");
    }
    found.id(Referred::Order, &body, "order_id");
    if let Ok(Some(edit)) = body.field("order_edit").object() {
        found.id(Referred::Order, &edit, "order_id");
    }
    for name in ["admin_graphql_api_customer_kept_id", "admin_graphql_api_customer_deleted_id"] {
        let id = body.field(name).global_id("Customer").ok().flatten();
        found.0.extend(id.map(|id| (Referred::Customer, Private(id))));
    }
    found.contact(&body);
    if let Ok(Some(customer)) = body.field("customer").object() {
        found.id(Referred::Customer, &customer, "id");
        found.contact(&customer);
    }
    found.0
}

struct Found(Vec<(Referred, Private)>);

impl Found {
    fn id(&mut self, kind: Referred, body: &Object<'_>, name: &str) {
        let id = body.field(name).id().ok().flatten();
        self.0.extend(id.map(|id| (kind, Private(id))));
    }

    fn contact(&mut self, body: &Object<'_>) {
        for (kind, name) in
            [(Referred::Email, "email"), (Referred::Email, "contact_email"), (Referred::Phone, "phone")]
        {
            let text = body.field(name).private().ok().flatten();
            self.0.extend(text.map(|text| (kind, text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_cannot_be_used_still_says_whom_it_is_about() {
        let body = r#"{"id":7,"line_items":3,"email":"a@example.com","customer":{"id":"9","phone":"+1"}}"#;
        let kinds: Vec<_> =
            references("orders/create", body).into_iter().map(|(kind, text)| (kind, text.0)).collect();
        let expected = [
            (Referred::Order, "7"),
            (Referred::Email, "a@example.com"),
            (Referred::Customer, "9"),
            (Referred::Phone, "+1"),
        ];
        assert_eq!(kinds, expected.map(|(kind, text)| (kind, text.to_owned())));
        assert!(references("orders/create", "[]").is_empty());
    }
}
