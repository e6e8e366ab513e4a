//! Points were awarded.
use crate::{
    Code, Digest, EntryId, Personal, Points, Timestamp, payload,
    points_account::{Balances, Release, RuleUsed, Source},
};

payload! {
    /// Points were awarded as one new lot. What repays debt never enters the lot; pending points repay none yet.
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
        /// What the points wait for; they can be spent at once if missing.
        release: Option<Release>,
        /// From when on the lot cannot be spent; never, or not known before its release, if missing.
        expires_at: Option<Timestamp>,
        /// When the customer did what earned them, by the sender's clock: the account's last activity.
        at: Option<Timestamp>,
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
            multiplier: None,
            eligible: usd(5493),
        }),
        release: None,
        expires_at: Some(expiry()),
        at: Some(time()),
        reference: sealed(),
        content: DIGEST,
        after: Balances { available: points(50), lifetime_earned: points(54), ..Balances::default() },
    },
    upcast: payload::with_defaults
}
