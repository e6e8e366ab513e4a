//! Reading a whole log file in one pass over its pages, whatever partition each record is of.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use super::{schema, tail::Readers};
use crate::{
    backend::{Last, Sweep, Swept, cut},
    error::Fault,
    ids::Position,
};

/// A page has no more bytes than this, but for its last record: what was just copied is still in the processor's cache when
/// it is hashed and decoded, and large records do not add up.
const PAGE_BYTES: usize = 512 * 1024;

/// One reader's view of all partitions.
pub(super) struct SqliteSweep {
    readers: Arc<Readers>,
    /// Everything up to here was looked at.
    scanned: Position,
    /// How many bytes the records of the last page had together, which those of the next will have too.
    page_len: usize,
}

impl SqliteSweep {
    pub(super) fn new(readers: Arc<Readers>) -> Self {
        Self { readers, scanned: Position::START, page_len: 0 }
    }
}

#[async_trait]
impl Sweep for SqliteSweep {
    async fn fetch(&mut self, after: &[Option<Position>], max_records: usize) -> Result<Swept, Fault> {
        let Some(first) = after.iter().flatten().min() else { return Ok(Swept::default()) };
        let scan_from = self.scanned.max(*first);
        let page = Page { after: after.to_vec(), scan_from, max_records, len: self.page_len };
        let fetched = self.readers.read("read the log", move |connection| page.fetch(connection));
        let (swept, scanned, page_len) = fetched.await?;
        (self.scanned, self.page_len) = (scanned, page_len);
        Ok(swept)
    }
}

struct Page {
    /// By partition; nothing where none of it is wanted.
    after: Vec<Option<Position>>,
    scan_from: Position,
    max_records: usize,
    len: usize,
}

impl Page {
    /// One transaction, so that the last records read, the records and the heads are of one moment.
    fn fetch(&self, connection: &Connection) -> rusqlite::Result<(Swept, Position, usize)> {
        let transaction = connection.unchecked_transaction()?;
        let mut swept = Swept::default();
        for (partition, after) in self.wanted() {
            let last = match after {
                Position::START => None,
                after => schema::read_record(&transaction, partition, after)?,
            };
            swept.last.push((partition, last.map_or(Last::Absent, |bytes| Last::Bytes(bytes.into()))));
        }
        let (scanned, page_len, is_end) = self.records(&transaction, &mut swept)?;
        if is_end {
            for (partition, _) in self.wanted() {
                let head = schema::read_head(&transaction, partition)?.map(|row| row.head);
                swept.ended.push((partition, head));
            }
        }
        Ok((swept, scanned, page_len))
    }

    /// Returns up to where everything was looked at, and whether that is the end. Rows of partitions that the log does not
    /// have are nobody's history.
    fn records(
        &self,
        connection: &Connection,
        swept: &mut Swept,
    ) -> rusqlite::Result<(Position, usize, bool)> {
        let mut statement =
            connection.prepare_cached("SELECT seq, part, rec FROM log WHERE seq > ?1 ORDER BY seq")?;
        let mut rows = statement.query([self.scan_from.get()])?;
        let mut bytes = Vec::with_capacity(self.len);
        let (mut partitions, mut ends) = (Vec::new(), Vec::new());
        let (mut scanned, mut is_end) = (self.scan_from, false);
        while ends.len() < self.max_records && bytes.len() < PAGE_BYTES {
            let Some(row) = rows.next()? else {
                is_end = true;
                break;
            };
            scanned = Position::new(row.get(0)?);
            if let Some(partition) = self.partition(row.get(1)?, scanned) {
                bytes.extend_from_slice(row.get_ref(2)?.as_blob()?);
                partitions.push(partition);
                ends.push((scanned, bytes.len()));
            }
        }
        let len = bytes.len();
        swept.records.extend(partitions.into_iter().zip(cut(bytes, ends)));
        Ok((scanned, len, is_end))
    }

    /// The partition, if a record of it at this position is wanted.
    fn partition(&self, number: i64, position: Position) -> Option<u16> {
        let partition = u16::try_from(number).ok()?;
        let after = (*self.after.get(usize::from(partition))?)?;
        (position > after).then_some(partition)
    }

    fn wanted(&self) -> impl Iterator<Item = (u16, Position)> {
        (0..).zip(&self.after).filter_map(|(partition, after)| Some((partition, (*after)?)))
    }
}
