//! A person at one shop: whether they are registered, and digests that tell whether a message is news.
mod delete_customer;
mod merge_customers;
mod redact_customer;
mod register_customer;
mod switch_account;
mod update_customer;

pub use delete_customer::DeleteCustomer;
pub use merge_customers::MergeCustomers;
pub use redact_customer::RedactCustomer;
pub use register_customer::RegisterCustomer;
pub use switch_account::SwitchAccount;
pub use update_customer::UpdateCustomer;

use event_schemas::{
    CustomerId, Digest, Personal, RequestId, StreamType, Timestamp,
    catalogue::CustomerEvent as Event,
    customer::{CustomerRegistered, RegisteredBy},
};
use serde::{Deserialize, Serialize};

use crate::{Decider, Rejection, decider::commands};

commands! {
    Customer {
        RegisterCustomer = "register-customer" in register_customer;
        UpdateCustomer = "update-customer" in update_customer;
        MergeCustomers = "merge-customers" in merge_customers;
        SwitchAccount = "switch-account" in switch_account;
        DeleteCustomer = "delete-customer" in delete_customer;
        RedactCustomer = "redact-customer" in redact_customer;
    }
}

/// What a message says about a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Shopify's customer id.
    #[serde(with = "event_schemas::personal::transit")]
    pub shopify_customer_id: Option<Personal<String>>,
    /// E-mail address.
    #[serde(with = "event_schemas::personal::transit")]
    pub email: Option<Personal<String>>,
    /// Whether Shopify has verified the address.
    pub email_verified: bool,
    /// First name.
    #[serde(with = "event_schemas::personal::transit")]
    pub first_name: Option<Personal<String>>,
    /// Last name.
    #[serde(with = "event_schemas::personal::transit")]
    pub last_name: Option<Personal<String>>,
    /// Phone number.
    #[serde(with = "event_schemas::personal::transit")]
    pub phone: Option<Personal<String>>,
    /// Keyed digest of the e-mail address as it is compared.
    pub email_digest: Option<Digest>,
    /// Keyed digest of the personal fields.
    pub digest: Digest,
}

/// A person after their history. Holds no personal value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    known: Option<Known>,
    merged_into: Option<CustomerId>,
    disabled: bool,
    switched_at: Option<Timestamp>,
    deleted: bool,
    redacted: Option<RequestId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    profile: Digest,
    email_verified: bool,
    email: Option<Digest>,
    updated_at: Option<Timestamp>,
}

impl State {
    /// Whether the person joined.
    #[must_use]
    pub const fn registered(&self) -> bool {
        self.known.is_some()
    }

    /// Whether the newest message calls the e-mail address verified.
    #[must_use]
    pub fn email_verified(&self) -> bool {
        self.known.is_some_and(|known| known.email_verified)
    }

    /// Keyed digest of the e-mail address, if the newest message calls it verified.
    #[must_use]
    pub fn verified_email(&self) -> Option<Digest> {
        self.known.filter(|known| known.email_verified).and_then(|known| known.email)
    }

    /// Keyed digest of the personal fields.
    #[must_use]
    pub fn profile_digest(&self) -> Option<Digest> {
        self.known.map(|known| known.profile)
    }

    /// Who the person turned out to be.
    #[must_use]
    pub const fn merged_into(&self) -> Option<CustomerId> {
        self.merged_into
    }

    /// Whether Shopify has switched the person's account off.
    #[must_use]
    pub const fn disabled(&self) -> bool {
        self.disabled
    }

    /// Whether Shopify has deleted the person's profile.
    #[must_use]
    pub const fn deleted(&self) -> bool {
        self.deleted
    }

    /// Whether the person was erased.
    #[must_use]
    pub const fn redacted(&self) -> bool {
        self.redacted.is_some()
    }

    /// The request by which the person was erased.
    #[must_use]
    pub const fn redacted_by(&self) -> Option<RequestId> {
        self.redacted
    }

    const fn switched_at(&self) -> Option<Timestamp> {
        self.switched_at
    }

    /// Shopify's `updated_at` of the newest message that changed something.
    #[must_use]
    pub fn updated_at(&self) -> Option<Timestamp> {
        self.known.and_then(|known| known.updated_at)
    }
}

fn registered(by: RegisteredBy, profile: &Profile, updated_at: Option<Timestamp>) -> Event {
    let Profile {
        shopify_customer_id,
        email,
        email_verified,
        email_digest,
        first_name,
        last_name,
        phone,
        digest,
    } = profile.clone();
    CustomerRegistered {
        registered_by: by,
        shopify_customer_id,
        email,
        email_verified,
        email_digest,
        first_name,
        last_name,
        phone,
        profile: digest,
        updated_at,
    }
    .into()
}

impl Decider for State {
    const STREAM: StreamType = StreamType::Customer;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        let erases = matches!(command, Command::RedactCustomer(_));
        if self.redacted() && !erases {
            return Err(Rejection::AccountRedacted);
        }
        dispatch(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::CustomerRegistered(event) => {
                self.known = Some(Known {
                    profile: event.profile,
                    email_verified: event.email_verified,
                    email: event.email_digest,
                    updated_at: event.updated_at,
                });
            }
            Event::CustomerUpdated(event) => {
                self.known = Some(Known {
                    profile: event.profile,
                    email_verified: event.email_verified,
                    email: event.email_digest,
                    updated_at: event.updated_at,
                });
            }
            Event::CustomersMerged(event) => self.merged_into = Some(event.into),
            Event::CustomerDisabled(event) => (self.disabled, self.switched_at) = (true, event.updated_at),
            Event::CustomerEnabled(event) => (self.disabled, self.switched_at) = (false, event.updated_at),
            Event::CustomerDeleted(_) => self.deleted = true,
            Event::CustomerRedacted(event) => (self.redacted, self.known) = (Some(event.request), None),
        }
    }
}

#[cfg(test)]
mod specs {
    use super::*;

    /// A profile that differs with its number.
    pub(super) fn profile(number: u8) -> Profile {
        Profile {
            shopify_customer_id: Some(Personal::Clear("1".to_owned())),
            email: Some(Personal::Clear(format!("{number}@example.com"))),
            email_verified: false,
            email_digest: Some(Digest([number; 16])),
            first_name: None,
            last_name: None,
            phone: None,
            digest: Digest([number; 16]),
        }
    }

    pub(super) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }
}
