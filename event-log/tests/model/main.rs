//! All that can happen to one small partition: claim, append, admit, doubt and resume, under every fault of the contract.
//!
//! The bounded form runs with the tests. `LOYALNEST_MODEL=full cargo test -p event-log --test model -- --nocapture`
//! explores the larger worlds too, three writers among them, and the longest ways to a bug: some 27 million states, in
//! minutes and a gigabyte, for the soak. With `--nocapture` each search says how many states it explored.
//!
//! Readers admit by the crate's own `admit` over its own records and checkpoints (`arena`), so the model checks that
//! code and not a copy of it. What owners, clients and the store do is written here (`step`), from the contract; the
//! crate's own writer is tried against random faults in `src/torture.rs`. Bugs are planted in either half, and each
//! must be found. The search is our own (`search`): states of some 200 bytes, the shortest way to a bug, and nothing
//! to depend on.
//!
//! Not modelled: time (a time-out can come whenever something is unanswered), undecodable bytes, reads by the owner,
//! delivery reports that come later than their record (they come with it or never), and records that are visible
//! before they are durable.

mod arena;
mod bugs;
mod properties;
mod rules;
mod search;
mod step;
mod world;
mod worlds;

use std::time::Instant;

use crate::{
    properties::Violation,
    search::{Explored, explore},
    world::Config,
};

/// Explores a world and says so.
fn run(config: &Config, wanted: &[Violation]) -> Explored {
    let started = Instant::now();
    let explored = explore(config, wanted);
    let Explored { states, steps, depth, violation, .. } = &explored;
    let outcome = match violation {
        None => format!("nothing found, {depth} deep"),
        Some((violation, way)) => format!("{violation:?} after {}", way.len()),
    };
    let by = (config.rule, config.bug);
    println!(
        "{:<34} {states:>9} states {steps:>10} steps {:>7} ms  {by:?}: {outcome}",
        config.name,
        started.elapsed().as_millis(),
    );
    explored
}

/// Whether the soak asked for the larger worlds.
fn is_full() -> bool {
    std::env::var("LOYALNEST_MODEL").is_ok_and(|size| size == "full")
}

/// Nothing may be wrong anywhere in a world.
#[track_caller]
fn assert_sound(config: &Config) -> Explored {
    let explored = run(config, &Violation::ALL);
    assert!(explored.violation.is_none(), "{config:?}: {:#?}", explored.violation);
    explored
}
