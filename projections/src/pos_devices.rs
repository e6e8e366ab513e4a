//! Tills: how far each one's numbers have come, and what is missing among them.
use event_schemas::{
    DeviceId, Event, MerchantId, Timestamp, catalogue::PosDeviceEvent, pos_device::SequenceRange,
};
use privacy::MerchantScope;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable, Value,
    column::{Column as _, Json},
    table::{Row as _, table},
};

table! {
    /// A till.
    Device {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The till.
            device: DeviceId,
        }
        /// The highest number that came.
        highest: u64,
        /// What never came below it.
        missing: Json<Vec<SequenceRange>>,
        /// Batches with something new in them.
        batches: u64,
        /// When the newest of them came.
        received_at: Timestamp,
    }
    indexes []
}

/// The projection.
pub struct PosDevices;

impl Projection for PosDevices {
    type Row = Device;
    type Change = ();
    const NAME: &'static str = "pos_devices";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<(Key<Device>, ())> {
        match event.event {
            Event::PosDevice(PosDeviceEvent::PosBatchReceived(_)) => {
                vec![(Device::at(event.merchant, DeviceId(event.stream)), ())]
            }
            _ => Vec::new(),
        }
    }

    fn fold(before: Option<Device>, event: &Recorded, (): ()) -> Result<Device, Unfoldable> {
        let Event::PosDevice(PosDeviceEvent::PosBatchReceived(batch)) = &event.event else {
            return before.ok_or_else(|| Unfoldable::without("till"));
        };
        let (highest, batches) = before.map_or((0, 0), |device| (device.highest, device.batches));
        Ok(Device {
            merchant: event.merchant,
            device: DeviceId(event.stream),
            highest: highest.max(batch.last),
            missing: Json(batch.missing.clone()),
            batches: batches.saturating_add(1),
            received_at: event.recorded_at,
        })
    }
}

/// The till, if a batch of it ever came.
pub async fn find(
    store: &ReadStore,
    scope: MerchantScope,
    device: DeviceId,
) -> Result<Option<Device>, Error> {
    store.find::<PosDevices>(scope, Device::at(scope.merchant(), device)).await
}

/// All tills of the shop, at most `limit`; only those behind `after`.
pub async fn page(
    store: &ReadStore,
    scope: MerchantScope,
    after: Option<DeviceId>,
    limit: u32,
) -> Result<Vec<Device>, Error> {
    store
        .query::<PosDevices, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE merchant = ? AND device > ? ORDER BY device LIMIT ?"
            );
            let after = after.map_or_else(|| Value::Bytes(Vec::new()), |after| after.store());
            session.all(&sql, &[scope.merchant().store(), after, limit.store()], Device::read)
        })
        .await
}
