//! Leases: no process uses what it remembers for longer than it is sure to have heard of every fence.
//!
//! Where several processes share a store, each has a row that says up to which notice it has obeyed. It renews the row by
//! reading the notices behind, and may rely on that for a while; whoever waits for a fence waits until every row has seen
//! it, or stood still for longer than that. Both measure by their own machine's clock since boot, so that no clock that is
//! set can make a lease longer, or the waiting shorter. A file has one process, which obeys at once and for ever.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use group_commit::{Fault, values};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    Error, KeyStore,
    keys::DataKeyId,
    notices::{Mark, Notice},
    schema::stored,
    session::Session,
    vault::Vault,
};

/// How long the others wait for a process that is silent, from when they first saw it stand still.
const GRANTED_MS: u64 = 10_000;
/// How long the process itself relies on it, from before it asked: less, because two clocks need not run alike.
const RELIED_ON_MS: u64 = 9_000;
/// How often a lease is renewed. Who redacts waits this long for processes that are well.
const RENEWED_EVERY: Duration = Duration::from_secs(1);
/// How long a lease that is over is kept, lest a process be counted that comes back.
const KEPT_MS: u64 = 3_600_000;

const FOR_EVER: u64 = u64::MAX;

pub(crate) struct Lease {
    process: Uuid,
    /// The newest notice that was obeyed.
    seen: AtomicU64,
    /// Milliseconds of the clock that goes on while the machine sleeps.
    until_ms: AtomicU64,
    /// The leases of all processes as this one saw them stand.
    leases: Mutex<HashMap<Vec<u8>, Standing>>,
}

/// A lease that is not renewed as far as this process knows.
#[derive(Clone, Copy)]
struct Standing {
    /// As its row has it; each renewal changes it.
    renewal: u64,
    /// Since when it stands so, by this machine's clock since boot.
    since_ms: u64,
}

impl Lease {
    /// On a file, for ever; else over until it is renewed.
    pub(crate) fn new(is_shared: bool, seen: u64) -> Self {
        let until_ms = if is_shared { 0 } else { FOR_EVER };
        let leases = Mutex::default();
        Self { process: Uuid::new_v4(), seen: seen.into(), until_ms: until_ms.into(), leases }
    }

    /// For how many milliseconds each of these leases stood still while this process looked; it forgets the others.
    fn note(&self, rows: &[Row]) -> Vec<u64> {
        let (now_ms, mut known) = (since_boot_ms(), self.leases());
        known.retain(|process, _| rows.iter().any(|row| row.process == *process));
        let still = rows.iter().map(|row| {
            let fresh = Standing { renewal: row.renewal, since_ms: now_ms };
            let standing = known.entry(row.process.clone()).or_insert(fresh);
            if standing.renewal != row.renewal {
                *standing = fresh;
            }
            now_ms.saturating_sub(standing.since_ms)
        });
        still.collect()
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Standing>> {
        // Every step leaves it valid, also if a thread panicked in between.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn holds(&self) -> bool {
        let until_ms = self.until_ms.load(Ordering::Acquire);
        #[cfg(feature = "planted-bugs")]
        if until_ms > 0 && crate::planted::is("lease-for-ever") {
            return true;
        }
        until_ms == FOR_EVER || since_boot_ms() < until_ms
    }

    /// Ends it, whatever the row says.
    fn end(&self) {
        self.until_ms.store(0, Ordering::Release);
    }
}

/// A lease as it is stored.
struct Row {
    process: Vec<u8>,
    seen: u64,
    renewal: u64,
}

/// What a piece of work may rely on: it began while the lease held, behind so many notices.
#[derive(Clone, Copy)]
pub(crate) struct Watch(Mark);

impl Vault {
    /// Whether what was read at `watch` may still be handed out.
    pub(crate) fn stands(&self, Watch(mark): Watch, id: DataKeyId) -> bool {
        self.lease.holds() && self.notices.stop_since(mark, id) == Some(false)
    }

    /// The same for what is read over many subjects: no fence at all came since.
    pub(crate) fn stands_everywhere(&self, Watch(mark): Watch) -> bool {
        self.lease.holds() && self.notices.mark() == mark
    }

    /// The same for who can not begin again.
    pub(crate) fn permit(&self, Watch(mark): Watch, id: DataKeyId) -> Result<(), Error> {
        if !self.lease.holds() {
            return Err(lapsed());
        }
        match self.notices.stop_since(mark, id) {
            Some(false) => Ok(()),
            Some(true) => Err(id.redacted()),
            None => Err(Error::Unavailable(Fault::Away("too much was fenced since this began".to_owned()))),
        }
    }
}

impl KeyStore {
    /// Begins a piece of work; asks the store first if the lease is over.
    pub(crate) async fn watch(&self) -> Result<Watch, Error> {
        if !self.vault.lease.holds() {
            self.renew().await?;
        }
        Ok(Watch(self.vault.notices.mark()))
    }

    /// The same for a caller that may not await; blocks its thread if the store must be asked.
    pub(crate) fn watch_blocking(&self) -> Result<Watch, Error> {
        if !self.vault.lease.holds() {
            crate::store::wait(self.renew())?;
        }
        Ok(Watch(self.vault.notices.mark()))
    }

