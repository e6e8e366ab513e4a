//! Somebody who edits the file of a log with plain SQL, carelessly or with care.
use std::{collections::HashSet, path::Path};

use bytes::Bytes;
use event_log::{Admission, FRAME_LEN, Hash, Kind, Log, Position, Record, State, admit};
use rand::{Rng as _, rngs::StdRng};
use rusqlite::{Connection, params};

/// What is done to the file, each with or without mending the table that says where partitions end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit {
    /// One record goes.
    Delete,
    /// Two records change places, perhaps of two partitions.
    Swap,
    /// One byte changes.
    Byte,
    /// The last records of one partition go.
    CutPartition,
    /// The last records of the whole log go.
    CutLog,
    /// A record is put into another partition.
    Move,
    /// A body changes, and every record of the partition behind it is chained anew.
    Forge,
}

pub(crate) const EDITS: [Edit; 7] =
    [Edit::Delete, Edit::Swap, Edit::Byte, Edit::CutPartition, Edit::CutLog, Edit::Move, Edit::Forge];

struct Row {
    seq: u64,
    part: u16,
    bytes: Vec<u8>,
}

/// A log's file without anybody in it.
pub(crate) struct Editor<'a> {
    connection: Connection,
    rows: Vec<Row>,
    starts: &'a [State],
}

/// The states before the first records.
pub(crate) fn starts(log: &Log) -> Vec<State> {
    (0..log.partitions()).map(|partition| log.start(partition).unwrap()).collect()
}

impl<'a> Editor<'a> {
    pub(crate) fn open(path: &Path, starts: &'a [State]) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA synchronous=OFF").unwrap();
        let mut select = connection.prepare("SELECT seq, part, rec FROM log ORDER BY seq").unwrap();
        let rows =
            select.query_map([], |row| Ok(Row { seq: row.get(0)?, part: row.get(1)?, bytes: row.get(2)? }));
        let rows = rows.unwrap().collect::<Result<_, _>>().unwrap();
        drop(select);
        Self { connection, rows, starts }
    }

    /// Does it somewhere, mends the heads if `careful`, and says what was done.
    pub(crate) fn edit(&mut self, edit: Edit, careful: bool, random: &mut StdRng) -> String {
        self.connection.execute_batch("BEGIN").unwrap();
        let place = random.random_range(0..self.rows.len());
        let (seq, part) = (self.rows[place].seq, self.rows[place].part);
        let (touched, details) = match edit {
            Edit::Delete => (vec![part], self.delete(|row| row.seq == seq)),
            Edit::CutLog => (vec![], self.delete(|row| row.seq >= seq)),
            Edit::CutPartition => (vec![part], self.delete(|row| row.part == part && row.seq >= seq)),
            Edit::Byte => {
                let byte = random.random_range(0..self.rows[place].bytes.len());
                let flip = random.random_range(1..=255_u8);
                self.rows[place].bytes[byte] ^= flip;
                self.store(place);
                (vec![part], format!("byte {byte} ^ {flip:#04x}"))
            }
            Edit::Swap => {
                let other = (place + random.random_range(1..self.rows.len())) % self.rows.len();
                let bytes = std::mem::take(&mut self.rows[place].bytes);
                self.rows[place].bytes = std::mem::replace(&mut self.rows[other].bytes, bytes);
                self.store(place);
                self.store(other);
                (vec![part, self.rows[other].part], format!("with position {}", self.rows[other].seq))
            }
            Edit::Move => {
                let partitions = u16::try_from(self.starts.len()).unwrap();
                let other = (part + random.random_range(1..partitions)) % partitions;
                self.rows[place].part = other;
                self.connection
                    .execute("UPDATE log SET part = ? WHERE seq = ?", params![other, seq])
                    .unwrap();
                (vec![part, other], format!("to partition {other}"))
            }
            Edit::Forge => (vec![part], self.forge(place, random)),
        };
        if careful {
            let all: HashSet<u16> = if touched.is_empty() {
                self.rows
                    .iter()
                    .map(|row| row.part)
                    .chain([part])
                    .chain(0..self.starts.len() as u16)
                    .collect()
            } else {
                touched.into_iter().collect()
            };
            all.into_iter().for_each(|part| self.mend(part));
        }
        self.connection.execute_batch("COMMIT").unwrap();
        format!("{edit:?} (careful: {careful}) at position {seq} of partition {part}: {details}")
    }

    fn delete(&mut self, which: impl Fn(&Row) -> bool) -> String {
        let before = self.rows.len();
        for row in self.rows.iter().filter(|row| which(row)) {
            self.connection.execute("DELETE FROM log WHERE seq = ?", [row.seq]).unwrap();
        }
        self.rows.retain(|row| !which(row));
        format!("{} records", before - self.rows.len())
    }

    fn store(&self, place: usize) {
        let Row { seq, bytes, .. } = &self.rows[place];
        self.connection.execute("UPDATE log SET rec = ? WHERE seq = ?", params![bytes, seq]).unwrap();
    }

    /// Changes a byte of a body, or of a frame that has none, and chains all that follows in the partition anew.
    fn forge(&mut self, place: usize, random: &mut StdRng) -> String {
        let part = self.rows[place].part;
        let chain: Vec<usize> = (0..self.rows.len()).filter(|row| self.rows[*row].part == part).collect();
        let mut state = self.starts[usize::from(part)];
        let mut merchants = std::collections::HashMap::new();
        for row in chain {
            let record = Record::decode(Bytes::from(self.rows[row].bytes.clone())).unwrap();
            let (mut frame, mut body) = (record.frame, record.body().to_vec());
            if row == place {
                match body.is_empty() {
                    true => frame.key_count += 1,
                    false => {
                        let byte = random.random_range(0..body.len());
                        body[byte] ^= random.random_range(1..=255_u8);
                    }
                }
            }
            frame.prev = state.head;
            if matches!(frame.kind, Kind::Commit | Kind::Outcome) {
                frame.merchant_prev = merchants.get(&frame.merchant).copied().unwrap_or(Hash::ZERO);
            }
            let record = Record::encode(frame, &body);
            merchants.insert(frame.merchant, record.hash);
            assert_eq!(admit(&mut state, &record), Admission::Admitted);
            self.rows[row].bytes = record.bytes.to_vec();
            self.store(row);
        }
        format!("a byte behind the {FRAME_LEN} of its frame")
    }

    /// Makes the store's head that of the records, as far as they form a chain.
    fn mend(&self, part: u16) {
        let mut state = self.starts[usize::from(part)];
        let (mut position, mut last) = (Position::START, Hash::ZERO);
        for row in self.rows.iter().filter(|row| row.part == part) {
            let Ok(record) = Record::decode(Bytes::from(row.bytes.clone())) else { break };
            let mut next = state;
            // A term beyond 63 bits has no place in the table.
            if admit(&mut next, &record) != Admission::Admitted || i64::try_from(next.number).is_err() {
                break;
            }
            state = next;
            (position, last) = (Position::new(row.seq), record.hash);
        }
        let update =
            "UPDATE head SET term = ?, height = ?, hash = ?, position = ?, record = ? WHERE part = ?";
        let (head, last) = (state.head.as_bytes(), last.as_bytes());
        let values = params![state.number, state.height, head, position.get(), last, part];
        assert_eq!(self.connection.execute(update, values).unwrap(), 1);
    }
}
