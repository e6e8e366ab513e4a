//! Strips: rows laid side by side in the order of their numbers, so that one statement stores all of them.
//!
//! A statement for each row costs more than wrapping the key that it stores, and on a server it is a round trip.
use group_commit::{Session, values};

use crate::{
    Error,
    aead::sealed_len,
    erasure::is_destroyed,
    keys::{DataKeyId, Epoch},
    page::WrappedRow,
};

/// Bytes of a wrapped data key, and of a row's place in a strip.
const PLACE_LEN: usize = sealed_len(64);
/// A strip ends where more numbers than this are nobody's, ...
const GAP_MAX: usize = 8;
/// ... and before a statement's values leave the nearer caches.
const PLACES_MAX: u64 = 1_024;

/// What stands in rows, and what is to stand there. The place of a number that is nobody's, or whose row is destroyed or
/// stays as it is, is all zero bytes.
pub(crate) struct Strip {
    first: i64,
    old: Vec<u8>,
    new: Vec<u8>,
    /// Whose keys it wraps, and where they are in `new`.
    keys: Vec<(DataKeyId, usize)>,
    /// Rows that were laid.
    rows: u64,
    /// As long as any destroyed key: one that was damaged before need not be as long as the others.
    zeros: Vec<u8>,
}

/// Adds a row that stands behind the others and is destroyed, or opens and so has a key's length; `wrap` puts what is to
/// stand there behind what it is given, unless it is destroyed.
pub(crate) fn lay(
    strips: &mut Vec<Strip>,
    row: &WrappedRow<&[u8]>,
    wrap: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    match strips.last_mut().and_then(|strip| Some((strip.gap_before(row.n)?, strip))) {
        Some((gap, strip)) => strip.lay(gap, row, wrap),
        None => {
            let mut strip = Strip {
                first: row.n,
                old: Vec::new(),
                new: Vec::new(),
                keys: Vec::new(),
                rows: 0,
                zeros: vec![0; PLACE_LEN],
            };
            strip.lay(0, row, wrap)?;
            strips.push(strip);
            Ok(())
        }
    }
}

impl Strip {
    /// How many numbers are nobody's between the last row and this one; nothing if they are too many, or the strip is long
    /// enough.
    fn gap_before(&self, n: i64) -> Option<usize> {
        let next =
            self.first.checked_add_unsigned(Some(self.places()).filter(|places| *places < PLACES_MAX)?)?;
        usize::try_from(n.checked_sub(next)?).ok().filter(|gap| *gap <= GAP_MAX)
    }

    fn places(&self) -> u64 {
        (self.old.len() / PLACE_LEN) as u64
    }

    fn lay(
        &mut self,
        gap: usize,
        row: &WrappedRow<&[u8]>,
        wrap: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let place = self.old.len() + gap * PLACE_LEN;
        self.old.resize(place, 0);
        self.new.resize(place, 0);
        if is_destroyed(row.wrapped) {
            self.zeros.resize(self.zeros.len().max(row.wrapped.len()), 0);
        } else {
            self.old.extend_from_slice(row.wrapped);
            wrap(&mut self.new)?;
            self.keys.push((row.id, place));
        }
        self.old.resize(place + PLACE_LEN, 0);
        self.new.resize(place + PLACE_LEN, 0);
        self.rows += 1;
        Ok(())
    }

