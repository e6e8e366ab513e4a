//! Fresh ids, pauses of chance, the time of day; in a simulated world they come from its seed.
use std::time::Duration;

use uuid::{Builder, Uuid};

/// An id that nobody has: the time and 74 bits of chance, drawn in the process, because asking the system takes longer
/// than deciding most commands.
pub(crate) fn id() -> Uuid {
    #[cfg(feature = "simulated")]
    if let Some(id) = seeded::id() {
        return id;
    }
    let now_ms = u64::try_from(now_us()).unwrap_or_default() / 1_000;
    Builder::from_unix_timestamp_millis(now_ms, &rand::random()).into_uuid()
}

/// Any time up to and with `longest_ms` milliseconds.
pub(crate) fn pause(longest_ms: u64) -> Duration {
    #[cfg(feature = "simulated")]
    if let Some(ms) = seeded::below(longest_ms.saturating_add(1)) {
        return Duration::from_millis(ms);
    }
    Duration::from_millis(rand::random_range(0..=longest_ms))
}

/// Microseconds since 1970, by the machine's clock.
pub(crate) fn now_us() -> i64 {
    #[cfg(feature = "simulated")]
    if let Some(now_us) = seeded::now_us() {
        return now_us;
    }
    chrono::Utc::now().timestamp_micros()
}