    /// Reads the notices that are new, and may rely on it for a while.
    pub(crate) async fn renew(&self) -> Result<(), Error> {
        if !self.is_shared() {
            return Ok(());
        }
        let begun_ms = since_boot_ms();
        self.commit(|session| session.renew()).await?;
        self.vault.lease.until_ms.fetch_max(begun_ms.saturating_add(RELIED_ON_MS), Ordering::AcqRel);
        if self.vault.lease.holds() { Ok(()) } else { Err(lapsed()) }
    }

    /// Whether no process can any more use what it remembers from before the fence with this number: each has obeyed it,
    /// or was silent for longer than a lease is relied on.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn fence_is_known(&self, number: u64) -> Result<bool, Error> {
        if !self.is_shared() {
            return Ok(true);
        }
        if self.vault.lease.seen.load(Ordering::Acquire) < number {
            self.renew().await?;
        }
        self.look(move |session| session.is_known(number)).await
    }

    /// Renews the lease until the last clone of the store is gone, then gives it up.
    pub(crate) fn keep_renewing(&self) -> Arc<watch::Sender<()>> {
        let (alive, mut ended) = watch::channel(());
        // Without the sender, which only callers hold.
        let store = Self { renewal: None, ..self.clone() };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = ended.changed() => break,
                    () = tokio::time::sleep(RENEWED_EVERY) => {}
                }
                if let Err(error) = store.renew().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "The lease on the keys was not renewed"
                    );
                }
            }
            store.vault.lease.end();
            // Nobody can be told; without it the others wait until the lease is over.
            drop(store.commit(|session| session.give_up()).await);
        });
        Arc::new(alive)
    }
}

impl Session<'_> {
    /// Tells all processes, and obeys here at once: nothing else runs in the store meanwhile.
    pub(crate) fn tell(&mut self, notice: Notice) -> Result<(), Error> {
        let (what, merchant, subject) = notice.stored();
        let insert = "INSERT INTO notice (what, merchant, subject) VALUES (?1, ?2, ?3)";
        self.store.execute(insert, values![what, &merchant, &subject])?;
        self.vault.obey(notice);
        Ok(())
    }

    /// The number of the newest notice.
    pub(crate) fn newest_notice(&self) -> Result<u64, Error> {
        Ok(self.store.one("SELECT coalesce(max(n), 0) FROM notice", values![], |row| row.at(0))?)
    }

    fn renew(&mut self) -> Result<(), Error> {
        let vault = self.vault;
        let lease = &vault.lease;
        let mut seen = lease.seen.load(Ordering::Acquire);
        let new = "SELECT n, what, merchant, subject FROM notice WHERE n > ?1 ORDER BY n";
        let new = self.store.all(new, values![stored(seen)], |row| {
            Ok((row.at::<u64>(0)?, Notice::load(row.at(1)?, row.at(2)?, row.at(3)?)))
        })?;
        let mut epochs_changed = false;
        for (n, notice) in new {
            match notice {
                Some(notice) => self.vault.obey(notice),
                None => self.vault.forget_all(),
            }
            epochs_changed |= matches!(notice, Some(Notice::Epochs) | None);
            seen = n;
        }
        if epochs_changed {
            self.see_epochs()?;
        }
        lease.seen.fetch_max(seen, Ordering::AcqRel);
        // Never the same again, also if the server's clock is set back.
        self.store.execute(
            "INSERT INTO lease (process, seen, until) VALUES (?1, ?2, ?3) ON CONFLICT (process) DO UPDATE SET
                 seen = excluded.seen,
                 until = CASE WHEN excluded.until > lease.until THEN excluded.until ELSE lease.until + 1 END",
            values![
                lease.process.as_bytes(),
                stored(seen),
                stored(self.server_ms()?.saturating_add(GRANTED_MS))
            ],
        )?;
        let rows = self.leases()?;
        let is_old = |still: &u64| *still > KEPT_MS;
        for (row, _) in rows.iter().zip(lease.note(&rows)).filter(|(_, still)| is_old(still)) {
            let remove = "DELETE FROM lease WHERE process = ?1";
            self.store.execute(remove, values![&row.process])?;
        }
        Ok(())
    }

    fn leases(&self) -> Result<Vec<Row>, Error> {
        Ok(self.store.all("SELECT process, seen, until FROM lease", values![], |row| {
            Ok(Row { process: row.at(0)?, seen: row.at(1)?, renewal: row.at(2)? })
        })?)
    }

    fn is_known(&self, number: u64) -> Result<bool, Error> {
        let rows = self.leases()?;
        let still = self.vault.lease.note(&rows);
        Ok(rows.iter().zip(still).all(|(row, still)| row.seen >= number || still > GRANTED_MS))
    }

    fn give_up(&self) -> Result<(), Error> {
        let process = self.vault.lease.process;
        self.store.execute("DELETE FROM lease WHERE process = ?1", values![process.as_bytes()])?;
        Ok(())
    }

    /// The server's clock, which says when a lease was renewed to whoever looks at the table; nothing is decided by it.
    fn server_ms(&self) -> Result<u64, Error> {
        let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        Ok(self.store.one(now, values![], |row| row.at(0))?)
    }
}

fn lapsed() -> Error {
    Error::Unavailable(Fault::Away("the lease on it is over, and was not renewed in time".to_owned()))
}

/// A clock that also goes on while the machine sleeps, and that nobody sets.
fn since_boot_ms() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let now = clock_gettime(CLOCK);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let milliseconds = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default();
    seconds.saturating_mul(1_000).saturating_add(milliseconds)
}
