//! Every movement of every account, each with what it did, why, and all buckets after it.
mod fold;
mod movement;
mod queries;
mod why;

use event_schemas::{
    Code, CustomerId, FieldAddress, MerchantId, Money, OrderId, Points, RedemptionId, Sealed, StreamType,
    Timestamp, TransferId,
    points_account::{Balances, PosEntry, Release, RuleUsed},
    reward::RewardUsed,
    words,
};
use uuid::Uuid;

use crate::{
    column::{Json, Origin, word_column},
    recorded::address,
    table::table,
};

pub use fold::PointsStatement;
pub use queries::{as_of, as_of_occurred, page};

words! {
    /// What moved the points.
    EntryType {
        /// Points were awarded.
        Earn = "earn",
        /// Points of an order were taken back.
        ClawBack = "claw_back",
        /// Points are held for a redemption; shown only while they are.
        Reserve = "reserve",
        /// Held points went back, because the redemption failed.
        Unreserve = "unreserve",
        /// Held points were spent.
        Redeem = "redeem",
        /// Points of a cancelled redemption came back.
        Reinstate = "reinstate",
        /// Points were added or taken by hand.
        Adjust = "adjust",
        /// Pending points can be spent from then on.
        Release = "release",
        /// Pending points of an order were taken back.
        Void = "void",
        /// Points ended.
        Expire = "expire",
        /// Points left for another customer, came from one, or came back from the way.
        Transfer = "transfer",
        /// Another account became this one, or this one another.
        Merge = "merge",
        /// A transfer arrived on the other side: only the balances are told, never shown.
        Arrive = "arrive",
    }
}

word_column!(EntryType);

table! {
    /// One movement. `points` of all visible entries add up to `available − debt`, plus `reserved`.
    Entry {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The customer.
            customer: CustomerId,
            /// The entry; of a reservation its redemption.
            entry: Uuid,
        }
        /// Version of the event in the account's stream: the order of the entries.
        version: u64,
        /// Whether the entry is shown. Hidden ones still say what the balances were.
        visible: bool,
        /// What moved the points.
        entry_type: EntryType,
        /// Signed change of `available + reserved − debt`.
        points: Points,
        /// Signed change of `pending`.
        pending: Points,
        /// All buckets after it.
        after: Json<Balances>,
        /// When it happened in business.
        occurred_at: Timestamp,
        /// When it was recorded.
        recorded_at: Timestamp,
        /// Why, as a code.
        reason: Option<Code>,
        /// The order it goes back to.
        order_id: Option<OrderId>,
        /// The redemption it goes back to.
        redemption: Option<RedemptionId>,
        /// The transfer it goes back to.
        transfer: Option<TransferId>,
        /// The other customer of a transfer or a merge.
        other: Option<CustomerId>,
        /// The award whose pending points were released.
        award: Option<Uuid>,
        /// The action that earned.
        action: Option<Code>,
        /// The till's entry it goes back to.
        pos: Option<Json<PosEntry>>,
        /// The rule behind an award.
        rule: Option<Json<RuleUsed>>,
        /// What pending points wait for.
        release: Option<Json<Release>>,
        /// From when on the points that came cannot be spent.
        expires_at: Option<Timestamp>,
        /// What redeemed points buy.
        discount: Option<Json<Money>>,
        /// The reward of the catalogue that they buy, as it was then.
        reward: Option<Json<RewardUsed>>,
        /// Points that a reservation holds, or that went back from it.
        held: Points,
        /// Of the points given, those that repaid debt at once.
        repaid: Points,
        /// Of the points taken, those that became debt.
        to_debt: Points,
        /// Points that were let go instead of taken.
        forgiven: Points,
        /// The outside's own name of the source: Shopify's order id or the caller's `source_id`.
        reference: Option<Sealed>,
        /// What the customer may read.
        public_note: Option<Sealed>,
        /// What only staff may read.
        internal_note: Option<Sealed>,
        /// What both customers of a transfer may read.
        note: Option<Sealed>,
        /// Who asked, such as `shopify` or `merchant`.
        actor: String,
        /// The member of staff or the customer who asked.
        actor_id: Option<Uuid>,
        /// The record whose event caused it.
        cause: Option<Uuid>,
        /// The event that all of this comes from.
        origin: Json<Origin>,
    }
    indexes ["merchant, customer, version, occurred_at"]
    sealed for customer
}

impl Entry {
    /// The address of one of the sealed fields, by the column's name.
    #[must_use]
    pub fn address(&self, field: &'static str) -> FieldAddress {
        let stream = (StreamType::PointsAccount, self.customer.0);
        address(self.merchant, self.customer, stream, self.origin.0, field)
    }
}
