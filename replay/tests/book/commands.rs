//! The commands of a book's lives. Business keys are few, so that they come again.
use domain::points_account::{
    AdjustPoints, EarnPoints, EarnSource, ExpiryRule, ExtendPointsExpiry, FreezeAccount, Grace,
    ReinstatePoints, ReleaseReservation, ReservePoints, ReturnTransfer, SettleOrder, TransferPointsIn,
    TransferPointsOut, UnfreezeAccount,
};
use event_schemas::{
    Code, CustomerId, Digest, EntryId, Event, OrderId, Points, Rate, RedemptionId, TimeZone, Timestamp,
    TransferId,
    catalogue::PointsAccountEvent,
    loyalty_order::{BonusTarget, OrderStatus},
    merchant::{ExpiryMode, WhenShort},
    points_account::{Estate, PointsTransferredOut, Release},
    sample,
};
use uuid::Uuid;

const DAY_US: i64 = 86_400_000_000;

/// Points live for a month.
pub(crate) fn expiry() -> ExpiryRule {
    ExpiryRule { mode: ExpiryMode::PerLot, months: 1, timezone: TimeZone::try_new("UTC").unwrap() }
}

fn days_after(at: Timestamp, days: i64) -> Timestamp {
    Timestamp::from_micros(at.micros() + days * DAY_US)
}

/// Few for each customer, so that they come again.
pub(super) fn redemption(customer: CustomerId, number: u8) -> RedemptionId {
    RedemptionId(Uuid::from_u128(customer.0.as_u128() ^ u128::from(number)))
}

pub(crate) fn earn(id: Uuid, source: u8, points: i64) -> EarnPoints {
    earn_at(id, sample::time(), source, points)
}

pub(super) fn earn_at(id: Uuid, at: Timestamp, source: u8, points: i64) -> EarnPoints {
    EarnPoints {
        entry: EntryId(id),
        points: Points(points),
        reason: Code::fixed("goodwill"),
        source: EarnSource::Api(Digest([source; 16])),
        rule: None,
        release: (points % 3 == 0).then(|| Release::At(days_after(at, 2))),
        at,
        expiry: expiry(),
        reference: None,
        content: sample::DIGEST,
    }
}

pub(super) fn adjust(id: Uuid, at: Timestamp, points: i64) -> AdjustPoints {
    AdjustPoints {
        entry: EntryId(id),
        points: Points(points),
        reason: Code::fixed("correction"),
        public_note: None,
        internal_note: None,
        allow_negative: points % 2 == 0,
        at,
        expiry: expiry(),
        content: sample::DIGEST,
    }
}

/// Few orders for each customer. Versions come from the level, so that older ones come again; some have a bonus, some
/// wait.
pub(crate) fn settle(customer: CustomerId, id: Uuid, at: Timestamp, order: u8, target: i64) -> SettleOrder {
    let bonus = BonusTarget {
        rule: Code::fixed("double-days"),
        multiplier: Rate::ONE,
        eligible: sample::usd(target * 100),
        target: Points(target / 2),
    };
    SettleOrder {
        customer,
        order: OrderId(Uuid::from_u128(customer.0.as_u128() ^ (u128::from(order) + 100))),
        version: u32::try_from(id.as_u128() % 9).unwrap() + 1,
        target: Points(target),
        status: OrderStatus::Qualified,
        eligible: sample::usd(target * 100),
        refunded: sample::usd(0),
        rate: Rate::ONE,
        rule_version: 1,
        release: [None, Some(Release::AwaitingFulfilment), Some(Release::At(days_after(at, 3)))]
            [usize::from(order) % 3],
        bonuses: (target % 2 == 0).then_some(bonus).into_iter().collect(),
        when_short: [WhenShort::Unlimited, WhenShort::WithinBalance][usize::from(target % 5 == 0)],
        at,
        expiry: expiry(),
        reference: None,
        content: sample::DIGEST,
    }
}

pub(super) fn reserve(redemption: RedemptionId, at: Timestamp, points: i64) -> ReservePoints {
    ReservePoints {
        redemption,
        points: Points(points),
        discount: sample::usd(points),
        rule_version: 1,
        reward: None,
        pos: None,
        at,
        expiry: expiry(),
    }
}

pub(super) fn give_up(redemption: RedemptionId, at: Timestamp) -> ReleaseReservation {
    ReleaseReservation { redemption, reason: Code::fixed("failed"), at, grace: grace() }
}

pub(super) fn give_back(redemption: RedemptionId, entry: EntryId, at: Timestamp) -> ReinstatePoints {
    let reason = Code::fixed("requested");
    ReinstatePoints { redemption, entry, reason, at, grace: grace(), expiry: expiry() }
}

pub(super) fn extend(entry: EntryId, at: Timestamp) -> ExtendPointsExpiry {
    let (until, reason) = (days_after(at, 60), Code::fixed("goodwill"));
    ExtendPointsExpiry { lots: None, until, reason, note: None, at, entry }
}

pub(super) fn freeze() -> FreezeAccount {
    FreezeAccount { reason: Code::fixed("suspected-fraud"), note: None }
}

pub(super) fn unfreeze() -> UnfreezeAccount {
    UnfreezeAccount { reason: Code::fixed("cleared") }
}

pub(crate) fn transfer_out(
    transfer: TransferId,
    (from, to): (CustomerId, CustomerId),
    points: i64,
    entry: EntryId,
    at: Timestamp,
) -> TransferPointsOut {
    let (points, reason) = (Points(points), Code::fixed("gift"));
    TransferPointsOut { transfer, from, to, points, reason, note: None, entry, at, expiry: expiry() }
}

pub(super) fn transfer_in(
    from: CustomerId,
    sent: &PointsTransferredOut,
    entry: EntryId,
    at: Timestamp,
) -> TransferPointsIn {
    let PointsTransferredOut { transfer, points, lots, .. } = sent.clone();
    TransferPointsIn { transfer, from, points, lots, entry, at, expiry: expiry() }
}

pub(super) fn transfer_back(transfer: TransferId, entry: EntryId, at: Timestamp) -> ReturnTransfer {
    ReturnTransfer { transfer, entry, reason: Code::fixed("account-frozen"), at, grace: grace() }
}

/// What left, if the event says so.
pub(super) const fn sent(event: &Event) -> Option<&PointsTransferredOut> {
    match event {
        Event::PointsAccount(PointsAccountEvent::PointsTransferredOut(sent)) => Some(sent),
        _ => None,
    }
}

/// What an account left that ends, and which part it is if more are to come.
pub(super) const fn estate(event: &Event) -> Option<(Option<u32>, &Estate)> {
    match event {
        Event::PointsAccount(PointsAccountEvent::EstatePartMoved(moved)) => {
            Some((Some(moved.part), &moved.estate))
        }
        Event::PointsAccount(PointsAccountEvent::PointsAccountMerged(merged)) => Some((None, &merged.estate)),
        _ => None,
    }
}

fn grace() -> Grace {
    Grace { days: 30, timezone: TimeZone::utc() }
}
