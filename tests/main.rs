//! The integration suite: whatever it asks or claims goes through the real executable, as a user would.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]
mod arrows;
mod documents;
mod harness;
mod shopify;

/// One file per promise to our users.
mod scenarios {
    mod any_order;
    mod bad_input;
    mod bonuses;
    mod commands;
    mod crash;
    mod customers;
    mod damaged_keys;
    mod deliveries;
    #[cfg(all(feature = "kafka", feature = "postgres"))]
    mod deployment;
    mod eligible;
    mod erasure;
    mod guests;
    mod idempotency;
    mod ledger_calls;
    mod live_feed;
    #[cfg(all(feature = "kafka", feature = "postgres"))]
    mod loss;
    mod main_job;
    mod merges;
    #[cfg(feature = "postgres")]
    mod nodes;
    mod observability;
    #[cfg(feature = "kafka")]
    mod on_kafka;
    #[cfg(feature = "postgres")]
    mod on_postgres;
    mod order_topics;
    #[cfg(all(feature = "kafka", feature = "postgres"))]
    mod outages;
    mod overflow;
    mod own_topics;
    mod pending;
    mod personal_data;
    mod power_cut;
    mod products;
    mod readme;
    #[cfg(feature = "postgres")]
    mod reads_on_postgres;
    mod rebuild;
    mod redemptions;
    mod refunds;
    #[cfg(all(feature = "kafka", feature = "postgres"))]
    mod refusals;
    mod schedules;
    mod settings;
    mod startup;
    #[cfg(feature = "postgres")]
    mod stores_on_postgres;
    mod tenancy;
    mod tills;
    mod verify;
    mod wrong_values;
}
