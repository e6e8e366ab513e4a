//! Random programs: what is done on three accounts, told by small numbers so that keys and lots collide.
use event_schemas::{
    Points, Timestamp,
    merchant::{ExpiryMode, WhenShort},
};
use proptest::prelude::*;

/// One thing that is done, on one of the accounts where that matters.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Settle { order: u8, target: i64, bonus: i64, late: bool, release: Wait, when_short: WhenShort },
    Earn { on: u8, source: u8, points: i64, release: Wait },
    Act { on: u8, deed: u8, period: u8 },
    Adjust { on: u8, points: i64, allow_negative: bool },
    Reserve { on: u8, redemption: u8, points: i64 },
    Commit(u8),
    Release(u8),
    Reinstate(u8),
    ReleasePending(u8),
    Expire(u8),
    Warn(u8),
    Extend { on: u8, days: i64 },
    Freeze(u8),
    Unfreeze(u8),
    Send { on: u8, transfer: u8, points: i64 },
    Arrive(u8),
    EndTransfer(u8),
    Merge { on: u8, into: u8 },
    Redact(u8),
    Days(i64),
    Again(prop::sample::Index),
}

/// What awarded points wait for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    Nothing,
    Fulfilment,
    Days(i64),
}

/// A history to be played.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) mode: ExpiryMode,
    pub(super) grace_days: u32,
    pub(super) steps: Vec<Step>,
}

pub(super) fn program() -> impl Strategy<Value = Program> {
    let mode = prop_oneof![1 => Just(ExpiryMode::None), 2 => Just(ExpiryMode::PerLot), 1 => Just(ExpiryMode::Inactivity)];
    (mode, 0..40_u32, prop::collection::vec(step(), 1..50)).prop_map(|(mode, grace_days, steps)| Program {
        mode,
        grace_days,
        steps,
    })
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![4 => Just(Wait::Nothing), 1 => Just(Wait::Fulfilment), 2 => (0..20_i64).prop_map(Wait::Days)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => awards(),
        28 => redemptions(),
        16 => jobs(),
        18 => between_accounts(),
        1 => (0..3_u8).prop_map(Step::Redact),
    ]
}

fn awards() -> impl Strategy<Value = Step> {
    let when_short = prop_oneof![
        4 => Just(WhenShort::Unlimited),
        1 => Just(WhenShort::WithinBalance),
        1 => Just(WhenShort::OnlyPending),
    ];
    // Often the same again, so that some assessments move nothing.
    let target = prop_oneof![1 => Just(20), 2 => 0..60_i64];
    let bonus = prop_oneof![1 => Just(7), 1 => 0..20_i64];
    let settle = (0..4_u8, target, bonus, prop::bool::weighted(0.2), wait(), when_short);
    prop_oneof![
        8 => settle.prop_map(|(order, target, bonus, late, release, when_short)| Step::Settle {
            order,
            target,
            bonus,
            late,
            release,
            when_short,
        }),
        4 => (0..3_u8, 0..4_u8, 1..40_i64, wait())
            .prop_map(|(on, source, points, release)| Step::Earn { on, source, points, release }),
        2 => (0..3_u8, 0..5_u8, 0..2_u8).prop_map(|(on, deed, period)| Step::Act { on, deed, period }),
        3 => (0..3_u8, -40..40_i64, any::<bool>())
            .prop_map(|(on, points, allow_negative)| Step::Adjust { on, points, allow_negative }),
        2 => any::<prop::sample::Index>().prop_map(Step::Again),
    ]
}

fn redemptions() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, 0..3_u8, 1..50_i64)
            .prop_map(|(on, redemption, points)| Step::Reserve { on, redemption, points }),
        3 => (0..3_u8).prop_map(Step::Commit),
        2 => (0..3_u8).prop_map(Step::Release),
        4 => (0..3_u8).prop_map(Step::Reinstate),
    ]
}

fn jobs() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..25_i64).prop_map(Step::Days),
        2 => (0..3_u8).prop_map(Step::ReleasePending),
        2 => (0..3_u8).prop_map(Step::Expire),
        1 => (0..3_u8).prop_map(Step::Warn),
        1 => (0..3_u8, 1..90_i64).prop_map(|(on, days)| Step::Extend { on, days }),
    ]
}

fn between_accounts() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, 0..4_u8, 1..40_i64)
            .prop_map(|(on, transfer, points)| Step::Send { on, transfer, points }),
        3 => (0..4_u8).prop_map(Step::Arrive),
        3 => (0..4_u8).prop_map(Step::EndTransfer),
        1 => (0..3_u8, 0..3_u8).prop_map(|(on, into)| Step::Merge { on, into }),
        1 => (0..3_u8).prop_map(Step::Freeze),
        2 => (0..3_u8).prop_map(Step::Unfreeze),
    ]
}

/// Midnight of a day, counted from 2026-03-01.
pub(super) fn day(day: i64) -> Timestamp {
    Timestamp::from_micros(1_772_323_200_000_000 + day * 86_400_000_000)
}

pub(super) fn points(points: i64) -> Points {
    Points(points)
}
