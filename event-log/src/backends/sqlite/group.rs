//! The thread that stores records: whatever waits shares one transaction and one sync, over all partitions.

use std::{
    collections::{BTreeMap, btree_map},
    fs::File,
    mem,
    sync::Arc,
    thread::yield_now,
    time::{Duration, Instant},
};

use rusqlite::{CachedStatement, Connection, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::schema::{self, HeadRow};
use crate::{
    backend::{Delivery, Ends, Entry},
    error::{Fault, Reason},
    frame::hash_of,
    ids::Position,
    mutation::{Mutation, planted},
};

const GROUP_MAX: usize = 1_024;
const LINGER_MAX: Duration = Duration::from_millis(2);

/// An entry to store, and whom to tell.
pub(super) struct Job {
    pub(super) partition: u16,
    pub(super) entry: Entry,
    pub(super) report: oneshot::Sender<Delivery>,
}

pub(super) struct GroupCommit {
    connection: Connection,
    ends: Arc<Ends>,
    heads: Heads,
    /// Released when the thread ends, after the connection is closed: fields drop in order.
    _lock: File,
    /// Planted by tests, on the thread that opens the log.
    acknowledges_early: bool,
}

impl GroupCommit {
    pub(super) fn new(connection: Connection, ends: Arc<Ends>, lock: File) -> Self {
        let acknowledges_early = planted(Mutation::AcknowledgeBeforeCommit);
        Self { connection, ends, heads: Heads::default(), _lock: lock, acknowledges_early }
    }

    /// Takes what waits. If the last group was shared, lingers until as many have come again, at most a tenth of the
    /// last commit's time.
    pub(super) fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        let mut jobs = Vec::with_capacity(GROUP_MAX);
        let (mut expected, mut linger) = (1, Duration::ZERO);
        while queue.blocking_recv_many(&mut jobs, GROUP_MAX) > 0 {
            let until = Instant::now() + linger;
            while jobs.len() < expected && Instant::now() < until {
                match queue.try_recv() {
                    Ok(job) => jobs.push(job),
                    Err(_) => yield_now(),
                }
            }
            let started = Instant::now();
            expected = jobs.len();
            self.commit(&mut jobs);
            linger = LINGER_MAX.min(started.elapsed() / 10);
        }
    }

    /// Stores the jobs and tells everybody, the newest record first: a writer waits for its oldest one, and then finds
    /// that all others are done too.
    fn commit(&mut self, jobs: &mut Vec<Job>) {
        match self.store(jobs) {
            Ok(deliveries) => {
                for (partition, position) in self.heads.moved.drain(..) {
                    self.ends.advance(partition, position);
                }
                for (job, delivery) in jobs.drain(..).zip(deliveries).rev() {
                    drop(job.report.send(delivery));
                }
            }
            // Even an error from COMMIT may have stored the group: after a failed sync it can be there at the next start.
            Err(error) => {
                self.heads = Heads::default();
                let error = Arc::new(error);
                tracing::error!(error = %error, "Could not store a group of {} records: {error}", jobs.len());
                for job in jobs.drain(..) {
                    drop(job.report.send(Delivery::Unknown(Fault::new("store a record", error.clone()))));
                }
            }
        }
    }

    fn store(&mut self, jobs: &[Job]) -> rusqlite::Result<Vec<Delivery>> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = self.heads.unless_changed(&transaction)?;
        let mut touched = BTreeMap::new();
        let mut deliveries = Vec::with_capacity(jobs.len());
        let mut insert = transaction.prepare_cached("INSERT INTO log (part, rec) VALUES (?1, ?2)")?;
        for job in jobs {
            let partition = match touched.entry(job.partition) {
                btree_map::Entry::Occupied(partition) => partition.into_mut(),
                btree_map::Entry::Vacant(vacant) => vacant.insert(match known.get(&job.partition) {
                    Some(head) => Touched::known(job.partition, *head),
                    None => Touched::load(&transaction, job.partition)?,
                }),
            };
            deliveries.push(partition.append(&mut insert, &job.entry)?);
        }
        drop(insert);
        for partition in touched.values() {
            partition.move_head(&transaction)?;
        }
        match transaction.commit() {
            Ok(()) => self.heads.keep(known, touched.into_values()),
            Err(error) if !self.acknowledges_early => return Err(error),
            Err(_) => self.heads = Heads::default(),
        }
        Ok(deliveries)
    }
}

