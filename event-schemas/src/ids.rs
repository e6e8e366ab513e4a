//! Every id has its own type; all are random UUIDs that lead nowhere without the directory.
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::text::expected;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Uuid::deserialize(deserializer).map(Self).map_err(|error| expected(error, "a UUID"))
            }
        }

        impl $name {
            /// The id as the 16 bytes that frames, hashes and keys use.
            #[must_use]
            pub const fn bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            /// The id with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl crate::personal::Plain for $name {}
    )*};
}

ids! {
    /// A shop.
    MerchantId,
    /// A person at one merchant; the subject under whose key personal fields are sealed.
    CustomerId,
    /// An order, found through the directory by Shopify's order id.
    OrderId,
    /// A refund, found through the directory by Shopify's refund id.
    RefundId,
    /// One exchange of points for a reward.
    RedemptionId,
    /// One movement on a points account; a lot carries the id of the entry that granted it.
    EntryId,
    /// One record of the log.
    RecordId,
    /// What a request and everything it caused have in common (`x-request-id`).
    CorrelationId,
    /// A command, for ever: the same key never takes effect twice in a stream.
    CommandKey,
    /// A member of staff.
    StaffId,
    /// One transfer of points between two customers, under the same id on both accounts.
    TransferId,
    /// One reward of a shop's catalogue.
    RewardId,
    /// One till.
    DeviceId,
    /// One request about a person's data, or a shop's.
    RequestId,
    /// One certificate of an erasure.
    CertificateId,
}

/// An event's own name: its record and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// The record that holds the event.
    pub record: RecordId,
    /// Zero-based place in the record.
    pub index: u16,
}

impl EventId {
    /// The key of the command that a policy sends because of this event: the same at every run.
    #[must_use]
    pub fn command_key(self, step: &str) -> CommandKey {
        let name = [&self.index.to_be_bytes(), step.as_bytes()].concat();
        CommandKey(Uuid::new_v5(&self.record.0, &name))
    }

    /// The ledger entry that this event's consequence named `step` makes: the same at every run.
    #[must_use]
    pub fn entry(self, step: &str) -> EntryId {
        EntryId(self.command_key(step).0)
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.record, self.index)
    }
}
