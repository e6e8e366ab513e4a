//! Finds deliveries by what is random in them: an index in work.db that is written late and in order, and in memory what
//! it lacks.
//!
//! Random keys written as they come would cost a page each in every commit. A key is 64 bits of a hash, so whoever finds
//! a row by it compares the row.
use std::{collections::BTreeSet, mem};

use event_schemas::MerchantId;
use group_commit::{Session, StoreError, values};
use uuid::Uuid;

/// So many keys wait in memory until they are written.
const LATE_MAX: usize = 8192;

/// What a row is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(i64);

impl Key {
    /// Of a body, under whatever shop it came.
    pub(super) fn body(hash: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *hash;
        Self(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// Of a shop's webhook id.
    pub(super) fn webhook(merchant: MerchantId, webhook_id: &str) -> Self {
        let (high, _) = Uuid::new_v5(&merchant.0, webhook_id.as_bytes()).as_u64_pair();
        Self(high.cast_signed())
    }
}

/// The index. Only the thread of work.db uses it, and what a transaction adds stays when it fails: then a key leads to no
/// row or to another, which the comparison tells.
#[derive(Default)]
pub(super) struct Known {
    is_loaded: bool,
    late: BTreeSet<(Key, i64)>,
    /// Written, but perhaps in a transaction that failed, which shows when `written_to` is compared with the table.
    written: BTreeSet<(Key, i64)>,
    written_to: i64,
}

impl Known {
    /// Adds a row that this transaction has written.
    pub(super) fn add(&mut self, key: Key, seq: i64) {
        self.late.insert((key, seq));
    }

    /// The rows that may have this key, first the oldest.
    pub(super) fn rows(&mut self, work: &dyn Session, key: Key) -> Result<Vec<i64>, StoreError> {
        const FIND: &str = "SELECT seq FROM inbox_key WHERE key = ?1";
        self.load(work)?;
        let mut rows: Vec<i64> = [&self.written, &self.late]
            .into_iter()
            .flat_map(|keys| keys.range((key, i64::MIN)..=(key, i64::MAX)).map(|(_, seq)| *seq))
            .collect();
        work.each(FIND, values![key.0], &mut |row| {
            rows.push(row.at(0)?);
            Ok(())
        })?;
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    /// Writes what waits, once it is enough to be worth it.
    pub(super) fn write_if_due(&mut self, work: &dyn Session) -> Result<(), StoreError> {
        if self.late.len() < LATE_MAX { Ok(()) } else { self.write(work) }
    }

    fn write(&mut self, work: &dyn Session) -> Result<(), StoreError> {
        const WRITE: &str = "INSERT OR IGNORE INTO inbox_key VALUES(?1, ?2)";
        const LAST: &str = "SELECT coalesce(max(seq), 0) FROM inbox";
        const UP_TO: &str = "INSERT INTO inbox_keyed VALUES(1, ?1) ON CONFLICT DO UPDATE SET up_to = ?1";
        // Not the last of what waits: its transaction may have failed, and then the next row gets its number.
        let (before, last) = (up_to(work)?, work.one(LAST, values![], |row| row.at(0))?);
        let mut keys = mem::take(&mut self.late);
        if before < self.written_to && !is_planted(Bug::TrustsCommits) {
            // The transaction that had them failed.
            keys.append(&mut self.written);
        }
        self.written = keys;
        let last_key = || self.written.iter().map(|(_, seq)| *seq).max().unwrap_or_default();
        self.written_to = if is_planted(Bug::TrustsNumbers) { last_key() } else { last };
        for (key, seq) in &self.written {
            work.execute(WRITE, values![key.0, *seq])?;
        }
        work.execute(UP_TO, values![self.written_to]).map(drop)
    }

    /// Reads what an earlier process had in memory.
    fn load(&mut self, work: &dyn Session) -> Result<(), StoreError> {
        const LATE: &str = "SELECT seq, merchant, webhook_id, body_hash FROM inbox WHERE seq > ?1";
        if self.is_loaded {
            return Ok(());
        }
        let last = up_to(work)?;
        work.each(LATE, values![last], &mut |row| {
            let (seq, merchant) = (row.at(0)?, MerchantId::from_bytes(row.at(1)?));
            self.add(Key::webhook(merchant, row.cell(2)?.text()?), seq);
            self.add(Key::body(&row.at(3)?), seq);
            Ok(())
        })?;
        self.is_loaded = true;
        Ok(())
    }
}

/// What the tests plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// Keys are forgotten although the transaction that wrote them failed.
    TrustsCommits,
    /// The number of a row that failed counts as written.
    TrustsNumbers,
}

#[cfg(test)]
fn is_planted(bug: Bug) -> bool {
    tests::PLANTED.get() == Some(bug)
}

#[cfg(not(test))]
const fn is_planted(_: Bug) -> bool {
    false
}

/// The last row whose keys are written.
fn up_to(work: &dyn Session) -> Result<i64, StoreError> {
    const UP_TO: &str = "SELECT coalesce(max(up_to), 0) FROM inbox_keyed";
    work.one(UP_TO, values![], |row| row.at(0))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rusqlite::{Connection, params};

    use super::*;

    thread_local! {
        pub(super) static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static MADE: Cell<i64> = const { Cell::new(0) };
    }

    /// Keys that two rows share, as two bodies may.
    const SHARED: i64 = 3;

    fn work() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work.db");
        drop(crate::work::open(&path).unwrap());
        (folder, Connection::open(path).unwrap())
    }

    fn keys(n: i64) -> [Key; 2] {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(n / 2 * SHARED).to_be_bytes());
        [Key::body(&hash), Key::webhook(MerchantId::from_bytes([1; 16]), &format!("w-{n}"))]
    }

