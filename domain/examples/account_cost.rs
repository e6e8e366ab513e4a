//! What a command costs on an account with 10,000 lots and 100,000 entries, beside a fresh one; and how large each is.
use std::{hint::black_box, time::Duration};

use domain::{
    Decider as _,
    points_account::{AdjustPoints, Command, EarnPoints, EarnSource, ExpiryRule, ReservePoints, State},
};
use event_schemas::{Code, Digest, EntryId, Points, RedemptionId, Timestamp, sample::usd};
use uuid::Uuid;

const LOTS: u128 = 10_000;
const ENTRIES: u128 = 100_000;
const COMMANDS: u128 = 2_000;

fn main() {
    let mut fresh = State::default();
    send(&mut fresh, earn(0));
    let mut old = State::default();
    for number in 0..ENTRIES {
        send(&mut old, earn(number));
        if number >= LOTS {
            send(&mut old, spend(number));
        }
    }
    for (name, state) in [("fresh", fresh), ("old", old)] {
        let bytes = serde_json::to_vec(&state).map_or(0, |bytes| bytes.len());
        let lots = state.lots().count();
        println!("{name}: {lots} lots, {bytes} bytes of JSON, {:?} per command", cost(state));
    }
}

/// Time per command, in rounds of earning, adjusting and reserving. Only this programme measures; no rule sees a clock.
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn cost(mut state: State) -> Duration {
    let start = std::time::Instant::now();
    for number in 0..COMMANDS {
        let number = ENTRIES + number;
        send(&mut state, earn(number));
        send(&mut state, spend(number));
        send(&mut state, reserve(number));
        black_box(state.due());
    }
    start.elapsed() / u32::try_from(COMMANDS * 3).unwrap_or(1)
}

fn send(state: &mut State, command: Command) {
    for event in black_box(state.decide(&black_box(command))).unwrap_or_default() {
        state.evolve(&event);
    }
}

fn earn(number: u128) -> Command {
    EarnPoints {
        entry: EntryId(Uuid::from_u128(number << 1)),
        points: Points(10),
        reason: Code::fixed("bonus"),
        source: EarnSource::Api(Digest(number.to_be_bytes())),
        rule: None,
        release: None,
        at: Timestamp::EPOCH,
        expiry: ExpiryRule::none(),
        reference: None,
        content: Digest([0; 16]),
    }
    .into()
}

fn spend(number: u128) -> Command {
    AdjustPoints {
        entry: EntryId(Uuid::from_u128((number << 1) + 1)),
        points: Points(-10),
        reason: Code::fixed("goodwill"),
        public_note: None,
        internal_note: None,
        allow_negative: false,
        at: Timestamp::EPOCH,
        expiry: ExpiryRule::none(),
        content: Digest([0; 16]),
    }
    .into()
}

fn reserve(number: u128) -> Command {
    ReservePoints {
        redemption: RedemptionId(Uuid::from_u128(number)),
        points: Points(1),
        discount: usd(1),
        rule_version: 1,
        reward: None,
        pos: None,
        at: Timestamp::EPOCH,
        expiry: ExpiryRule::none(),
    }
    .into()
}
