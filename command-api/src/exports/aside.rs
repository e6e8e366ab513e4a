//! Exports that could not be made: each waits longer from try to try, so that it does not hold up the others.
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use event_schemas::RequestId;
use tokio::time::Instant;

use super::Error;
use crate::requests::Kept;

const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Requests that wait for another try; clones share them. A new process tries them at once.
#[derive(Clone, Default)]
pub(super) struct Aside(Arc<Mutex<HashMap<RequestId, Waits>>>);

struct Waits {
    tries: u32,
    until: Instant,
}

impl Aside {
    /// Forgets those that nobody waits for any more.
    pub(super) fn keep_only(&self, waiting: &HashSet<RequestId>) {
        self.lock().retain(|request, _| waiting.contains(request));
    }

    /// Whether it is not its time yet.
    pub(super) fn has(&self, request: RequestId) -> bool {
        self.lock().get(&request).is_some_and(|waits| Instant::now() < waits.until)
    }

    /// Leaves it for a while.
    pub(super) fn wait(&self, request: RequestId) -> Duration {
        let mut aside = self.lock();
        let waits = aside.entry(request).or_insert(Waits { tries: 0, until: Instant::now() });
        waits.tries = waits.tries.saturating_add(1);
        let wait = wait(waits.tries);
        waits.until = Instant::now() + wait;
        wait
    }

    /// Leaves it for a while, and says so.
    pub(super) fn put(&self, kept: &Kept, error: &Error) {
        let wait = self.wait(kept.request);
        metrics::counter!("privacy_exports_set_aside_total").increment(1);
        tracing::warn!(
            request.id = %kept.request, merchant.id = %kept.merchant,
            error = error as &dyn std::error::Error,
            "An export could not be made; the others go on, and it is tried again in {} s", wait.as_secs()
        );
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Waits>> {
        // Every step leaves it valid, also if a thread panicked in between.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Twice as long after each try.
fn wait(tries: u32) -> Duration {
    WAIT_FIRST.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1))).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_ends_at_five_minutes() {
        assert_eq!([1, 2, 3, 9, 10, u32::MAX].map(|tries| wait(tries).as_secs()), [1, 2, 4, 256, 300, 300]);
    }
}
