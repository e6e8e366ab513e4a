//! Pages of lots, and what ends soon.
use event_schemas::{CustomerId, Points, Timestamp};
use privacy::MerchantScope;
use uuid::Uuid;

use super::{AccountLots, Lot};
use crate::{
    Error, ReadStore, StoreError,
    column::Column as _,
    session::{Cells, Typed as _},
    table::Row as _,
};

/// Where a page of lots starts: behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Version of the event that brought it.
    pub version: u64,
    /// The lot.
    pub lot: Uuid,
}

/// A customer's lots, newest first, at most `limit`; those without points in them only if asked for.
pub async fn page(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
    empty_too: bool,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<Lot>, Error> {
    let After { version, lot } = after.unwrap_or(After { version: u64::MAX, lot: Uuid::max() });
    store
        .query::<AccountLots, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table}
                 WHERE merchant = ? AND customer = ? AND (version, lot) < (?, ?)
                 AND (remaining > 0 OR pending > 0 OR 1 = ?)
                 ORDER BY version DESC, lot DESC LIMIT ?"
            );
            let (merchant, customer) = (scope.merchant().store(), customer.store());
            let values = [merchant, customer, version.store(), lot.store(), empty_too.store(), limit.store()];
            session.all(&sql, &values, Lot::read)
        })
        .await
}

/// What one customer loses at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When the points end.
    pub ends_at: Timestamp,
    /// Whose.
    pub customer: CustomerId,
    /// How many.
    pub points: Points,
}

impl Ending {
    /// From a row of its three columns.
    pub(crate) fn read(row: &dyn Cells) -> Result<Self, StoreError> {
        Ok(Self { ends_at: row.get(0)?, customer: row.get(1)?, points: row.get(2)? })
    }
}

/// What ends by `until` unless it is spent, of all customers or of one: soonest first, at most `limit`, behind `after`.
pub async fn ending(
    store: &ReadStore,
    scope: MerchantScope,
    of: Option<CustomerId>,
    until: Timestamp,
    after: Option<(Timestamp, CustomerId)>,
    limit: u32,
) -> Result<Vec<Ending>, Error> {
    let (time, customer) = after.unwrap_or((Timestamp::EPOCH, CustomerId(Uuid::nil())));
    store
        .query::<AccountLots, _>(scope, move |session, table, _| {
            let one = if of.is_some() { "AND customer = ?" } else { "" };
            let sql = format!(
                "SELECT ends_at, customer, CAST(sum(remaining) AS BIGINT) FROM {table}
                 WHERE merchant = ? AND ends_at <= ? AND (ends_at, customer) > (?, ?) {one}
                 GROUP BY ends_at, customer ORDER BY ends_at, customer LIMIT ?"
            );
            let mut values = vec![scope.merchant().store(), until.store(), time.store(), customer.store()];
            values.extend(of.map(|of| of.store()));
            values.push(limit.store());
            session.all(&sql, &values, Ending::read)
        })
        .await
}

/// How many points of a customer end by `until`, and when the first of them do.
pub async fn ending_of(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
    until: Timestamp,
) -> Result<Option<Ending>, Error> {
    store
        .query::<AccountLots, _>(scope, move |session, table, _| {
            let sql = format!(
                "SELECT min(ends_at), CAST(coalesce(sum(remaining), 0) AS BIGINT) FROM {table}
                 WHERE merchant = ? AND customer = ? AND ends_at <= ?"
            );
            let values = [scope.merchant().store(), customer.store(), until.store()];
            session.one(&sql, &values, |row| {
                let (ends_at, points) = (row.get::<Option<Timestamp>>(0)?, row.get(1)?);
                Ok(ends_at.map(|ends_at| Ending { ends_at, customer, points }))
            })
        })
        .await
}
