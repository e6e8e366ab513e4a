//! The process's clock. In development it may be moved forward; how far is stored with the data.
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use event_schemas::Timestamp;
use group_commit::{Fault, Session, Store, values};
use tokio::sync::{Mutex, watch};

use crate::chance;

/// The longest time that a sleeper trusts the real clock, which somebody may set.
const NAP_MAX: Duration = Duration::from_secs(60);
/// How often a clock looks whether another process moved it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Reads the time; clones share the offset.
#[derive(Clone)]
pub struct Clock {
    offset_us: Arc<AtomicI64>,
    /// Held while the clock is moved; absent in production, where it cannot be.
    store: Option<Arc<Mutex<Store>>>,
    /// How often it was moved since the start.
    moves: Arc<watch::Sender<u64>>,
}

/// Why the clock was not moved.
#[derive(Debug, thiserror::Error)]
pub enum NotMoved {
    /// Only development has a clock that moves.
    #[error("the clock moves in development mode only")]
    Production,
    /// It only goes forward.
    #[error("the clock never goes back")]
    Backward,
    /// The offset could not be stored.
    #[error("the clock's offset could not be stored")]
    Store(#[from] Fault),
}

impl Clock {
    /// The clock of a data folder, moved as far as it was left; only in development can it move on.
    ///
    /// # Errors
    /// The offset cannot be read.
    pub async fn open(work: &Store, development: bool) -> Result<Self, Fault> {
        if !development {
            return Ok(Self { offset_us: Arc::default(), store: None, moves: Arc::default() });
        }
        let offset_us = Arc::new(AtomicI64::new(stored(work).await?));
        let store = Some(Arc::new(Mutex::new(work.clone())));
        let clock = Self { offset_us, store, moves: Arc::default() };
        if work.is_shared() {
            tokio::spawn(clock.clone().follow(work.clone()));
        }
        Ok(clock)
    }

    /// Moves this clock when another process moved its own.
    async fn follow(self, work: Store) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match stored(&work).await {
                Ok(offset_us) => self.move_to(offset_us),
                Err(fault) => {
                    tracing::warn!(
                        error = &fault as &dyn std::error::Error,
                        "The clock's offset is not known"
                    );
                }
            }
        }
    }

    fn move_to(&self, offset_us: i64) {
        if self.offset_us.fetch_max(offset_us, Ordering::AcqRel) < offset_us {
            self.moves.send_modify(|moves| *moves += 1);
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let real = chance::now_us();
        Timestamp::from_micros(real.saturating_add(self.offset_us.load(Ordering::Acquire)))
    }

    /// How often the clock was moved since the start, and word of each further time.
    #[must_use]
    pub fn moves(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }

    /// Waits until the clock shows `time`, whether it passes or is moved there.
    pub async fn sleep_until(&self, time: Timestamp) {
        let mut moves = self.moves();
        loop {
            let left = time.micros().saturating_sub(self.now().micros());
            let Ok(left @ 1..) = u64::try_from(left) else { return };
            let nap = Duration::from_micros(left).min(NAP_MAX);
            tokio::select! {
                () = tokio::time::sleep(nap) => {}
                // The sender lives as long as this clock.
                _ = moves.changed() => {}
            }
        }
    }

    /// Moves the clock forward to `to`; durable when it returns.
    ///
    /// # Errors
    /// [`NotMoved`]: the clock stands as before.
    pub async fn advance_to(&self, to: Timestamp) -> Result<Timestamp, NotMoved> {
        let store = self.store.as_ref().ok_or(NotMoved::Production)?.lock().await;
        if to < self.now() {
            return Err(NotMoved::Backward);
        }
        let offset_us = to.micros().saturating_sub(chance::now_us());
        store
            .run(move |work| {
                let sql = "INSERT INTO clock(one, offset_us) VALUES (1, ?1)
                    ON CONFLICT(one) DO UPDATE SET offset_us = excluded.offset_us
                    WHERE clock.offset_us < excluded.offset_us";
                work.execute(sql, values![offset_us])
            })
            .await?;
        self.move_to(offset_us);
        Ok(self.now())
    }
}

/// How far the clock was moved forward.
async fn stored(work: &Store) -> Result<i64, Fault> {
    let offset = |work: &dyn Session| work.first("SELECT offset_us FROM clock", values![], |row| row.at(0));
    Ok(work.read(offset).await?.unwrap_or_default())
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock(+{} us)", self.offset_us.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn clock(folder: &tempfile::TempDir, development: bool) -> Clock {
        let work = crate::work::open(&folder.path().join("work.db")).unwrap();
        Clock::open(&work, development).await.unwrap()
    }

    #[tokio::test]
    async fn the_clock_goes_forward_only_and_stays_moved_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let moved = clock(&folder, true).await;
        let later = Timestamp::from_micros(moved.now().micros() + 86_400_000_000);
        assert!(moved.advance_to(later).await.unwrap() >= later);
        let back = Timestamp::from_micros(later.micros() - 1_000_000);
        assert!(matches!(moved.advance_to(back).await, Err(NotMoved::Backward)));
        assert!(clock(&folder, true).await.now() >= later);
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_is_moved_to_its_time_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock(&folder, true).await;
        let hour = |n: i64| Timestamp::from_micros(clock.now().micros() + n * 3_600_000_000);
        let (soon, late) = (hour(1), hour(3));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(late).await;
                clock.now()
            }
        });
        clock.advance_to(soon).await.unwrap();
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance_to(late).await.unwrap();
        assert!(sleeper.await.unwrap() >= late);
    }

    #[tokio::test]
    async fn in_production_the_clock_cannot_be_moved() {
        let folder = tempfile::tempdir().unwrap();
        let fixed = clock(&folder, false).await;
        assert!(matches!(fixed.advance_to(fixed.now()).await, Err(NotMoved::Production)));
    }

    /// Catches: a clock that is read at its start only, and one that another process sets back.
    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn a_clock_that_another_process_moves_moves_too_and_never_back() {
        let database = postgres_store::testing::TestDatabase::create();
        let work = crate::work::open_at(&database.address()).await.unwrap();
        let (here, there) =
            (Clock::open(&work, true).await.unwrap(), Clock::open(&work, true).await.unwrap());
        let day = |n: i64| Timestamp::from_micros(chance::now_us() + n * 86_400_000_000);
        let mut moves = there.moves();
        here.advance_to(day(9)).await.unwrap();
        moves.changed().await.unwrap();
        assert!(there.now() >= day(8));
        // As if it had not heard of it.
        let late = Clock { offset_us: Arc::default(), ..Clock::open(&work, true).await.unwrap() };
        late.advance_to(day(2)).await.unwrap();
        assert!(Clock::open(&work, true).await.unwrap().now() >= day(8));
    }
}
