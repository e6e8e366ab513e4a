//! Which deliveries this process works off where several share an inbox. A shop belongs to a slot, and a slot to one live
//! worker at a time, so whatever holds for a shop in one process holds for it among many: its rate, and one merge at once.
//!
//! Workers find each other in the store and count by its clock. A slot goes to another worker once the rows in hand are
//! done, or once nothing was heard of its worker for a while; then a row may be worked off twice, which has no second effect.
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use event_schemas::MerchantId;
use group_commit::{Fault, Session, Store, StoreError, values};
use tokio::time::Instant;
use uuid::Uuid;

use super::{inbox::Open, schedule::Job};
use crate::chance;

/// As many as the store was made with.
const SLOTS: u32 = 64;
/// How long the others wait for a sign of life.
const LEASE: Duration = Duration::from_secs(6);

/// How often a worker that ends looks whether it has its hands free.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What the server's clock shows, in microseconds.
macro_rules! now {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
    };
}

/// This process's slots, and the rows of them that it knows.
pub(super) struct Slots {
    work: Store,
    worker: Uuid,
    lease: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mine: BTreeSet<i64>,
    /// Mine, but others are to have them: no row of them is begun any more.
    leaving: BTreeSet<i64>,
    held: HashMap<Uuid, Held>,
    /// The lease was asked for then.
    renewed: Option<Instant>,
    /// This worker ends.
    ends: bool,
}

/// A row that is queued or worked off.
struct Held {
    slot: i64,
    in_hand: bool,
}

impl Slots {
    pub(super) fn new(work: Store) -> Self {
        Self { work, worker: chance::id(), lease: LEASE, state: Mutex::default() }
    }

    /// Shows that this worker lives, and takes and gives slots so that all workers have their share. True if it got
    /// slots, whose rows nobody has offered yet.
    pub(super) async fn renew(&self) -> Result<bool, Fault> {
        if self.state().ends {
            return Ok(false);
        }
        // Before the question: the server counts the lease from later on.
        let asked = Instant::now();
        let given = self.state().free();
        let (worker, lease) = (self.worker.into_bytes(), self.lease);
        let (mine, share) = self.work.run(move |work| renew(work, &worker, lease, &given)).await?;
        Ok(self.state().renew(asked, mine, share))
    }

    /// Begins no row any more, and gives all slots back once none is in hand.
    pub(super) async fn leave(&self) -> Result<(), Fault> {
        const FREE: &str = "UPDATE inbox_slot SET worker = NULL WHERE worker = ?1";
        const LEAVE: &str = "DELETE FROM inbox_worker WHERE worker = ?1";
        self.state().ends = true;
        while self.state().held.values().any(|held| held.in_hand) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let worker = self.worker.into_bytes();
        let left = self.work.run(move |work| {
            work.execute(FREE, values![&worker])?;
            work.execute(LEAVE, values![&worker])
        });
        left.await.map(drop)
    }

    /// Whether the row is to be queued here.
    pub(super) fn offer(&self, open: &Open) -> bool {
        let slot = slot(open.merchant);
        let mut state = self.state();
        if !state.has(slot) || state.held.contains_key(&open.row) {
            return false;
        }
        state.held.insert(open.row, Held { slot, in_hand: false });
        true
    }

    /// Whether the row may be begun now.
    pub(super) fn begin(&self, job: Job) -> bool {
        let slot = slot(job.merchant);
        let mut state = self.state();
        let may = state.has(slot) && state.renewed.is_some_and(|renewed| renewed.elapsed() < self.lease);
        match state.held.get_mut(&job.row) {
            Some(held) if may && !held.in_hand => {
                held.in_hand = true;
                true
            }
            Some(held) if !held.in_hand => {
                state.held.remove(&job.row);
                false
            }
            _ => false,
        }
    }

    /// The row is out of hand; true if it is queued `again`.
    pub(super) fn end(&self, job: Job, again: bool) -> bool {
        let mut state = self.state();
        let again = again && state.mine.contains(&slot(job.merchant));
        if again {
            state.held.insert(job.row, Held { slot: slot(job.merchant), in_hand: false });
        } else {
            state.held.remove(&job.row);
        }
        again
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every step leaves at worst a row that the next look at the store offers again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has(&self, slot: i64) -> bool {
        !self.ends && self.mine.contains(&slot) && !self.leaving.contains(&slot)
    }

    /// Slots that others are to have and of which no row is in hand.
    fn free(&self) -> Vec<i64> {
        let is_busy = |slot: i64| self.held.values().any(|held| held.slot == slot && held.in_hand);
        self.leaving.iter().copied().filter(|slot| !is_busy(*slot)).collect()
    }

    fn renew(&mut self, asked: Instant, mine: BTreeSet<i64>, share: usize) -> bool {
        let has_more = !mine.is_subset(&self.mine);
        self.leaving = mine.iter().copied().skip(share).collect();
        self.held.retain(|_, held| held.in_hand || mine.contains(&held.slot));
        self.mine = mine;
        self.renewed = Some(asked);
        has_more
    }
}

fn slot(merchant: MerchantId) -> i64 {
    // Ids of shops are random in their last byte.
    i64::from(u32::from(merchant.bytes()[15]) % SLOTS)
}

/// The worker's slots, and how many are its share.
fn renew(
    work: &dyn Session,
    worker: &[u8; 16],
    lease: Duration,
    given: &[i64],
) -> Result<(BTreeSet<i64>, usize), StoreError> {
    const LIVE: &str = concat!(
        "INSERT INTO inbox_worker(worker, alive_until) VALUES (?1, ",
        now!(),
        " + ?2) ON CONFLICT (worker) DO UPDATE SET alive_until = excluded.alive_until"
    );
    const BURY: &str = concat!("DELETE FROM inbox_worker WHERE alive_until < ", now!());
    const GIVE: &str = "UPDATE inbox_slot SET worker = NULL WHERE slot = ?1 AND worker = ?2";
    const INHERIT: &str = "UPDATE inbox_slot SET worker = NULL \
        WHERE worker IS NOT NULL AND worker NOT IN (SELECT worker FROM inbox_worker)";
    const TAKE: &str = "UPDATE inbox_slot SET worker = ?1 \
        WHERE slot IN (SELECT slot FROM inbox_slot WHERE worker IS NULL ORDER BY slot LIMIT ?2)";
    const MINE: &str = "SELECT slot FROM inbox_slot WHERE worker = ?1";
    let lease_us = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
    work.execute(LIVE, values![worker, lease_us])?;
    work.execute(BURY, values![])?;
    for slot in given {
        work.execute(GIVE, values![*slot, worker])?;
    }
    work.execute(INHERIT, values![])?;
    let live: u32 = work.one("SELECT count(*) FROM inbox_worker", values![], |row| row.at(0))?;
    let mine = |work: &dyn Session| work.all(MINE, values![worker], |row| row.at(0));
    let had = mine(work)?;
    let share = SLOTS.div_ceil(live.max(1)) as usize;
    let wanted = i64::try_from(share.saturating_sub(had.len())).unwrap_or(i64::MAX);
    let has_more = wanted > 0 && work.execute(TAKE, values![worker, wanted])? > 0;
    let mine = if has_more { mine(work)? } else { had };
    Ok((mine.into_iter().collect(), share))
}

#[cfg(test)]
#[cfg(feature = "postgres")]
mod tests;
