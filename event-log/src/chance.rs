//! Where random bits come from; a test may have them repeat.

#[cfg(not(any(test, feature = "faults")))]
pub(crate) fn with_rng<T>(draw: impl FnOnce(&mut dyn rand::RngCore) -> T) -> T {
    draw(&mut rand::rng())
}

#[cfg(any(test, feature = "faults"))]
pub(crate) use seeded::{seed, with_rng};

#[cfg(any(test, feature = "faults"))]
mod seeded {
    use std::cell::RefCell;

    use rand::{RngCore, SeedableRng, rngs::StdRng};

    thread_local! {
        static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
    }

    /// From here on this thread draws the same bits for the same seed.
    pub(crate) fn seed(seed: u64) {
        SEEDED.set(Some(StdRng::seed_from_u64(seed)));
    }

    pub(crate) fn with_rng<T>(draw: impl FnOnce(&mut dyn RngCore) -> T) -> T {
        SEEDED.with_borrow_mut(|seeded| match seeded {
            Some(seeded) => draw(seeded),
            None => draw(&mut rand::rng()),
        })
    }
}
