//! What the specs of accounts have in common: commands told by small numbers.
use event_schemas::{
    Code, Digest, EntryId, OrderId, Points, Rate, RedemptionId, loyalty_order::OrderStatus,
    merchant::WhenShort, points_account::Balances, sample::usd,
};
use uuid::Uuid;

use super::{
    AdjustPoints, Command, CommitRedemption, EarnPoints, ReinstatePoints, ReleaseReservation, ReservePoints,
    SettleOrder, State,
};
use crate::testing::{When, fold, given, played};

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

/// The entry of a settlement.
pub(super) fn entry(order: u128, version: u32) -> EntryId {
    EntryId(Uuid::from_u128(order << 32 | u128::from(version)))
}

/// An entry of none of the commands here.
pub(super) fn other_entry(number: u128) -> EntryId {
    EntryId(Uuid::from_u128(number << 96))
}

pub(super) fn settle(order: u128, version: u32, target: i64) -> SettleOrder {
    SettleOrder {
        order: OrderId(Uuid::from_u128(order)),
        version,
        target: Points(target),
        status: OrderStatus::Qualified,
        eligible: usd(0),
        refunded: usd(0),
        rate: Rate::ONE,
        rule_version: 1,
        when_short: WhenShort::Unlimited,
        entry: entry(order, version),
        reference: None,
        content: Digest([0; 16]),
    }
}

pub(super) fn earn(source: u8, points: i64) -> EarnPoints {
    EarnPoints {
        entry: EntryId(Uuid::from_u128(0xea00 + u128::from(source))),
        points: Points(points),
        reason: Code::fixed("bonus"),
        source: Digest([source; 16]),
        rule: None,
        reference: None,
        content: content(points),
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
        content: content(points),
    }
}

pub(super) fn reserve(redemption: u8, points: i64) -> ReservePoints {
    ReservePoints {
        redemption: id(redemption),
        points: Points(points),
        discount: usd(points),
        rule_version: 1,
    }
}

pub(super) fn commit(redemption: u8) -> CommitRedemption {
    CommitRedemption {
        redemption: id(redemption),
        entry: EntryId(Uuid::from_u128(0xc000 + u128::from(redemption))),
    }
}

pub(super) fn release(redemption: u8) -> ReleaseReservation {
    ReleaseReservation { redemption: id(redemption), reason: Code::fixed("code-not-issued") }
}

pub(super) fn reinstate(redemption: u8) -> ReinstatePoints {
    ReinstatePoints {
        redemption: id(redemption),
        entry: EntryId(Uuid::from_u128(0xb000 + u128::from(redemption))),
    }
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
