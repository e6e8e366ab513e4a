//! What an account leaves to the one it is merged into: everything that must live on.
use crate::{
    Code, CustomerId, Digest, EntryId, Money, OrderId, Points, RedemptionId, Timestamp, TransferId, plain,
    points_account::{Balances, MovedLot, Release, Source},
    words,
};

plain! {
    /// All that lives on. Lots and entries keep their ids.
    Estate {
        /// Pending lots and those that can be spent, in the order in which they were earned.
        lots: Vec<EstateLot>,
        /// What is owed.
        debt: Points,
        /// How far each order is settled.
        orders: Vec<EstateOrder>,
        /// Redemptions, so that they can still end or be cancelled.
        reservations: Vec<EstateReservation>,
        /// Transfers that neither arrived nor came back.
        transfers: Vec<EstateTransfer>,
        /// How often each action earned.
        actions: Vec<EstateAction>,
        /// Business keys that were honoured.
        keys: Vec<EstateKey>,
        /// When the customer last earned or redeemed.
        last_activity_at: Option<Timestamp>,
        /// Whether the account was frozen: the one that goes on is frozen then, too.
        frozen: bool,
    }
}

plain! {
    /// A lot with points in it.
    EstateLot {
        /// The lot.
        lot: EntryId,
        /// Its pending points, or those that can be spent.
        points: Points,
        /// What they wait for, if they are pending.
        release: Option<Release>,
        /// From when on they cannot be spent, if ever.
        expires_at: Option<Timestamp>,
        /// The order behind it, if there is one.
        order: Option<OrderId>,
        /// What of the order.
        rule: Option<Code>,
    }
}

plain! {
    /// How far an order is settled.
    EstateOrder {
        /// The order.
        order: OrderId,
        /// Version of its newest assessment.
        version: u32,
        /// Each component's level.
        levels: Vec<EstateLevel>,
    }
}

plain! {
    /// How far one component of an order is settled.
    EstateLevel {
        /// What of the order: `purchase`, or a bonus.
        rule: Code,
        /// All points granted for it.
        granted: Points,
        /// All points taken back of it, those forgiven too.
        clawed: Points,
    }
}

words! {
    /// How far a reservation came.
    ReservationPhase {
        /// The points are held.
        Reserved = "reserved",
        /// The points are spent.
        Redeemed = "redeemed",
        /// The points went back unspent.
        Released = "released",
        /// The points were spent and came back.
        Reinstated = "reinstated",
    }
}

plain! {
    /// Points set aside for a redemption, and how that went on.
    EstateReservation {
        /// The redemption.
        redemption: RedemptionId,
        /// How many.
        points: Points,
        /// What they buy.
        discount: Money,
        /// The lots they came from.
        lots: Vec<MovedLot>,
        /// How far it came.
        phase: ReservationPhase,
        /// The entry that spent them.
        entry: Option<EntryId>,
        /// The account after the reservation.
        after: Balances,
        /// The account after they were spent.
        spent: Option<Balances>,
    }
}

plain! {
    /// A transfer on its way.
    EstateTransfer {
        /// The transfer.
        transfer: TransferId,
        /// Who is to have the points.
        to: CustomerId,
        /// How many.
        points: Points,
        /// The lots they came from.
        lots: Vec<MovedLot>,
    }
}

plain! {
    /// How often an action earned.
    EstateAction {
        /// The action.
        action: Code,
        /// In this period.
        period: Code,
        /// So often.
        count: u32,
    }
}

plain! {
    /// A business key that was honoured, with what its first answer needs.
    EstateKey {
        /// What was honoured.
        source: Source,
        /// The entry.
        entry: EntryId,
        /// What it changed.
        points: Points,
        /// The account after it.
        after: Balances,
        /// Keyed digest of the command's content.
        content: Digest,
    }
}

impl Estate {
    /// A sample.
    #[must_use]
    pub fn sample() -> Self {
        use crate::sample::{DIGEST, ENTRY, ORDER, expiry, time};
        let rule = || Code::fixed("purchase");
        Self {
            lots: vec![EstateLot {
                lot: ENTRY,
                points: Points(54),
                release: None,
                expires_at: Some(expiry()),
                order: Some(ORDER),
                rule: Some(rule()),
            }],
            debt: Points::ZERO,
            orders: vec![EstateOrder {
                order: ORDER,
                version: 1,
                levels: vec![EstateLevel { rule: rule(), granted: Points(54), clawed: Points::ZERO }],
            }],
            reservations: Vec::new(),
            transfers: Vec::new(),
            actions: vec![EstateAction {
                action: Code::fixed("birthday"),
                period: Code::fixed("2026"),
                count: 1,
            }],
            keys: vec![EstateKey {
                source: Source::Api { id: DIGEST },
                entry: crate::sample::OTHER_ENTRY,
                points: Points(10),
                after: Balances::default(),
                content: DIGEST,
            }],
            last_activity_at: Some(time()),
            frozen: false,
        }
    }
}
