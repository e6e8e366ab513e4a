//! What the movements of an account have in common.
use crate::{Code, Digest, EntryId, Money, OrderId, Plain, Points, Rate, plain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

plain! {
    /// Points of one lot. Written into the event, so that replay never works them out again.
    #[derive(Copy)]
    Allocation {
        /// The lot: the entry that granted it.
        lot: EntryId,
        /// How many of its points.
        points: Points,
    }
}

plain! {
    /// The rule behind an award, frozen.
    RuleUsed {
        /// The rule's name, such as `purchase`.
        rule: Code,
        /// Version of the settings that held it.
        version: u32,
        /// Points per major unit.
        rate: Rate,
        /// The amount that earned.
        eligible: Money,
    }
}

/// What an entry goes back to; with its rule it is the business key that is honoured once, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// An order, settled to an assessment.
    Order {
        /// The order.
        order: OrderId,
        /// Version of the assessment.
        version: u32,
    },
    /// A call of the merchant's own program.
    Api {
        /// Keyed digest of the caller's `source_id`.
        id: Digest,
    },
}

impl Plain for Source {}
