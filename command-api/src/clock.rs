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

use crate::{chance, planted};

/// The longest time that a sleeper trusts the real clock, which somebody may set.
const NAP_MAX: Duration = Duration::from_secs(60);
/// How often a clock looks whether another process moved it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The time of a Postgres, in microseconds since 1970.
const SERVER_TIME: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";

/// Reads the time; clones share the offset.
#[derive(Clone)]
pub struct Clock {
    offset_us: Arc<AtomicI64>,
    /// Who else can tell the time: the server of a store that several processes share.
    witness: Option<Store>,
    /// How far this machine's clock may be from the witness's and from the newest record.
    tolerance: Option<Duration>,
    /// How far a test has this machine's clock go wrong.
    #[cfg(test)]
    pub(crate) wrong_us: Arc<AtomicI64>,
    /// Held while the clock is moved; absent in production, where it cannot be.
    store: Option<Arc<Mutex<Store>>>,
    /// How often it was moved since the start.
    moves: Arc<watch::Sender<u64>>,
}

/// This machine's clock is not to be trusted with new records: points would end before their time, or never.
#[derive(Debug, thiserror::Error)]
pub enum WrongClock {
    /// The log knows better.
    #[error(
        "the newest record is of {head}, and this machine's clock shows {now}: set the clock right (the setting \
         clock_tolerance_s allows a difference of {} s)", tolerance.as_secs()
    )]
    Behind {
        /// When the newest record was written.
        head: Timestamp,
        /// What the clock shows.
        now: Timestamp,
        /// How far they may be apart.
        tolerance: Duration,
    },
    /// The server that all nodes share knows better.
    #[error(
        "this machine's clock shows {now}, and that of the Postgres of the stores {server}: set the wrong one right \
         (the setting clock_tolerance_s allows a difference of {} s)", tolerance.as_secs()
    )]
    Apart {
        /// What the server's clock shows.
        server: Timestamp,
        /// What ours shows.
        now: Timestamp,
        /// How far they may be apart.
        tolerance: Duration,
    },
    /// The server's time is not known.
    #[error("this machine's clock cannot be compared with that of the Postgres of the stores")]
    Unknown(#[source] Fault),
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
        let fixed = Self {
            offset_us: Arc::default(),
            witness: work.is_shared().then(|| work.clone()),
            tolerance: None,
            #[cfg(test)]
            wrong_us: Arc::default(),
            store: None,
            moves: Arc::default(),
        };
        if !development {
            return Ok(fixed);
        }
        let offset_us = Arc::new(AtomicI64::new(stored(work).await?));
        let clock = Self { offset_us, store: Some(Arc::new(Mutex::new(work.clone()))), ..fixed };
        if work.is_shared() {
            tokio::spawn(clock.clone().follow(work.clone()));
        }
        Ok(clock)
    }

    /// The same clock, which is called wrong when it is so far from others.
    #[must_use]
    pub fn within(self, tolerance: Duration) -> Self {
        Self { tolerance: Some(tolerance), ..self }
    }

    /// Holds this machine's clock against that of the server that all nodes share, if there is one. That the newest record
    /// is old shows nothing: nobody may have bought anything for days.
    ///
    /// # Errors
    /// [`WrongClock`].
    pub async fn agrees(&self) -> Result<(), WrongClock> {
        let (Some(witness), Some(tolerance)) = (&self.witness, self.tolerance) else { return Ok(()) };
        let asked = self.real_us();
        let time = |work: &dyn Session| work.one(SERVER_TIME, values![], |row| row.at(0));
        let server: i64 = witness.read(time).await.map_err(WrongClock::Unknown)?;
        let (told, allowed_us) = (self.real_us(), micros(tolerance));
        if asked.saturating_sub(server) <= allowed_us && server.saturating_sub(told) <= allowed_us {
            return Ok(());
        }
        let (server, now) = (Timestamp::from_micros(server), Timestamp::from_micros(told));
        Err(WrongClock::Apart { server, now, tolerance })
    }

    /// The same, and against the newest record of a partition. A clock that can be moved is moved there.
    ///
    /// # Errors
    /// [`WrongClock`].
    pub(crate) async fn agrees_with(&self, head: Timestamp) -> Result<(), WrongClock> {
        let Some(tolerance) = self.tolerance else { return Ok(()) };
        let is_behind = || head.micros().saturating_sub(self.now().micros()) > micros(tolerance);
        if is_behind()
            && let Some(store) = &self.store
        {
            // Another process may have moved its clock a moment ago; or what says how far it was moved is an old copy.
            let work = store.lock().await.clone();
            self.move_to(stored(&work).await.map_err(WrongClock::Unknown)?);
            if is_behind()
                && let Err(NotMoved::Store(fault)) = self.advance_to(head).await
            {
                return Err(WrongClock::Unknown(fault));
            }
        }
        if is_behind() {
            return Err(WrongClock::Behind { head, now: self.now(), tolerance });
        }
        self.agrees().await
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
        Timestamp::from_micros(self.real_us().saturating_add(self.offset_us.load(Ordering::Acquire)))
    }

    /// This machine's clock, in microseconds since 1970.
    fn real_us(&self) -> i64 {
        let wrong_us = planted::clock_wrong_us();
        #[cfg(test)]
        let wrong_us = wrong_us.saturating_add(self.wrong_us.load(Ordering::Acquire));
        chance::now_us().saturating_add(wrong_us)
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
        let offset_us = to.micros().saturating_sub(self.real_us());
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

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
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
        let heard = tokio::time::timeout(Duration::from_secs(30), moves.changed()).await;
        heard.expect("it hears of it by itself").unwrap();
        assert!(there.now() >= day(8));
        // As if it had not heard of it.
        let late = Clock { offset_us: Arc::default(), ..Clock::open(&work, true).await.unwrap() };
        late.advance_to(day(2)).await.unwrap();
        assert!(Clock::open(&work, true).await.unwrap().now() >= day(8));
    }

    /// With the server not asked, the clock that is ahead was seen to pass.
    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn a_clock_that_differs_from_the_servers_is_wrong_until_it_is_set_right() {
        let database = postgres_store::testing::TestDatabase::create();
        let work = crate::work::open_at(&database.address()).await.unwrap();
        for development in [false, true] {
            let clock = Clock::open(&work, development).await.unwrap().within(MINUTE);
            for wrong_us in [DAY_US, -DAY_US] {
                clock.wrong_us.store(wrong_us, Ordering::Release);
                let wrong = clock.agrees().await.unwrap_err();
                assert!(matches!(wrong, WrongClock::Apart { .. }), "{wrong}");
                clock.wrong_us.store(0, Ordering::Release);
                clock.agrees().await.unwrap();
            }
        }
        // Moved by hand, it is still right.
        let clock = Clock::open(&work, true).await.unwrap().within(MINUTE);
        clock.advance_to(Timestamp::from_micros(clock.now().micros() + 9 * DAY_US)).await.unwrap();
        clock.agrees_with(clock.now()).await.unwrap();
    }

    const DAY_US: i64 = 86_400_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_clock_that_is_behind_the_newest_record_is_wrong_and_an_old_record_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock(&folder, false).await.within(MINUTE);
        let at = |us: i64| Timestamp::from_micros(clock.now().micros() + us);
        let wrong = clock.agrees_with(at(DAY_US)).await.unwrap_err().to_string();
        assert!(wrong.contains("clock_tolerance_s") && wrong.contains("60 s"), "{wrong}");
        for head in [at(30_000_000), at(-DAY_US), Timestamp::EPOCH] {
            clock.agrees_with(head).await.unwrap();
        }
        clock.wrong_us.store(-DAY_US, Ordering::Release);
        assert!(clock.agrees_with(Timestamp::from_micros(chance::now_us())).await.is_err());
    }

    /// With no second look at the store, the first line was seen to fail.
    #[tokio::test]
    async fn a_record_of_a_process_whose_clock_was_moved_a_moment_ago_is_no_sign_of_a_wrong_clock() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (clock(&folder, true).await.within(MINUTE), clock(&folder, true).await);
        there.advance_to(Timestamp::from_micros(there.now().micros() + DAY_US)).await.unwrap();
        here.agrees_with(there.now()).await.unwrap();
        assert!(here.now().micros() > chance::now_us() + DAY_US / 2);
        // As if the store were an old copy: the log says how far the clock was moved.
        let later = Timestamp::from_micros(here.now().micros() + DAY_US);
        here.agrees_with(later).await.unwrap();
        assert!(here.now() >= later);
    }
}
