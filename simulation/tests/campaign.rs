//! Many seeds, each a run of its own; a seed that fails is the whole report.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use simulation::{Run, run};

/// Runs of the bounded form.
const SIMULATIONS: u64 = 120;
/// One of so many runs is repeated, and must be the same.
const TWICE_EVERY: u64 = 20;
/// Runs in which a planted bug must show.
const SHOWN_WITHIN: u64 = 60;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Runs these seeds on all cores until one fails.
fn first_failure(seeds: std::ops::Range<u64>, planted: Option<&'static str>) -> Option<Run> {
    let (next, done) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            return None;
        }
        let mut run = run(seed, planted);
        if seed.is_multiple_of(TWICE_EVERY) && simulation::run(seed, planted).hash() != run.hash() {
            run.violations.push("the same seed gave two different runs".to_owned());
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(500) {
            println!("{done} of {} simulations", seeds.end - seeds.start);
        }
        if !run.violations.is_empty() {
            next.store(seeds.end, Ordering::Relaxed);
            return Some(run);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().unwrap()).min_by_key(|run| run.seed)
    })
}

#[test]
fn whatever_goes_wrong_nothing_answered_is_lost_or_done_twice() {
    let first = number("LOYALNEST_SEED").unwrap_or_else(|| rand::random::<u64>() >> 16);
    let count = number("LOYALNEST_SIMULATIONS").unwrap_or(SIMULATIONS);
    let failed = first_failure(first..first + count, None);
    if let Some(run) = &failed {
        if count == 1 {
            run.lines.iter().for_each(|line| println!("{line}"));
        }
        panic!("{}", run.report());
    }
}

/// Tried: a real id in place of a seeded one, and readers without slots; both were found.
#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..8 {
        let (first, second) = (run(seed, None), run(seed, None));
        let different = first.lines.iter().zip(&second.lines).find(|(first, second)| first != second);
        assert_eq!(different, None, "seed {seed}");
        assert_eq!(first.hash(), second.hash(), "seed {seed}");
    }
}

/// A run with the bug fails, and the same run without it does not.
fn is_found(bug: &'static str) {
    let failed = first_failure(0..SHOWN_WITHIN, Some(bug));
    let Some(failed) = failed else { panic!("{bug} went unnoticed in {SHOWN_WITHIN} runs") };
    println!("{bug}, seed {}: {}", failed.seed, failed.violations[0]);
    assert_eq!(run(failed.seed, None).violations, Vec::<String>::new(), "{bug}");
}

#[test]
fn an_answer_before_its_record_is_durable_is_found() {
    is_found("ack-before-commit");
}

#[test]
fn a_checkpoint_committed_apart_from_its_rows_is_found() {
    is_found("checkpoint-apart");
}

#[test]
fn progress_of_a_policy_saved_before_its_step_is_found() {
    is_found("policy-progress-first");
}
