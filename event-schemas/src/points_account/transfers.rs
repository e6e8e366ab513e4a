//! Points move between two customers: out, then in; or out, then back. One transfer has one id on both sides.
use crate::{
    Code, CustomerId, EntryId, Personal, Points, Timestamp, TransferId, payload,
    points_account::{Balances, MovedLot},
};

payload! {
    /// Points left for another customer. They are in transit until they arrived or came back.
    PointsTransferredOut {
        /// The entry.
        entry: EntryId,
        /// The transfer.
        transfer: TransferId,
        /// Who is to have them.
        to: CustomerId,
        /// How many.
        points: Points,
        /// The lots they came from, soonest expiry first.
        lots: Vec<MovedLot>,
        /// Why.
        reason: Code,
        /// What both customers may read.
        note: Option<Personal<String>>,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: OTHER_ENTRY,
        transfer: TRANSFER,
        to: OTHER_CUSTOMER,
        points: points(20),
        lots: vec![MovedLot { lot: ENTRY, points: points(20), expires_at: Some(expiry()) }],
        reason: Code::fixed("gift"),
        note: sealed(),
        after: Balances {
            available: points(34),
            in_transit: points(20),
            lifetime_earned: points(54),
            lifetime_transferred: points(-20),
            ..Balances::default()
        },
    }
}

payload! {
    /// Points arrived from another customer, as lots with the dates that they had.
    PointsTransferredIn {
        /// The entry.
        entry: EntryId,
        /// The transfer.
        transfer: TransferId,
        /// Who had them.
        from: CustomerId,
        /// How many.
        points: Points,
        /// The new lots, with what repaid debt already taken off.
        lots: Vec<MovedLot>,
        /// How many repaid debt at once.
        repaid: Points,
        /// When, by the sender's clock: points that come to an account without any start its period of inactivity.
        #[serde(default)]
        at: Option<Timestamp>,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: ENTRY,
        transfer: TRANSFER,
        from: OTHER_CUSTOMER,
        points: points(20),
        lots: vec![MovedLot { lot: ENTRY, points: points(20), expires_at: Some(expiry()) }],
        repaid: points(0),
        at: Some(time()),
        after: Balances { available: points(20), lifetime_transferred: points(20), ..Balances::default() },
    },
    upcast: payload::with_defaults
}

payload! {
    /// The points arrived on the other side: they are no longer in transit.
    PointsTransferCompleted {
        /// The transfer.
        transfer: TransferId,
        /// How many.
        points: Points,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        transfer: TRANSFER,
        points: points(20),
        after: Balances {
            available: points(34),
            lifetime_earned: points(54),
            lifetime_transferred: points(-20),
            ..Balances::default()
        },
    }
}

payload! {
    /// The other side refused the points: they came back to the lots they left.
    PointsTransferReturned {
        /// The entry.
        entry: EntryId,
        /// The transfer.
        transfer: TransferId,
        /// How many.
        points: Points,
        /// The lots they came back to, with what repaid debt already taken off.
        lots: Vec<MovedLot>,
        /// How many repaid debt at once.
        repaid: Points,
        /// Why.
        reason: Code,
        /// The account after it.
        after: Balances,
    }
    sample: Self {
        entry: OTHER_ENTRY,
        transfer: TRANSFER,
        points: points(20),
        lots: vec![MovedLot { lot: ENTRY, points: points(20), expires_at: Some(expiry()) }],
        repaid: points(0),
        reason: Code::fixed("account-frozen"),
        after: Balances { available: points(54), lifetime_earned: points(54), ..Balances::default() },
    }
}
