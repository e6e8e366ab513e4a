//! Laws of the points account: 1 to 7, 14 and 17, over random commands with small ids, so that keys and lots collide.
use std::collections::BTreeMap;

use domain::{
    Command, Decider,
    points_account::{
        self, AdjustPoints, CommitRedemption, EarnPoints, ReinstatePoints, ReleaseReservation, ReservePoints,
        SettleOrder, State,
    },
    testing::fold,
};
use event_schemas::{
    Code, Digest, EntryId, OrderId, Points, Rate, RedemptionId,
    catalogue::PointsAccountEvent as Event,
    loyalty_order::OrderStatus,
    merchant::WhenShort,
    points_account::{Allocation, Balances, Source},
    sample::usd,
};
use proptest::prelude::*;
use uuid::Uuid;

/// A command by small numbers; its place in the history gives it its entry and its version.
#[derive(Clone, Debug)]
enum Step {
    Settle { order: u8, target: i64, when_short: WhenShort },
    Earn { source: u8, points: i64 },
    Adjust { points: i64, allow_negative: bool },
    Reserve { redemption: u8, points: i64 },
    Commit(u8),
    Release(u8),
    Reinstate(u8),
    Again(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let when_short = prop_oneof![
        4 => Just(WhenShort::Unlimited),
        1 => Just(WhenShort::WithinBalance),
        1 => Just(WhenShort::OnlyPending),
    ];
    prop_oneof![
        4 => (0..3_u8, 0..60_i64, when_short)
            .prop_map(|(order, target, when_short)| Step::Settle { order, target, when_short }),
        2 => (0..4_u8, 1..40_i64).prop_map(|(source, points)| Step::Earn { source, points }),
        2 => (-40..40_i64, any::<bool>())
            .prop_map(|(points, allow_negative)| Step::Adjust { points, allow_negative }),
        4 => (0..5_u8, 1..50_i64).prop_map(|(redemption, points)| Step::Reserve { redemption, points }),
        2 => (0..5_u8).prop_map(Step::Commit),
        2 => (0..5_u8).prop_map(Step::Release),
        2 => (0..5_u8).prop_map(Step::Reinstate),
        2 => any::<prop::sample::Index>().prop_map(Step::Again),
    ]
}

/// One event with the state on both sides of it.
#[derive(Debug)]
struct Moment {
    before: State,
    event: Event,
    after: State,
}

#[derive(Debug)]
struct History {
    commands: Vec<points_account::Command>,
    moments: Vec<Moment>,
    end: State,
}

impl History {
    fn events(&self) -> Vec<Event> {
        self.moments.iter().map(|moment| moment.event.clone()).collect()
    }
}

fn history() -> impl Strategy<Value = History> {
    prop::collection::vec(step(), 1..60).prop_map(|steps| {
        let mut commands = Vec::<points_account::Command>::new();
        for (place, step) in steps.iter().enumerate() {
            let command = match step {
                Step::Again(_) if commands.is_empty() => continue,
                Step::Again(which) => which.get(&commands).clone(),
                other => command(place, other),
            };
            commands.push(command);
        }
        played(commands)
    })
}

fn played(commands: Vec<points_account::Command>) -> History {
    let mut end = State::default();
    let mut moments = Vec::new();
    for command in &commands {
        for event in end.decide(command).unwrap_or_default() {
            let before = end.clone();
            end.evolve(&event);
            moments.push(Moment { before, event, after: end.clone() });
        }
    }
    History { commands, moments, end }
}

fn command(place: usize, step: &Step) -> points_account::Command {
    let entry = EntryId(Uuid::from_u128(place as u128 + 1));
    let redemption = |number: u8| RedemptionId(Uuid::from_u128(number.into()));
    match *step {
        Step::Settle { order, target, when_short } => SettleOrder {
            order: OrderId(Uuid::from_u128(order.into())),
            version: u32::try_from(place).unwrap() + 1,
            target: Points(target),
            status: OrderStatus::Qualified,
            eligible: usd(0),
            refunded: usd(0),
            rate: Rate::ONE,
            rule_version: 1,
            when_short,
            entry,
            reference: None,
            content: content(target),
        }
        .into(),
        Step::Earn { source, points } => EarnPoints {
            entry,
            points: Points(points),
            reason: Code::fixed("bonus"),
            source: Digest([source; 16]),
            rule: None,
            reference: None,
            content: content(points),
        }
        .into(),
        Step::Adjust { points, allow_negative } => AdjustPoints {
            entry,
            points: Points(points),
            reason: Code::fixed("correction"),
            public_note: None,
            internal_note: None,
            allow_negative,
            content: content(points),
        }
        .into(),
        Step::Reserve { redemption: number, points } => ReservePoints {
            redemption: redemption(number),
            points: Points(points),
            discount: usd(points),
            rule_version: 1,
        }
        .into(),
        Step::Commit(number) => CommitRedemption { redemption: redemption(number), entry }.into(),
        Step::Release(number) => {
            ReleaseReservation { redemption: redemption(number), reason: Code::fixed("failed") }.into()
        }
        Step::Reinstate(number) => ReinstatePoints { redemption: redemption(number), entry }.into(),
        Step::Again(_) => unreachable!("a repeat was resolved before"),
    }
}

fn content(points: i64) -> Digest {
    Digest(i128::from(points).to_be_bytes())
}

fn sum(allocations: &[Allocation]) -> i64 {
    allocations.iter().map(|one| one.points.0).sum()
}

/// The balances that an event states, if it moves points.
fn stated(event: &Event) -> Option<Balances> {
    match event {
        Event::PointsAccountOpened(_) => None,
        Event::PointsEarned(event) => Some(event.after),
        Event::PointsClawedBack(event) => Some(event.after),
        Event::PointsReserved(event) => Some(event.after),
        Event::PointsRedeemed(event) => Some(event.after),
        Event::PointsReservationReleased(event) => Some(event.after),
        Event::PointsReinstated(event) => Some(event.after),
        Event::PointsAdjusted(event) => Some(event.after),
    }
}

proptest! {
    #![proptest_config(crate::cases())]

    /// Catches: a clawback that forgets to lower what is available; a release that gives back to the lots what
    /// repaid debt.
    #[test]
    fn law_1_what_can_be_spent_is_what_remains_in_the_lots(history in history()) {
        for Moment { after, .. } in &history.moments {
            let remaining: i64 = after.lots().map(|(_, lot)| lot.remaining.0).sum();
            let reserved: i64 = after.lots().map(|(_, lot)| lot.reserved.0).sum();
            prop_assert_eq!(after.balances().available.0, remaining);
            prop_assert_eq!(after.balances().reserved.0, reserved);
            for (_, lot) in after.lots() {
                prop_assert!((0..=lot.granted.0).contains(&lot.remaining.0), "{:?}", lot);
            }
        }
    }

    /// Catches: a commit after a release; a redemption that is not told to its lots as spent.
    #[test]
    fn law_2_every_point_of_a_lot_is_somewhere(history in history()) {
        for (_, lot) in history.moments.iter().flat_map(|moment| moment.after.lots()) {
            let parts = [lot.remaining, lot.reserved, lot.spent, lot.clawed_back, lot.repaid];
            prop_assert!(parts.iter().all(|part| part.0 >= 0), "{:?}", lot);
            prop_assert_eq!(lot.granted.0, parts.iter().map(|part| part.0).sum::<i64>());
        }
    }

    /// Catches: an award that leaves debt standing.
    #[test]
    fn law_3_nobody_has_points_to_spend_and_debt(history in history()) {
        for Moment { after, .. } in &history.moments {
            let Balances { available, debt, .. } = after.balances();
            prop_assert!(available.0 >= 0 && debt.0 >= 0);
            prop_assert!(available.is_zero() || debt.is_zero(), "{:?}", after.balances());
        }
    }

    /// Catches: a commit that is accepted after a release.
    #[test]
    fn law_4_a_reservation_is_covered_when_made_and_ends_once(history in history()) {
        let mut ends = BTreeMap::<RedemptionId, u32>::new();
        for Moment { before, event, .. } in &history.moments {
            match event {
                Event::PointsReserved(reserved) => {
                    prop_assert!(reserved.points <= before.balances().available);
                    prop_assert_eq!(sum(&reserved.allocations), reserved.points.0);
                    prop_assert_eq!(ends.insert(reserved.redemption, 0), None);
                }
                Event::PointsRedeemed(redeemed) => *ends.entry(redeemed.redemption).or_insert(9) += 1,
                Event::PointsReservationReleased(released) => {
                    *ends.entry(released.redemption).or_insert(9) += 1;
                }
                _ => {}
            }
        }
        prop_assert!(ends.values().all(|ends| *ends <= 1), "{:?}", ends);
    }

    /// Catches: a settlement that forgets what was taken back before.
    #[test]
    fn law_5_no_more_is_taken_back_of_an_order_than_it_was_granted(history in history()) {
        let mut net = BTreeMap::<OrderId, i64>::new();
        for Moment { event, .. } in &history.moments {
            match event {
                Event::PointsEarned(earned) => {
                    if let Source::Order { order, .. } = earned.source {
                        *net.entry(order).or_default() += earned.points.0;
                    }
                }
                Event::PointsClawedBack(clawed) => {
                    let split = sum(&clawed.from_pending) + sum(&clawed.from_active);
                    prop_assert_eq!(split + clawed.to_debt.0 + clawed.forgiven.0, clawed.points.0);
                    let net = net.entry(clawed.order).or_default();
                    *net -= clawed.points.0;
                    prop_assert!(*net >= 0);
                }
                _ => {}
            }
        }
    }

    /// Catches: an older version that is applied.
    #[test]
    fn an_order_is_settled_to_its_newest_level(history in history()) {
        let mut levels = BTreeMap::<OrderId, (u32, i64)>::new();
        for command in &history.commands {
            if let Some(settle) = Command::from(command.clone()).settling() {
                let newest = levels.entry(settle.order).or_default();
                *newest = (*newest).max((settle.version, settle.target.0));
            }
        }
        for (order, (_, target)) in levels {
            let net = history.end.settled(order).map_or(0, |settled| settled.granted.0 - settled.clawed.0);
            prop_assert_eq!(net, target);
        }
    }

    /// Catches: a reinstatement that can be had twice.
    #[test]
    fn law_6_no_more_comes_back_of_a_redemption_than_it_cost(history in history()) {
        let mut cost = BTreeMap::<RedemptionId, i64>::new();
        for Moment { event, .. } in &history.moments {
            match event {
                Event::PointsRedeemed(redeemed) => {
                    cost.insert(redeemed.redemption, redeemed.points.0);
                }
                Event::PointsReinstated(back) => {
                    let left = cost.entry(back.redemption).or_default();
                    *left -= back.points.0;
                    prop_assert!(*left >= 0);
                    prop_assert_eq!(sum(&back.allocations) + back.repaid.0, back.points.0);
                }
                _ => {}
            }
        }
    }

    /// Catches: an award that does not remember its source.
    #[test]
    fn law_7_a_business_key_awards_once_for_ever(history in history()) {
        let again = played([history.commands.clone(), history.commands.clone()].concat());
        let mut awards = BTreeMap::<String, u32>::new();
        for event in again.events() {
            let key = match &event {
                Event::PointsEarned(earned) => format!("{:?}", earned.source),
                Event::PointsAdjusted(adjusted) => format!("{:?}", adjusted.entry),
                _ => continue,
            };
            *awards.entry(key).or_default() += 1;
        }
        prop_assert!(awards.values().all(|times| *times == 1), "{:?}", awards);
    }

    /// Catches: a state that forgets part of itself when it is written.
    #[test]
    fn law_14_a_snapshot_and_the_rest_give_the_same_state_as_all_events(
        history in history(),
        cut in any::<prop::sample::Index>(),
    ) {
        let events = history.events();
        let cut = if events.is_empty() { 0 } else { cut.index(events.len()) };
        let snapshot = serde_json::to_string(&fold::<State>(events[..cut].to_vec())).unwrap();
        let mut state: State = serde_json::from_str(&snapshot).unwrap();
        events[cut..].iter().for_each(|event| state.evolve(event));
        prop_assert_eq!(&state, &history.end);
    }

    /// Catches: a clawback whose debt is not counted as clawed back.
    #[test]
    fn law_17_all_points_issued_are_accounted_for(history in history()) {
        for Moment { event, after, .. } in &history.moments {
            let all = after.balances();
            let issued = all.lifetime_earned.0 + all.lifetime_adjusted.0 + all.lifetime_transferred.0;
            let gone = all.lifetime_redeemed.0
                + all.lifetime_expired.0
                + all.lifetime_clawed_back.0
                + all.lifetime_voided.0;
            let outstanding = all.available.0 + all.pending.0 + all.reserved.0 - all.debt.0;
            prop_assert_eq!(issued - gone, outstanding, "{:?}", event);
            prop_assert!(stated(event).is_none_or(|stated| stated == all));
        }
    }

    /// Catches: an entry that tells the points of a clawback with those forgiven.
    #[test]
    fn the_entries_of_an_account_sum_to_its_balance(history in history()) {
        let entries: i64 = history.moments.iter().filter_map(|moment| entry(&moment.event)).map(|id| {
            history.end.entry(id).map_or(0, |entry| entry.points.0)
        }).sum();
        let Balances { available, reserved, debt, .. } = history.end.balances();
        prop_assert_eq!(entries, available.0 + reserved.0 - debt.0);
    }
}

fn entry(event: &Event) -> Option<EntryId> {
    match event {
        Event::PointsEarned(event) => Some(event.entry),
        Event::PointsClawedBack(event) => Some(event.entry),
        Event::PointsRedeemed(event) => Some(event.entry),
        Event::PointsReinstated(event) => Some(event.entry),
        Event::PointsAdjusted(event) => Some(event.entry),
        Event::PointsAccountOpened(_) | Event::PointsReserved(_) | Event::PointsReservationReleased(_) => {
            None
        }
    }
}
