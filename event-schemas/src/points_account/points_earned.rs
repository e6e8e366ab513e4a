//! Points were awarded.
use crate::{
    Code, Digest, EntryId, Personal, Points, payload,
    points_account::{Balances, RuleUsed, Source},
};

payload! {
    /// Points were awarded as one new lot. What repays debt never enters the lot.
    PointsEarned {
        /// The entry, and the lot it grants.
        entry: EntryId,
        /// What earned them.
        source: Source,
        /// Why, such as `purchase`.
        reason: Code,
        /// All points of the award.
        points: Points,
        /// How many of them repaid debt at once.
        repaid: Points,
        /// The rule behind it, if one was used.
        rule: Option<RuleUsed>,
        /// The outside's own name of the source (order id, `source_id`).
        reference: Option<Personal<String>>,
        /// Keyed digest of the command's content.
        content: Digest,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: ENTRY,
        source: Source::Order { order: ORDER, version: 1 },
        reason: Code::fixed("purchase"),
        points: points(54),
        repaid: points(4),
        rule: Some(RuleUsed {
            rule: Code::fixed("purchase"),
            version: 1,
            rate: crate::Rate::ONE,
            eligible: usd(5493),
        }),
        reference: sealed(),
        content: DIGEST,
        after: Balances { available: points(50), lifetime_earned: points(54), ..Balances::default() },
    }
}
