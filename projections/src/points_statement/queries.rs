//! Pages of a statement, and the balances that it remembers.
use event_schemas::{CustomerId, Points, Timestamp, points_account::Balances};
use privacy::MerchantScope;

use super::{Entry, PointsStatement};
use crate::{
    Error, ReadStore,
    column::{Column as _, Json},
    session::Typed as _,
    table::Row as _,
};

/// A customer's visible entries, newest first, at most `limit`; only those older than version `before`, if given.
pub async fn page(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    store
        .query::<PointsStatement, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table}
                 WHERE merchant = ? AND customer = ? AND version < ? AND visible = 1
                 ORDER BY version DESC LIMIT ?"
            );
            let before = before.unwrap_or(u64::MAX).store();
            let values = [scope.merchant().store(), customer.store(), before, limit.store()];
            session.all(&sql, &values, Entry::read)
        })
        .await
}

/// The balances as they stood in the log at `time`; nothing if the account had not moved by then.
pub async fn as_of(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
    time: Timestamp,
) -> Result<Option<Balances>, Error> {
    store
        .query::<PointsStatement, _>(scope, move |session, table, _| {
            let sql = format!(
                "SELECT after FROM {table} WHERE merchant = ? AND customer = ? AND recorded_at <= ?
                 ORDER BY version DESC LIMIT 1"
            );
            let values = [scope.merchant().store(), customer.store(), time.store()];
            session.first(&sql, &values, |row| row.get(0).map(|Json(balances)| balances))
        })
        .await
}

/// The sum of all movements that happened in business by `time`, whenever they were recorded.
///
/// Movements that stand next to each other in the stream come to the difference of the balances around them, so only
/// where such runs end is a row read; all others are passed over in the index.
pub async fn as_of_occurred(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
    time: Timestamp,
) -> Result<Balances, Error> {
    let ends = store
        .query::<PointsStatement, _>(scope, move |session, table, _| {
            let account = "merchant = ? AND customer = ?";
            // An order by version has SQLite take the index; for an equal version it would walk the account's rows.
            let sql = format!(
                "SELECT counts, (SELECT after FROM {table} WHERE {account} AND version <= run.version
                                 ORDER BY version DESC LIMIT 1)
                 FROM (SELECT version, counts, coalesce(lead(counts) OVER (ORDER BY version), 0) AS next
                       FROM (SELECT version, CAST(CASE WHEN occurred_at <= ? THEN 1 ELSE 0 END AS BIGINT) AS counts
                             FROM {table} WHERE {account}) AS told) AS run
                 WHERE counts <> next ORDER BY version"
            );
            let (merchant, customer) = (scope.merchant().store(), customer.store());
            let values = [merchant.clone(), customer.clone(), time.store(), merchant, customer];
            session.all(&sql, &values, |row| {
                let Json(after) = row.get::<Json<Balances>>(1)?;
                Ok((row.get::<u32>(0)? > 0, after))
            })
        })
        .await?;
    let mut sum = Balances::default();
    let mut before = Balances::default();
    for (counts, after) in ends {
        if counts {
            sum = combine(sum, combine(after, before, i64::saturating_sub), i64::saturating_add);
        } else {
            before = after;
        }
    }
    Ok(sum)
}

/// Bucket by bucket. Saturating is exact here: any balance that the log holds passed a checked sum.
fn combine(left: Balances, right: Balances, with: fn(i64, i64) -> i64) -> Balances {
    let each = |left: Points, right: Points| Points(with(left.0, right.0));
    Balances {
        available: each(left.available, right.available),
        pending: each(left.pending, right.pending),
        reserved: each(left.reserved, right.reserved),
        in_transit: each(left.in_transit, right.in_transit),
        debt: each(left.debt, right.debt),
        lifetime_earned: each(left.lifetime_earned, right.lifetime_earned),
        lifetime_redeemed: each(left.lifetime_redeemed, right.lifetime_redeemed),
        lifetime_expired: each(left.lifetime_expired, right.lifetime_expired),
        lifetime_clawed_back: each(left.lifetime_clawed_back, right.lifetime_clawed_back),
        lifetime_adjusted: each(left.lifetime_adjusted, right.lifetime_adjusted),
        lifetime_voided: each(left.lifetime_voided, right.lifetime_voided),
        lifetime_transferred: each(left.lifetime_transferred, right.lifetime_transferred),
    }
}
