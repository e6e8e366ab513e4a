//! What the specs of accounts have in common: commands told by small numbers, days counted from 2026-03-01.
use event_schemas::{
    Code, CustomerId, Digest, EntryId, OrderId, Points, Rate, RedemptionId, TimeZone, Timestamp, TransferId,
    loyalty_order::OrderStatus,
    merchant::{ActionLimit, ExpiryMode, LimitPeriod, WhenShort},
    points_account::{Balances, MovedLot},
    sample::usd,
};
use uuid::Uuid;

use super::{
    AbsorbAccount, AdjustPoints, Command, CommitRedemption, CompleteTransfer, ESTATE_PART_MAX, EarnPoints,
    EarnSource, Event, ExpirePoints, ExpiryRule, ExtendPointsExpiry, FreezeAccount, Grace, MergeAccount,
    MoveEstatePart, OpenAccount, RecordAction, ReinstatePoints, ReleasePendingPoints, ReleaseReservation,
    ReservePoints, ReturnTransfer, SettleOrder, State, TransferPointsIn, TransferPointsOut, UnfreezeAccount,
    WarnOfExpiry,
};
use crate::{
    Decider as _,
    testing::{When, fold, given, played},
};

pub(super) fn when(command: impl Into<Command>) -> When<State> {
    given::<State>([]).when(command)
}

pub(super) fn when_after<C: Into<Command>>(
    history: impl IntoIterator<Item = C>,
    command: impl Into<Command>,
) -> When<State> {
    given::<State>(played::<State>(history.into_iter().map(Into::into))).when(command)
}

pub(super) fn state_after<C: Into<Command>>(commands: impl IntoIterator<Item = C>) -> State {
    fold(played::<State>(commands.into_iter().map(Into::into)))
}

pub(super) fn balances(change: impl FnOnce(&mut Balances)) -> Balances {
    let mut balances = Balances::default();
    change(&mut balances);
    balances
}

/// Midnight of a day in UTC.
/// So many days of grace by the calendar of UTC.
pub(super) fn grace(days: u32) -> Grace {
    Grace { days, ..Grace::none() }
}

pub(super) fn at(day: i64) -> Timestamp {
    Timestamp::from_micros(1_772_323_200_000_000 + day * 86_400_000_000)
}

pub(super) fn expiry(mode: ExpiryMode, months: u32) -> ExpiryRule {
    ExpiryRule { mode, months, timezone: TimeZone::try_new("UTC").unwrap() }
}

pub(super) fn per_lot(months: u32) -> ExpiryRule {
    expiry(ExpiryMode::PerLot, months)
}

pub(super) fn inactive(months: u32) -> ExpiryRule {
    expiry(ExpiryMode::Inactivity, months)
}

fn never() -> ExpiryRule {
    expiry(ExpiryMode::None, 12)
}

/// The entry of a settlement.
pub(super) fn entry(order: u128, version: u32) -> EntryId {
    super::settlement_entry(customer(), OrderId(Uuid::from_u128(order)), version, &super::Rule::Purchase)
}

/// An entry of none of the commands here.
pub(super) fn other_entry(number: u128) -> EntryId {
    EntryId(Uuid::from_u128(number << 96))
}

pub(super) fn open() -> OpenAccount {
    OpenAccount { sign_up: None }
}

pub(super) fn settle(order: u128, version: u32, target: i64) -> SettleOrder {
    SettleOrder {
        customer: customer(),
        order: OrderId(Uuid::from_u128(order)),
        version,
        target: Points(target),
        status: OrderStatus::Qualified,
        eligible: usd(0),
        refunded: usd(0),
        rate: Rate::ONE,
        rule_version: 1,
        release: None,
        bonuses: Vec::new(),
        when_short: WhenShort::Unlimited,
        at: at(0),
        expiry: never(),
        reference: None,
        content: Digest([0; 16]),
    }
}

pub(super) fn earn(source: u8, points: i64) -> EarnPoints {
    EarnPoints {
        entry: EntryId(Uuid::from_u128(0xea00 + u128::from(source))),
        points: Points(points),
        reason: Code::fixed("bonus"),
        source: EarnSource::Api(Digest([source; 16])),
        rule: None,
        release: None,
        at: at(0),
        expiry: never(),
        reference: None,
        content: content(points),
    }
}

/// Two times a year, five points each.
pub(super) fn action(deed: u8, period: &'static str) -> RecordAction {
    RecordAction {
        entry: EntryId(Uuid::from_u128(0xac00 + u128::from(deed))),
        action: Code::fixed("product-review"),
        points: Points(5),
        limit: ActionLimit { count: 2, per: LimitPeriod::Year },
        period: Code::fixed(period),
        source: Digest([deed; 16]),
        at: at(0),
        expiry: never(),
        reference: None,
        content: content(5),
    }
}

pub(super) fn adjust(number: u8, points: i64) -> AdjustPoints {
    AdjustPoints {
        entry: EntryId(Uuid::from_u128(0xad00 + u128::from(number))),
        points: Points(points),
        reason: Code::fixed("goodwill"),
        public_note: None,
        internal_note: None,
        allow_negative: false,
        at: at(0),
        expiry: never(),
        content: content(points),
    }
}

pub(super) fn reserve(redemption: u8, points: i64) -> ReservePoints {
    ReservePoints {
        redemption: id(redemption),
        points: Points(points),
        discount: usd(points),
        rule_version: 1,
        reward: None,
        pos: None,
        at: at(0),
        expiry: never(),
    }
}

