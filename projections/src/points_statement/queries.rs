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
pub async fn as_of_occurred(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
    time: Timestamp,
) -> Result<Balances, Error> {
    let steps = store
        .query::<PointsStatement, _>(scope, move |session, table, _| {
            let sql = format!(
                "SELECT occurred_at, after FROM {table} WHERE merchant = ? AND customer = ? ORDER BY version"
            );
            session.all(&sql, &[scope.merchant().store(), customer.store()], |row| {
                let Json(after) = row.get::<Json<Balances>>(1)?;
                Ok((row.get(0)?, after))
            })
        })
        .await?;
    Ok(sum_until(time, &steps))
}

/// What a movement did is the difference to the balances before it, in the order of the stream.
fn sum_until(time: Timestamp, steps: &[(Timestamp, Balances)]) -> Balances {
    let mut sum = Balances::default();
    let mut before = Balances::default();
    for (occurred_at, after) in steps {
        if *occurred_at <= time {
            sum = combine(sum, combine(*after, before, i64::saturating_sub), i64::saturating_add);
        }
        before = *after;
    }
    sum
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_movement_recorded_late_counts_when_it_happened() {
        let balances = |available, lifetime_earned| Balances {
            available: Points(available),
            lifetime_earned: Points(lifetime_earned),
            ..Balances::default()
        };
        let day = |day: i64| Timestamp::from_micros(day * 86_400_000_000);
        let steps = [(day(1), balances(10, 10)), (day(9), balances(15, 15)), (day(2), balances(22, 22))];
        assert_eq!(sum_until(day(0), &steps), Balances::default());
        assert_eq!(sum_until(day(1), &steps), balances(10, 10));
        assert_eq!(sum_until(day(3), &steps), balances(17, 17));
        assert_eq!(sum_until(day(9), &steps), balances(22, 22));
    }
}
