//! Rows of the directory that no event stands behind: a crash came between the two. After a day they are doubted, and if
//! nobody asked for them for an hour more, they go; so an erasure has no row to look for that belongs to nobody.
use std::collections::HashMap;

use domain::{Aggregate, StreamRef};
use event_schemas::{MerchantId, OrderId, Timestamp};
use privacy::{DirectoryRow, Kind};

use super::{DAY_US, Error, Upkeep};
use crate::marks;

/// Rows looked at in one go.
const ROWS_MAX: u32 = 500;
/// How long a row is doubted before it goes: far longer than any command is under way.
const DOUBT_SECONDS: i64 = 3_600;
/// Up to this row, all that is in the directory has its event.
const SWEPT: &str = "directory-swept";

impl Upkeep {
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        let (now_s, day_ago) = (now.micros() / 1_000_000, (now.micros() - DAY_US) / 1_000_000);
        let mut last = self.work.read(|work| marks::get(work, SWEPT)).await?;
        // What is doubted is looked at again in the next round, so the mark stays before it.
        let (mut is_swept, mut swept) = (true, last);
        loop {
            let rows = self.keys.directory_behind(last, day_ago, ROWS_MAX).await?;
            let Some(end) = rows.last() else { return Ok(()) };
            last = end.number;
            let (mut doubted, mut removed) = (Vec::new(), Vec::new());
            let mut known = HashMap::new();
            for row in &rows {
                if self.has_event(row, &mut known).await? {
                    swept = if is_swept { row.number } else { swept };
                    continue;
                }
                match row.doubted_at {
                    Some(at) if at <= now_s - DOUBT_SECONDS => removed.push(row.number),
                    _ => {
                        is_swept = false;
                        doubted.push(row.number);
                    }
                }
            }
            if !doubted.is_empty() {
                self.keys.doubt(doubted, now_s).await?;
            }
            if !removed.is_empty() {
                let removed = self.keys.remove_doubted(removed, now_s - DOUBT_SECONDS + 1).await?;
                metrics::counter!("privacy_directory_rows_swept_total").increment(removed);
                tracing::warn!(
                    rows = removed,
                    "Rows of the directory that no event stands behind were removed"
                );
            }
            self.mark(swept).await?;
        }
    }

    /// Whether something in the log stands behind the row, or nobody can tell.
    async fn has_event(
        &self,
        row: &DirectoryRow,
        known: &mut HashMap<(MerchantId, StreamRef), bool>,
    ) -> Result<bool, Error> {
        let (merchant, mut streams) = (row.merchant, Vec::new());
        match row.kind {
            // What leads to a shop stands under no shop.
            Kind::ShopDomain | Kind::ShopId => {
                let shop = MerchantId(row.id);
                return self.is_known(shop, StreamRef::merchant(shop), known).await;
            }
            Kind::Order | Kind::GuestEmail => streams.push(StreamRef::order(OrderId(row.id))),
            // Which order it is of, only that order knows.
            Kind::Refund if row.subject.is_none() => return Ok(true),
            _ => {}
        }
        if let Some(subject) = row.subject {
            if self.keys.is_erased(merchant, Some(subject)).await? {
                return Ok(true);
            }
            streams.push(StreamRef::customer(subject));
        }
        for stream in streams {
            if self.is_known(merchant, stream, known).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_known(
        &self,
        merchant: MerchantId,
        stream: StreamRef,
        known: &mut HashMap<(MerchantId, StreamRef), bool>,
    ) -> Result<bool, Error> {
        if let Some(known) = known.get(&(merchant, stream)) {
            return Ok(*known);
        }
        let empty = Aggregate::new(stream.stream_type);
        let is_known = self.commander.read(merchant, stream, move |state| *state != empty).await?;
        known.insert((merchant, stream), is_known);
        Ok(is_known)
    }

    async fn mark(&self, number: i64) -> Result<(), Error> {
        Ok(self.work.run(move |work| marks::set(work, SWEPT, number)).await?)
    }
}
