//! Laws of the points account: 1 to 11, 14 and 17, over random histories of three customers whose keys collide.
pub(crate) mod book;
mod commands;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod moves;
pub(crate) mod whole;
mod world;

use std::hash::{BuildHasher, RandomState};

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};

use world::{Moment, World};

/// The laws share this many random histories in a test run; `LOYALNEST_CASES` sets another number.
const CASES: u32 = 20_000;
/// How many laws share them.
const LAWS: u32 = 21;

type Verdict = Result<(), TestCaseError>;

/// Asks for the law at every moment of many random histories. `LOYALNEST_SEED` repeats those of another run.
fn at_every_moment(law: impl Fn(&World, &Moment) -> Verdict) {
    over_histories(|world| world.moments.iter().try_for_each(|moment| law(world, moment)));
}

/// Asks for the law at the end of many random histories.
#[expect(clippy::disallowed_methods, reason = "the size of a test run is set from outside")]
fn over_histories(law: impl Fn(&World) -> Verdict) {
    let of_env = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let planted = crate::seed_beside_a_bug();
    let seed = planted.or_else(|| of_env("LOYALNEST_SEED"));
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(CASES));
    let cases = of_env("LOYALNEST_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap()) / LAWS;
    let max_shrink_iters = if planted.is_some() { 0 } else { Config::default().max_shrink_iters };
    let config = Config { cases, failure_persistence: None, max_shrink_iters, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, rng)
        .run(&commands::program(), |program| law(&World::played(&program)));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, program)) => panic!("LOYALNEST_SEED={seed}: {why}\nof {program:#?}"),
        Err(TestError::Abort(why)) => panic!("LOYALNEST_SEED={seed}: {why}"),
    }
}
