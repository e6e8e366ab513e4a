//! What a simulated process takes from outside itself: random bits, ids and the time of day, all from one seed.
//!
//! A world belongs to a thread, so that many are simulated side by side. Outside of one every function here gives
//! nothing, and its caller asks the real thing. Only the feature `simulated` of our crates lets them ask here.
use std::cell::RefCell;

use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use uuid::{Builder, Uuid};

#[cfg(not(debug_assertions))]
compile_error!("a simulated world must never be part of a release build");

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

struct World {
    rng: StdRng,
    now_us: Box<dyn Fn() -> i64>,
    planted: Option<&'static str>,
    ids: u16,
}

/// From here until [`leave`] this thread lives in the world of this seed, in which it is `now_us` (microseconds since
/// 1970), with one of the planted bugs or none.
pub fn enter(seed: u64, planted: Option<&'static str>, now_us: impl Fn() -> i64 + 'static) {
    let rng = StdRng::seed_from_u64(seed);
    WORLD.set(Some(World { rng, now_us: Box::new(now_us), planted, ids: 0 }));
}

/// Back to the real world.
pub fn leave() {
    WORLD.set(None);
}

/// Whether this thread is in a world of a seed.
#[must_use]
pub fn is_entered() -> bool {
    WORLD.with_borrow(Option::is_some)
}

/// The time of day, in microseconds since 1970.
#[must_use]
pub fn now_us() -> Option<i64> {
    WORLD.with_borrow(|world| world.as_ref().map(|world| (world.now_us)()))
}

/// A number from 0 up to and without `end`, which is at least 1.
#[must_use]
pub fn below(end: u64) -> Option<u64> {
    WORLD.with_borrow_mut(|world| world.as_mut().map(|world| world.rng.random_range(0..end.max(1))))
}

/// Fills with random bits; false outside of a world, and nothing is done.
pub fn fill(bytes: &mut [u8]) -> bool {
    WORLD.with_borrow_mut(|world| match world {
        Some(world) => {
            world.rng.fill_bytes(bytes);
            true
        }
        None => false,
    })
}

/// A UUID of version 7. Those of one millisecond are in order, as those of one process are.
#[must_use]
pub fn id() -> Option<Uuid> {
    WORLD.with_borrow_mut(|world| {
        let world = world.as_mut()?;
        world.ids = world.ids.wrapping_add(1) & 0xfff;
        let mut bytes = [0; 10];
        world.rng.fill_bytes(&mut bytes);
        bytes[..2].copy_from_slice(&world.ids.to_be_bytes());
        let millis = u64::try_from((world.now_us)() / 1_000).unwrap_or_default();
        Some(Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    })
}

/// Whether this world has this bug.
#[must_use]
pub fn is_planted(bug: &str) -> bool {
    WORLD.with_borrow(|world| world.as_ref().and_then(|world| world.planted) == Some(bug))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tried: an id from the real generator inside a world.
    #[test]
    fn the_same_seed_gives_the_same_world_and_outside_there_is_none() {
        let look = || {
            enter(7, Some("bug"), || 1_000_000);
            let mut bytes = [0; 4];
            assert!(fill(&mut bytes) && is_planted("bug") && !is_planted("another"));
            let seen = (id(), below(1_000_000), bytes, now_us());
            leave();
            seen
        };
        assert_eq!(look(), look());
        assert!(id().is_none() && below(2).is_none() && now_us().is_none() && !fill(&mut [0]));
    }

    #[test]
    fn ids_of_one_millisecond_are_in_order() {
        enter(1, None, || 1_000_000);
        let ids: Vec<_> = (0..100).filter_map(|_| id()).collect();
        assert!(ids.len() == 100 && ids.is_sorted());
        leave();
    }
}