    /// What [`super::super::insert`] does of it. A number that failed is given again, to a row with other keys.
    fn insert(work: &Connection, known: &mut Known) {
        let n = MADE.replace(MADE.get() + 1);
        let ([body, webhook], mut hash) = (keys(n), [0; 32]);
        hash[..8].copy_from_slice(&body.0.to_be_bytes());
        known.rows(work, body).unwrap();
        let row = "INSERT INTO inbox(id, merchant, topic, webhook_id, body_hash, received_at, correlation, trace, day, \
            people, status, drive) VALUES(?1, ?2, '', ?3, ?4, 0, x'', x'', '', x'', 'accepted', ?5)";
        let id = Uuid::from_u128(u128::from(n.unsigned_abs())).into_bytes();
        work.execute(row, params![id, [1_u8; 16], format!("w-{n}"), hash, n]).unwrap();
        let seq = work.last_insert_rowid();
        known.add(body, seq);
        known.add(webhook, seq);
    }

    fn transaction(work: &Connection, end: &str, run: impl FnOnce()) {
        work.execute_batch("BEGIN").unwrap();
        run();
        work.execute_batch(end).unwrap();
    }

    /// Every row is found by both its keys, by this process and by the next.
    fn all_found(work: &Connection, known: &mut Known) {
        let mut rows = work.prepare("SELECT seq, drive FROM inbox").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(i64, i64)> = rows.map(Result::unwrap).collect();
        for known in [known, &mut Known::default()] {
            for (seq, n) in &rows {
                for key in keys(*n) {
                    let found = known.rows(work, key).unwrap();
                    assert!(found.contains(seq) && found.is_sorted(), "row {seq} is not in {found:?}");
                }
            }
        }
    }

    #[test]
    fn rows_are_found_before_and_after_their_keys_are_written() {
        let ((_folder, work), mut known) = (work(), Known::default());
        for _ in 0..3 {
            transaction(&work, "COMMIT", || (0..5).for_each(|_| insert(&work, &mut known)));
            all_found(&work, &mut known);
            transaction(&work, "COMMIT", || known.write(&work).unwrap());
            all_found(&work, &mut known);
        }
        assert_eq!((known.late.len(), up_to(&work).unwrap()), (0, 15));
    }

    /// Transactions of so many rows that are kept or not, each row looked for after each.
    fn transactions_fail() {
        let ((_folder, work), mut known) = (work(), Known::default());
        let steps = [(4, true), (6, false), (3, true), (1, false), (2, true), (5, false), (1, true)];
        for (n, (rows, is_kept)) in steps.into_iter().cycle().take(40).enumerate() {
            let end = if is_kept { "COMMIT" } else { "ROLLBACK" };
            transaction(&work, end, || {
                (0..rows).for_each(|_| insert(&work, &mut known));
                if n % 3 != 1 {
                    known.write(&work).unwrap();
                }
            });
            all_found(&work, &mut known);
        }
    }

    #[test]
    fn no_row_is_lost_by_transactions_that_fail_while_keys_are_written() {
        transactions_fail();
    }

    #[test]
    #[should_panic(expected = "row ")]
    fn an_index_that_trusts_its_commits_loses_rows() {
        PLANTED.set(Some(Bug::TrustsCommits));
        transactions_fail();
    }

    #[test]
    #[should_panic(expected = "row ")]
    fn an_index_that_counts_rows_that_failed_loses_rows() {
        PLANTED.set(Some(Bug::TrustsNumbers));
        transactions_fail();
    }
}
