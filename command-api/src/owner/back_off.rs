//! How long an owner waits before it claims again, so that two that both believe in their right do not spend all their
//! time on taking the partition from each other.
use std::time::Duration;

use crate::chance;

/// The longest pause at first.
const FIRST_MS: u64 = 10;
/// The longest pause of all: for so long may a partition have no owner although one could claim it.
const LONGEST_MS: u64 = 1_000;
/// Whoever served for so long was not fought over.
const SETTLED: Duration = Duration::from_secs(5);

/// Pauses that grow with every claim, until a term lasts.
pub(super) struct BackOff {
    longest_ms: u64,
}

impl BackOff {
    pub(super) const fn new() -> Self {
        Self { longest_ms: FIRST_MS }
    }

    /// Notes how long a term lasted.
    pub(super) fn served(&mut self, lasted: Duration) {
        if lasted >= SETTLED {
            *self = Self::new();
        }
    }

    /// The next pause: half of it is certain, so that the other one gets to work; the rest is chance, so that both do not
    /// come back at once.
    pub(super) fn pause(&mut self) -> Duration {
        let certain_ms = self.longest_ms / 2;
        let pause = Duration::from_millis(certain_ms) + chance::pause(self.longest_ms - certain_ms);
        self.longest_ms = LONGEST_MS.min(self.longest_ms * 2);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_begin_anew_after_a_term_that_lasted() {
        let mut back_off = BackOff::new();
        for longest_ms in [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000] {
            let pause = back_off.pause();
            let expected = Duration::from_millis(longest_ms / 2)..=Duration::from_millis(longest_ms);
            assert!(expected.contains(&pause), "{pause:?} is not in {expected:?}");
            back_off.served(SETTLED - Duration::from_millis(1));
        }
        back_off.served(SETTLED);
        assert!(back_off.pause() <= Duration::from_millis(FIRST_MS));
    }
}
