//! What became of a till's entries.
use crate::{Code, CustomerId, Digest, Money, Points, Timestamp, payload, points_account::RuleUsed, words};

words! {
    /// What an entry of a till does.
    PosEntryKind {
        /// It awards points.
        Earn = "earn",
        /// It spends points: the till gave the discount already.
        Redeem = "redeem",
    }
}

payload! {
    /// An entry is well-formed and new. Whether the account takes it follows.
    PosEntryAccepted {
        /// The till's number for it.
        sequence: u64,
        /// Whose points.
        customer: CustomerId,
        /// What it does.
        kind: PosEntryKind,
        /// How many points, above zero.
        points: Points,
        /// What the till took off, if points were spent.
        discount: Option<Money>,
        /// When it happened, by the till's clock.
        occurred_at: Timestamp,
        /// Keyed digest of its content.
        content: Digest,
        /// The rule by which a sale's amount came to the points, if an amount was told.
        #[serde(default)]
        rule: Option<RuleUsed>,
    }
    sample: Self {
        sequence: 4,
        customer: CUSTOMER,
        kind: PosEntryKind::Earn,
        points: points(12),
        discount: None,
        occurred_at: time(),
        content: DIGEST,
        rule: Some(RuleUsed {
            rule: Code::fixed("amount"),
            version: 1,
            rate: crate::Rate::ONE,
            multiplier: None,
            eligible: usd(1299),
        }),
    },
    upcast: payload::with_defaults
}

payload! {
    /// An entry has no effect: it was malformed, or the account refused it.
    PosEntryRejected {
        /// The till's number for it.
        sequence: u64,
        /// Why.
        code: Code,
    }
    sample: Self { sequence: 5, code: Code::fixed("insufficient-points") }
}