pub(super) fn commit(redemption: u8) -> CommitRedemption {
    CommitRedemption {
        redemption: id(redemption),
        entry: EntryId(Uuid::from_u128(0xc000 + u128::from(redemption))),
    }
}

pub(super) fn release(redemption: u8) -> ReleaseReservation {
    ReleaseReservation {
        redemption: id(redemption),
        reason: Code::fixed("code-not-issued"),
        at: at(0),
        grace: Grace::none(),
    }
}

pub(super) fn reinstate(redemption: u8) -> ReinstatePoints {
    ReinstatePoints {
        reason: Code::fixed("requested"),
        redemption: id(redemption),
        entry: EntryId(Uuid::from_u128(0xb000 + u128::from(redemption))),
        at: at(0),
        grace: Grace::none(),
        expiry: never(),
    }
}

pub(super) fn release_pending(day: i64) -> ReleasePendingPoints {
    ReleasePendingPoints { as_of: at(day), expiry: never() }
}

pub(super) fn expire(day: i64) -> ExpirePoints {
    let entry = EntryId(Uuid::from_u128(0xe000_0000 + u128::from(day.unsigned_abs())));
    ExpirePoints { entry, as_of: at(day), expiry: never() }
}

pub(super) fn warn(day: i64) -> WarnOfExpiry {
    WarnOfExpiry { as_of: at(day), expiry: never() }
}

pub(super) fn extend(day: i64) -> ExtendPointsExpiry {
    ExtendPointsExpiry {
        lots: None,
        until: at(day),
        reason: Code::fixed("goodwill"),
        note: None,
        at: at(0),
        entry: other_entry(0xee),
    }
}

pub(super) fn customer() -> CustomerId {
    CustomerId(Uuid::from_u128(1))
}

pub(super) fn merged_into() -> CustomerId {
    CustomerId(Uuid::from_u128(2))
}

fn transfer(number: u8) -> TransferId {
    TransferId(Uuid::from_u128(0x7000 + u128::from(number)))
}

pub(super) fn transfer_out(number: u8, points: i64) -> TransferPointsOut {
    TransferPointsOut {
        transfer: transfer(number),
        from: customer(),
        to: merged_into(),
        points: Points(points),
        reason: Code::fixed("gift"),
        note: None,
        entry: EntryId(Uuid::from_u128(0x7100 + u128::from(number))),
        at: at(0),
        expiry: never(),
    }
}

/// From a lot that ends on day 32.
pub(super) fn transfer_in(number: u8, points: i64) -> TransferPointsIn {
    let lot = MovedLot { lot: other_entry(7), points: Points(points), expires_at: Some(at(32)) };
    TransferPointsIn {
        transfer: transfer(number),
        from: merged_into(),
        points: Points(points),
        lots: vec![lot],
        entry: EntryId(Uuid::from_u128(0x7200 + u128::from(number))),
        at: at(0),
        expiry: never(),
    }
}

pub(super) fn complete(number: u8) -> CompleteTransfer {
    CompleteTransfer { transfer: transfer(number) }
}

pub(super) fn return_transfer(number: u8) -> ReturnTransfer {
    ReturnTransfer {
        transfer: transfer(number),
        entry: EntryId(Uuid::from_u128(0x7300 + u128::from(number))),
        reason: Code::fixed("account-frozen"),
        at: at(0),
        grace: Grace::none(),
    }
}

pub(super) fn merge() -> Command {
    merge_in_parts(ESTATE_PART_MAX)
}

pub(super) fn merge_in_parts(part_max: u32) -> Command {
    MergeAccount { customer: customer(), into: merged_into(), entry: other_entry(0x3e), part_max }.into()
}

/// The command that takes in what another account with this history leaves.
pub(super) fn absorbing(history: impl IntoIterator<Item = Command>) -> Command {
    let mut parts = absorbing_in_parts(history, ESTATE_PART_MAX);
    assert_eq!(parts.len(), 1);
    parts.remove(0)
}

/// The commands that take in what it leaves in parts of this size; the last one ends the merge.
pub(super) fn absorbing_in_parts(history: impl IntoIterator<Item = Command>, part_max: u32) -> Vec<Command> {
    let (mut account, mut command) = (state_after(history), merge_in_parts(part_max));
    let mut parts = Vec::new();
    loop {
        let left = account.decide(&command).unwrap().pop().unwrap();
        account.evolve(&left);
        let number = u32::try_from(parts.len()).unwrap() + 1;
        let (part, estate) = match left {
            Event::EstatePartMoved(moved) => (Some(moved.part), moved.estate),
            Event::PointsAccountMerged(merged) => (None, merged.estate),
            other => panic!("{other:?}"),
        };
        let entry = other_entry(0xab00 + u128::from(number));
        parts.push(AbsorbAccount { from: customer(), part, estate, entry }.into());
        if part.is_none() {
            return parts;
        }
        command =
            MoveEstatePart { part: number + 1, part_max, entry: other_entry(0x4000 + u128::from(number)) }
                .into();
    }
}

pub(super) fn freeze() -> Command {
    FreezeAccount { reason: Code::fixed("suspected-fraud"), note: None }.into()
}

pub(super) fn unfreeze() -> Command {
    UnfreezeAccount { reason: Code::fixed("cleared") }.into()
}

/// An adjustment that spends, for histories that do not care how points went.
pub(super) fn spend(number: u8, points: i64) -> Command {
    adjust(100 + number, -points).into()
}

fn id(redemption: u8) -> RedemptionId {
    RedemptionId(Uuid::from_u128(redemption.into()))
}

fn content(points: i64) -> Digest {
    Digest(i128::from(points).to_be_bytes())
}