    /// How many rows were laid.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The keys that it wraps, and what they were wrapped into.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (DataKeyId, &[u8])> {
        self.keys.iter().filter_map(|(id, place)| Some((*id, self.new.get(*place..*place + PLACE_LEN)?)))
    }

    /// Stores them; how many there were. A row that was destroyed meanwhile stays so and comes along; one that holds
    /// anything else than what was read is left alone.
    pub(crate) fn store(&self, session: &dyn Session, table: &str, epoch: Epoch) -> Result<u64, Error> {
        let place =
            |of: &str| format!("substr({of}, CAST(1 + (n - ?2) * {PLACE_LEN} AS INTEGER), {PLACE_LEN})");
        let update = format!(
            "UPDATE {table} SET epoch = ?1, wrapped = {new}
             WHERE n BETWEEN ?2 AND ?3 AND epoch < ?1 AND wrapped = {old}",
            old = place("?4"),
            new = place("?5"),
        );
        let last = self.first.saturating_add_unsigned(self.places()).saturating_sub(1);
        let stored = session.execute(&update, values![epoch, self.first, last, &self.old, &self.new])?;
        if stored == self.rows {
            return Ok(stored);
        }
        let come_along = format!(
            "UPDATE {table} SET epoch = ?1
             WHERE n BETWEEN ?2 AND ?3 AND epoch < ?1 AND wrapped = substr(?4, 1, length(wrapped))"
        );
        Ok(stored + session.execute(&come_along, values![epoch, self.first, last, &self.zeros])?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use event_schemas::{CustomerId, MerchantId};
    use group_commit::Store;

    use super::*;

    const OLD: Epoch = 1;
    const NEW: Epoch = 2;
    const TABLE: &str =
        "CREATE TABLE t(n INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, wrapped BLOB NOT NULL)";

    fn key(n: i64, of: Epoch) -> Vec<u8> {
        let mut key = vec![9; PLACE_LEN];
        key[..8].copy_from_slice(&n.to_be_bytes());
        key[8] = u8::try_from(of).unwrap();
        key
    }

    fn row(n: i64, wrapped: &[u8]) -> WrappedRow<&[u8]> {
        let id = DataKeyId::subject(MerchantId::from_bytes([1; 16]), CustomerId::from_bytes([2; 16]));
        WrappedRow { n, id, epoch: OLD, wrapped }
    }

    fn laid(strips: &mut Vec<Strip>, row: &WrappedRow<&[u8]>) {
        let wrap = |new: &mut Vec<u8>| {
            new.extend_from_slice(&key(row.n, NEW));
            Ok(())
        };
        lay(strips, row, wrap).unwrap();
    }

    /// Stores the strips over rows that stand like this by then; what came of each, and how many it says were stored.
    async fn stored(
        strips: Vec<Strip>,
        rows: Vec<(i64, Epoch, Vec<u8>)>,
    ) -> (u64, BTreeMap<i64, (Epoch, Vec<u8>)>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_file(&folder.path().join("t.db"), "", TABLE).unwrap();
        let done = store.call(move |session| {
            for (n, epoch, wrapped) in &rows {
                session.execute("INSERT INTO t VALUES (?1, ?2, ?3)", values![*n, *epoch, wrapped])?;
            }
            let mut count = 0;
            for strip in strips {
                count += strip.store(session, "t", NEW)?;
            }
            let rows = session.all("SELECT n, epoch, wrapped FROM t", values![], |row| {
                Ok((row.at(0)?, (row.at(1)?, row.at(2)?)))
            })?;
            Ok::<_, Error>((count, rows.into_iter().collect()))
        });
        done.await.unwrap().unwrap()
    }

    /// Tried without the look at what stands there: the destroyed key is alive again, and the row that is another one now
    /// holds a key that does not open.
    #[tokio::test]
    async fn what_was_destroyed_or_changed_since_it_was_read_is_not_brought_back() {
        let mut strips = Vec::new();
        (1..=5).for_each(|n| laid(&mut strips, &row(n, &key(n, OLD))));
        assert_eq!(strips.len(), 1);
        let (destroyed, other) = (vec![0; PLACE_LEN], key(77, OLD));
        let now = vec![
            (1, OLD, key(1, OLD)),
            (2, OLD, destroyed.clone()),
            (3, OLD, other.clone()),
            (4, NEW, other.clone()),
        ];
        let (count, rows) = stored(strips, now).await;
        let expected =
            [(1, (NEW, key(1, NEW))), (2, (NEW, destroyed)), (3, (OLD, other.clone())), (4, (NEW, other))];
        assert_eq!((count, rows), (2, expected.into()));
    }

    /// Tried with places that do not leave room for the numbers between, and with destroyed keys of one length only.
    #[tokio::test]
    async fn numbers_that_are_nobodys_and_destroyed_keys_of_any_length_do_not_matter() {
        let numbers = [3, 4, 7, 16, 26, 900, 901, 911];
        let odd = |n: i64| if n == 7 { vec![0; PLACE_LEN + 20] } else { vec![0; 5] };
        let is_odd = |n: i64| n == 7 || n == 901;
        let (mut strips, mut now) = (Vec::new(), Vec::new());
        for n in numbers {
            let wrapped = if is_odd(n) { odd(n) } else { key(n, OLD) };
            now.push((n, OLD, wrapped.clone()));
            laid(&mut strips, &row(n, &wrapped));
        }
        assert_eq!(strips.iter().map(|strip| strip.first).collect::<Vec<_>>(), [3, 26, 900, 911]);
        // Whose key does not open is in no strip.
        now.push((5, OLD, key(5, OLD)));
        let (count, mut rows) = stored(strips, now).await;
        assert_eq!((count, rows.remove(&5)), (8, Some((OLD, key(5, OLD)))));
        for (n, found) in rows {
            assert_eq!(found, (NEW, if is_odd(n) { odd(n) } else { key(n, NEW) }), "row {n}");
        }
    }
}
