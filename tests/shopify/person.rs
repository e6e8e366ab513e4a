//! A customer at Shopify.
use serde_json::{Value, json};

use super::{at, bytes, fresh_id};

/// Somebody who buys.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: u64,
    pub(crate) email: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) phone: String,
    pub(crate) note: String,
    pub(crate) street: String,
    pub(crate) verified: bool,
    pub(crate) updated_min: i64,
}

/// A new person with a verified e-mail address.
pub(crate) fn person() -> Person {
    let id = fresh_id();
    Person {
        id,
        email: format!("p{id}@example.com"),
        first_name: "Ada".to_owned(),
        last_name: format!("Q{id}"),
        phone: format!("+49{}", id % 10_000_000_000),
        note: "Likes ice cream".to_owned(),
        street: "151 O'Connor Street".to_owned(),
        verified: true,
        updated_min: 0,
    }
}

impl Person {
    /// The same, with an address nobody has confirmed.
    pub(crate) fn unverified(mut self) -> Self {
        self.verified = false;
        self
    }

    /// The same person as Shopify knows them at this minute.
    pub(crate) fn updated(mut self, minute: i64) -> Self {
        self.updated_min = minute;
        self
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "admin_graphql_api_id": format!("gid://shopify/Customer/{}", self.id),
            "created_at": at(0),
            "updated_at": at(self.updated_min),
            "first_name": self.first_name,
            "last_name": self.last_name,
            "state": "disabled",
            "note": self.note,
            "verified_email": self.verified,
            "multipass_identifier": null,
            "tax_exempt": false,
            "email": self.email,
            "phone": self.phone,
            "currency": "USD",
            "tax_exemptions": [],
            "default_address": self.address(),
        })
    }

    pub(crate) fn address(&self) -> Value {
        json!({
            "first_name": self.first_name,
            "last_name": self.last_name,
            "address1": self.street,
            "city": "Ottawa",
            "zip": "K2P 2L8",
            "country_code": "CA",
            "phone": self.phone,
            "name": format!("{} {}", self.first_name, self.last_name),
        })
    }

    /// Body of `customers/create` and `customers/update`.
    pub(crate) fn body(&self) -> Vec<u8> {
        bytes(&self.json())
    }
}
