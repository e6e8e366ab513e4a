//! Randomness that a failure can be repeated with.
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// A seeded generator that says its seed when its test panics.
pub(crate) struct Seed {
    pub(crate) rng: StdRng,
    value: u64,
}

impl Seed {
    /// `LOYALNEST_SEED`, or a new one.
    pub(crate) fn new() -> Self {
        let given = std::env::var("LOYALNEST_SEED").ok();
        let value = given.map_or_else(rand::random, |text| text.parse().expect("LOYALNEST_SEED is a number"));
        Self { rng: StdRng::seed_from_u64(value), value }
    }

    /// True `n` times in `of`.
    pub(crate) fn one_in(&mut self, of: u32) -> bool {
        self.rng.random_ratio(1, of)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with LOYALNEST_SEED={}", self.value);
        }
    }
}
