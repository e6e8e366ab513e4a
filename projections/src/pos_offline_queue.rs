//! What tills sent: each entry, whether it was taken, and what it moved.
use event_schemas::{
    Code, CustomerId, DeviceId, Event, MerchantId, Points, Timestamp,
    catalogue::{PointsAccountEvent, PosDeviceEvent},
    points_account::{PosEntry, Source},
    pos_device::PosEntryKind,
};
use privacy::MerchantScope;
use uuid::Uuid;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable, account_event,
    column::{Column as _, word_column},
    table::{Row as _, table},
};

word_column!(PosEntryKind);

table! {
    /// An entry of a till. The till feeds all columns but the last two, which the account feeds; so the streams may come
    /// in any order.
    QueuedEntry {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The till.
            device: DeviceId,
            /// The till's number for it.
            sequence: u64,
        }
        /// Whose points, if it was well-formed.
        customer: Option<CustomerId>,
        /// What it does.
        kind: Option<PosEntryKind>,
        /// How many points.
        points: Points,
        /// When it happened, by the till's clock.
        occurred_at: Option<Timestamp>,
        /// When it came.
        received_at: Option<Timestamp>,
        /// Why it has no effect.
        refused: Option<Code>,
        /// The award or the redemption that it led to.
        moved: Option<Uuid>,
        /// When that was recorded.
        moved_at: Option<Timestamp>,
    }
    indexes []
}

/// The projection.
pub struct PosOfflineQueue;

impl Projection for PosOfflineQueue {
    type Row = QueuedEntry;
    type Change = PosEntry;
    const NAME: &'static str = "pos_offline_queue";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<(Key<QueuedEntry>, PosEntry)> {
        let device = DeviceId(event.stream);
        let entry = match &event.event {
            Event::PosDevice(PosDeviceEvent::PosEntryAccepted(entry)) => {
                Some(PosEntry { device, sequence: entry.sequence })
            }
            Event::PosDevice(PosDeviceEvent::PosEntryRejected(entry)) => {
                Some(PosEntry { device, sequence: entry.sequence })
            }
            _ => account_event::of(event).and_then(moved).map(|(entry, _)| entry),
        };
        let at = |entry: PosEntry| QueuedEntry::at(event.merchant, entry.device, entry.sequence);
        entry.map(|entry| (at(entry), entry)).into_iter().collect()
    }

    fn fold(before: Option<QueuedEntry>, event: &Recorded, at: PosEntry) -> Result<QueuedEntry, Unfoldable> {
        let row = before.unwrap_or_else(|| unknown(event.merchant, at));
        let received_at = row.received_at.or(Some(event.recorded_at));
        Ok(match &event.event {
            Event::PosDevice(PosDeviceEvent::PosEntryAccepted(entry)) => QueuedEntry {
                customer: Some(entry.customer),
                kind: Some(entry.kind),
                points: entry.points,
                occurred_at: Some(entry.occurred_at),
                received_at,
                ..row
            },
            Event::PosDevice(PosDeviceEvent::PosEntryRejected(entry)) => {
                QueuedEntry { refused: Some(entry.code.clone()), received_at, ..row }
            }
            _ => match account_event::of(event).and_then(moved) {
                Some((_, id)) => QueuedEntry { moved: Some(id), moved_at: Some(event.recorded_at), ..row },
                None => row,
            },
        })
    }
}

/// The entry behind an account's event, and what it led to.
fn moved(event: &PointsAccountEvent) -> Option<(PosEntry, Uuid)> {
    match event {
        PointsAccountEvent::PointsEarned(earned) => match earned.source {
            Source::Pos(entry) => Some((entry, earned.entry.0)),
            Source::Order { .. } | Source::Api { .. } | Source::Action { .. } => None,
        },
        PointsAccountEvent::PointsReserved(reserved) => Some((reserved.pos?, reserved.redemption.0)),
        _ => None,
    }
}

const fn unknown(merchant: MerchantId, entry: PosEntry) -> QueuedEntry {
    QueuedEntry {
        merchant,
        device: entry.device,
        sequence: entry.sequence,
        customer: None,
        kind: None,
        points: Points::ZERO,
        occurred_at: None,
        received_at: None,
        refused: None,
        moved: None,
        moved_at: None,
    }
}

/// A till's entries, highest number first, at most `limit`; only those below `before`, if given.
pub async fn page(
    store: &ReadStore,
    scope: MerchantScope,
    device: DeviceId,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<QueuedEntry>, Error> {
    store
        .query::<PosOfflineQueue, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE merchant = ? AND device = ? AND sequence < ?
                 ORDER BY sequence DESC LIMIT ?"
            );
            let before = before.unwrap_or(u64::MAX).store();
            let values = [scope.merchant().store(), device.store(), before, limit.store()];
            session.all(&sql, &values, QueuedEntry::read)
        })
        .await
}
