//! The same where the inbox is in a Postgres, and what only holds where several nodes share it.
use group_commit::values;

use super::{
    Post, Stack, deliveries, erasure, fairness, faults, foreign_shops, merges, payloads::order, upkeep,
};
use crate::{
    testing::{again_on_postgres, on_postgres},
    webhooks::execute::Setback,
};

again_on_postgres! {
    deliveries::twenty_copies_at_once_are_one_delivery,
    deliveries::an_equal_webhook_id_never_suppresses_another_body,
    deliveries::an_unknown_topic_is_processed_and_ignored,
    deliveries::a_done_delivery_says_where_its_record_stands,
    deliveries::what_can_never_succeed_is_parked_at_once_and_moves_nothing,
    deliveries::a_dead_letter_is_listed_and_driven_again_as_it_is_or_edited,
    faults::a_delivery_waits_for_what_is_away_however_often_and_then_has_its_effect,
    faults::what_a_store_will_always_refuse_is_a_fault_of_the_delivery,
    faults::a_broken_aggregate_parks_its_deliveries_and_the_others_go_on,
    faults::a_body_that_nothing_opens_is_parked_until_somebody_brings_it_anew,
    merges::merges_into_each_other_leave_one_who_goes_on,
    erasure::a_redaction_is_recorded_once_for_everybody_who_turned_out_to_be_the_person,
    erasure::what_arrives_of_an_erased_person_ends_regularly_and_brings_nobody_back,
    erasure::a_purge_takes_what_is_the_persons_also_dead_letters_and_leaves_the_rest,
    erasure::deliveries_of_an_erased_shop_are_answered_and_kept_nowhere,
    upkeep::what_is_not_done_outlives_the_key_of_its_day_and_what_is_done_does_not,
    upkeep::a_row_that_no_event_stands_behind_goes_unless_somebody_asks_for_it,
    fairness::a_restart_takes_up_what_was_open_and_a_raised_rate_works_it_off_at_once,
    foreign_shops::a_body_without_a_name_under_two_shops_is_suspect_under_both,
}

/// Catches, tried: a server without room, or busy with others, counted as a mistake of the delivery, which ends it.
#[test]
fn a_server_that_is_short_of_something_is_waited_for() {
    on_postgres(short_of_something);
}

#[tokio::main]
async fn short_of_something() {
    let stack = Stack::start().await;
    for code in ["40P01", "53100", "53300", "57014", "57P01"] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$");
        let refused = stack.bench.work.run(move |work| work.execute(&raise, values![])).await.unwrap_err();
        let setback = Setback::from(refused);
        assert!(matches!(setback, Setback::Away("store-unavailable")), "{code}: {setback:?}");
    }
}

/// Catches: a worker that takes up only what lay there when it got its slots.
#[test]
fn deliveries_of_both_doors_are_worked_off_by_whoever_has_their_shop() {
    on_postgres(deliveries_through_two_doors);
}

#[tokio::main]
async fn deliveries_through_two_doors() {
    const SHOPS: [&str; 4] = ["a.myshopify.com", "b.myshopify.com", "c.myshopify.com", "d.myshopify.com"];
    let here = Stack::start().await;
    let there = here.beside().await;
    let mut merchants = Vec::new();
    for shop in SHOPS {
        merchants.push(here.bench.install(shop).await);
    }
    for (n, shop) in (1..=40_u64).zip(SHOPS.into_iter().cycle()) {
        let door = if n % 3 == 0 { &here.router } else { &there };
        let delivery = Post::new(shop, "orders/create", &format!("w-{n}"), &order(shop, n).of_customer(7).0);
        Stack::post_at(door, &delivery).await;
    }
    for merchant in merchants {
        here.balance_becomes(merchant, "7", 200).await;
    }
    assert_eq!(here.worked_off().await.dead_lettered, 0);
}
