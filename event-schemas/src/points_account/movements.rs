//! What the movements of an account have in common.
use crate::{Code, DeviceId, Digest, EntryId, Money, OrderId, Plain, Points, Rate, Timestamp, plain};
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
        /// What a bonus multiplies the rate with: it adds what is above one.
        multiplier: Option<Rate>,
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
    /// Something a person did that earns by itself.
    Action {
        /// The action's name in the settings.
        action: Code,
        /// Keyed digest of what was done: the order, the review, the person.
        id: Digest,
        /// What its limit counts it in, in the shop's time zone, such as `2026-03-01`, `2026` or `lifetime`.
        period: Code,
    },
    /// An entry of a till.
    Pos(PosEntry),
}

impl Plain for Source {}

plain! {
    /// An entry of a till.
    #[derive(Copy, Hash, PartialOrd, Ord)]
    PosEntry {
        /// The till.
        device: DeviceId,
        /// The till's number for it.
        sequence: u64,
    }
}

/// What pending points wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Release {
    /// The order's fulfilment.
    AwaitingFulfilment,
    /// A point in time.
    At(Timestamp),
}

impl Plain for Release {}

plain! {
    /// From when on a lot cannot be spent.
    #[derive(Copy)]
    LotExpiry {
        /// The lot.
        lot: EntryId,
        /// Its date.
        expires_at: Timestamp,
    }
}

plain! {
    /// Points of a lot on their way to another account, or back.
    #[derive(Copy)]
    MovedLot {
        /// The lot on the account of this event.
        lot: EntryId,
        /// How many of its points.
        points: Points,
        /// From when on they cannot be spent, if ever.
        expires_at: Option<Timestamp>,
    }
}
