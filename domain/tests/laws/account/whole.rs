//! Law 14: what is kept of a state is the state.
use domain::{
    Decider as _,
    points_account::{ExpiryRule, SettleOrder, State},
    testing::fold,
};
use event_schemas::{
    Digest, OrderId, Points, Rate,
    loyalty_order::OrderStatus,
    merchant::{ExpiryMode, WhenShort},
    sample::{CUSTOMER, usd},
};
use proptest::prelude::*;
use uuid::Uuid;

use super::{
    commands::{Program, Step, Wait, day},
    over_histories,
    world::World,
};

/// Catches: a state that forgets part of itself when it is packed.
#[test]
pub(crate) fn law_14_a_snapshot_and_the_rest_give_the_same_state_as_all_events() {
    over_histories(|world| {
        for (on, end) in world.accounts.iter().enumerate() {
            let events: Vec<_> = world.events(on).cloned().collect();
            let cut = events.len() / 2;
            let half = fold::<State>(events[..cut].to_vec());
            let bytes = postcard::to_stdvec(&half).unwrap();
            let text = serde_json::to_string(&half).unwrap();
            for mut state in
                [postcard::from_bytes::<State>(&bytes).unwrap(), serde_json::from_str(&text).unwrap()]
            {
                prop_assert_eq!(&state, &half);
                events[cut..].iter().for_each(|event| state.evolve(event));
                prop_assert_eq!(&state, end);
            }
        }
        Ok(())
    });
}

/// One history, found by chance: the end of the transfer is told again once its sender's account has ended.
///
/// Catches: an account that ended and sends on what it answered itself (`a transfer always ends` fails in the world).
#[test]
pub(crate) fn a_transfer_may_be_told_to_have_ended_again_after_a_merge() {
    let ended_twice = |frozen: Option<Step>| {
        let earned = Step::Earn { on: 0, source: 0, points: 10, release: Wait::Nothing };
        let sent = [earned, Step::Send { on: 0, transfer: 0, points: 4 }];
        let told =
            [Step::Arrive(0), Step::EndTransfer(0), Step::Merge { on: 0, into: 2 }, Step::EndTransfer(0)];
        let steps = sent.into_iter().chain(frozen).chain(told).collect();
        let world = World::played(&Program { mode: ExpiryMode::None, grace_days: 0, steps });
        [0, 1, 2].map(|on: usize| world.accounts[on].balances().available.0)
    };
    assert_eq!(ended_twice(None), [0, 4, 6]);
    assert_eq!(ended_twice(Some(Step::Freeze(1))), [0, 0, 10]);
}

/// Ten orders, each with its lot and a date, and nothing else.
///
/// Catches: a lot that is kept with a name that follows from its order; a movement that is kept for ever.
#[test]
pub(crate) fn an_account_of_ten_orders_is_kept_in_400_bytes() {
    let mut account = State::default();
    for number in 0..10 {
        let order = OrderId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number));
        let settle = SettleOrder {
            customer: CUSTOMER,
            order,
            version: 1,
            target: Points(540),
            status: OrderStatus::Qualified,
            eligible: usd(54_000),
            refunded: usd(0),
            rate: Rate::ONE,
            rule_version: 1,
            release: None,
            bonuses: Vec::new(),
            when_short: WhenShort::Unlimited,
            at: day(i64::try_from(number).unwrap()),
            expiry: ExpiryRule { mode: ExpiryMode::PerLot, months: 12, ..ExpiryRule::none() },
            reference: None,
            content: Digest([0; 16]),
        };
        for event in account.decide(&settle.into()).unwrap() {
            account.evolve(&event);
        }
    }
    let bytes = postcard::to_stdvec(&account).unwrap().len();
    println!("{bytes} bytes");
    assert!(bytes <= 400, "{bytes} bytes");
}