/// Where partitions ended when this connection last committed; worth something for as long as no other one has written.
#[derive(Default)]
struct Heads {
    rows: BTreeMap<u16, HeadRow>,
    version: i64,
    /// What the last group put where.
    moved: Vec<(u16, Position)>,
}

impl Heads {
    /// The heads, if no other connection has committed anything since; asked within the transaction that goes on from
    /// them. To believe them in any case is found by the suite: `a_shrunk_log_stops_its_owner_before_it_answers`.
    fn unless_changed(&mut self, connection: &Connection) -> rusqlite::Result<BTreeMap<u16, HeadRow>> {
        let mut statement = connection.prepare_cached("PRAGMA data_version")?;
        let version = statement.query_row((), |row| row.get(0))?;
        let rows = mem::take(&mut self.rows);
        let is_same = mem::replace(&mut self.version, version) == version;
        Ok(if is_same { rows } else { BTreeMap::new() })
    }

    /// Notes what a committed group left. A broken partition is looked at again.
    fn keep(&mut self, known: BTreeMap<u16, HeadRow>, touched: impl Iterator<Item = Touched>) {
        self.rows = known;
        self.moved.clear();
        for Touched { partition, found, now, broken } in touched {
            if now != found {
                self.moved.push((partition, now.position));
            }
            if broken.is_none() {
                self.rows.insert(partition, now);
            }
        }
    }
}

/// A partition within one group.
struct Touched {
    partition: u16,
    /// As the group found it.
    found: HeadRow,
    /// After the entries so far.
    now: HeadRow,
    /// Why nothing may be put behind it.
    broken: Option<Reason>,
}

impl Touched {
    /// As this connection left it.
    const fn known(partition: u16, head: HeadRow) -> Self {
        Self { partition, found: head, now: head, broken: None }
    }

    /// The last record must still be there before another is put behind it.
    fn load(connection: &Connection, partition: u16) -> rusqlite::Result<Self> {
        let found = schema::read_head(connection, partition)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let last = schema::read_record(connection, partition, found.position)?;
        let broken = match last.map(|bytes| hash_of(&bytes)) {
            None if found.position > Position::START => Some(Reason::LastReadGone),
            Some(hash) if hash != found.record => Some(Reason::LastReadChanged),
            _ => None,
        };
        Ok(Self { partition, found, now: found, broken })
    }

    fn append(&mut self, insert: &mut CachedStatement<'_>, entry: &Entry) -> rusqlite::Result<Delivery> {
        if let Some(reason) = self.broken {
            return Ok(Delivery::Diverged(reason));
        }
        if entry.before != self.now.head {
            return Ok(Delivery::Refused { number: self.now.head.number });
        }
        let seq = insert.insert(params![self.partition, &entry.record.bytes[..]])?;
        let position = Position::new(u64::try_from(seq).unwrap_or_default());
        self.now = HeadRow { head: entry.after, position, record: entry.record.hash };
        Ok(Delivery::Stored(position))
    }

    /// The fence: moves the head from exactly where the group found it.
    fn move_head(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.now == self.found {
            return Ok(());
        }
        let HeadRow { head, position, record } = self.now;
        let mut update = connection.prepare_cached(
            "UPDATE head SET term = ?1, height = ?2, hash = ?3, position = ?4, record = ?5
             WHERE part = ?6 AND term = ?7 AND height = ?8 AND hash = ?9",
        )?;
        let found = self.found.head;
        match update.execute(params![
            head.number,
            head.height,
            head.hash.as_bytes(),
            position.get(),
            record.as_bytes(),
            self.partition,
            found.number,
            found.height,
            found.hash.as_bytes(),
        ])? {
            1 => Ok(()),
            rows => Err(rusqlite::Error::StatementChangedRows(rows)),
        }
    }
}
