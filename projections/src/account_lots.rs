//! Every lot of every customer: what is left of it, what it waits for, and when it ends.
mod fold;
mod queries;

use event_schemas::{
    CustomerId, MerchantId, OrderId, Points, Timestamp,
    points_account::{LotExpiry, MovedLot, Release, RuleUsed},
};
use uuid::Uuid;

use crate::{column::Json, table::table};

pub use fold::AccountLots;
pub use queries::{After, Ending, ending, ending_of, page};

table! {
    /// A lot. What of it was spent, is held or repaid debt is what the other columns leave of `granted`.
    Lot {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The customer.
            customer: CustomerId,
            /// The lot: the entry that granted it.
            lot: Uuid,
        }
        /// Version of the event that brought it to the account.
        version: u64,
        /// All points of it that ever came.
        granted: Points,
        /// Not to be spent yet.
        pending: Points,
        /// Can be spent.
        remaining: Points,
        /// Ended.
        expired: Points,
        /// Taken back because an order came to less.
        clawed_back: Points,
        /// Taken back before they could be spent.
        voided: Points,
        /// Gone to another account.
        transferred: Points,
        /// What pending points wait for.
        release: Option<Json<Release>>,
        /// From when on it cannot be spent.
        expires_at: Option<Timestamp>,
        /// The same, as long as there is something to spend.
        ends_at: Option<Timestamp>,
        /// When it was earned here.
        earned_at: Timestamp,
        /// The order behind it.
        order_id: Option<OrderId>,
        /// The rule behind it.
        rule: Option<Json<RuleUsed>>,
    }
    indexes ["merchant, customer, version", "merchant, customer, ends_at", "merchant, ends_at, customer"]
}

impl Lot {
    /// Points that were spent, are held for a reward, or repaid debt.
    #[must_use]
    pub fn used(&self) -> Points {
        let others =
            [self.pending, self.remaining, self.expired, self.clawed_back, self.voided, self.transferred];
        // Nothing here can overflow: all are parts of what was granted.
        Points(others.iter().fold(self.granted.0, |rest, part| rest.saturating_sub(part.0)))
    }
}

/// What one event does to one lot.
#[derive(Clone, Debug, PartialEq)]
enum Effect {
    /// The lot comes to the account.
    Grant(Grant),
    /// Pending points can be spent; those that repay debt are used at once.
    Release { points: Points, repaid: Points, expires_at: Option<Timestamp> },
    /// Pending points wait for another time.
    Reschedule(Release),
    /// Pending points are taken back.
    Void(Points),
    /// Points are spent, held, or repay debt.
    Use(Points),
    /// Points come back from where they were used.
    Return(Points),
    /// Points end.
    Expire(Points),
    /// Points are taken back; `pending` ones were not to be spent yet.
    ClawBack { pending: bool, points: Points },
    /// Points leave for another account, or come back from the way there.
    Leave { pending: bool, points: Points },
    /// Points come back from the way to another account.
    ComeBack(Points),
    /// Points come to the account that are held or spent, but may still come back.
    Hold(MovedLot),
    /// Points come to the account that are on their way to another one, but may still come back.
    Away(MovedLot),
    /// The lot gets another date.
    Date(LotExpiry),
}

/// A lot as it comes.
#[derive(Clone, Debug, PartialEq)]
struct Grant {
    granted: Points,
    pending: Points,
    remaining: Points,
    release: Option<Release>,
    expires_at: Option<Timestamp>,
    order: Option<OrderId>,
    rule: Option<RuleUsed>,
}
