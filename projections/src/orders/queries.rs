//! One order, pages of them, and how many there are.
use event_schemas::{CustomerId, OrderId, loyalty_order::OrderStatus};
use privacy::MerchantScope;

use super::{Order, Orders};
use crate::{Error, ReadStore, Value, column::Column as _, session::Typed as _, table::Row as _};

/// The order.
pub async fn find(store: &ReadStore, scope: MerchantScope, order: OrderId) -> Result<Option<Order>, Error> {
    store.find::<Orders>(scope, Order::at(scope.merchant(), order)).await
}

/// Which orders; all that have a verdict, unless said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of these customers.
    pub customers: Option<Vec<CustomerId>>,
    /// Only those that stand so.
    pub status: Option<OrderStatus>,
}

/// Orders, newest first by when they were first seen, at most `limit`; only those older than `before`, if given.
pub async fn page(
    store: &ReadStore,
    scope: MerchantScope,
    filter: Filter,
    before: Option<OrderId>,
    limit: u32,
) -> Result<Vec<Order>, Error> {
    let mut sql = String::new();
    let mut values: Vec<Value> = vec![scope.merchant().store()];
    if let Some(customers) = &filter.customers {
        sql.push_str(&format!(" AND customer IN ({})", vec!["?"; customers.len()].join(", ")));
        values.extend(customers.iter().map(|customer| customer.store()));
    }
    let conditions = [
        ("status = ?", filter.status.map(|status| status.store())),
        // Ids hold the time of the first sight.
        ("order_id < ?", before.map(|order| order.store())),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.push(value);
        }
    }
    values.push(limit.store());
    store
        .query::<Orders, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE merchant = ? AND status IS NOT NULL{sql}
                 ORDER BY order_id DESC LIMIT ?"
            );
            session.all(&sql, &values, Order::read)
        })
        .await
}

/// How many of the shop's orders have each status; a status that none has is not there.
pub async fn by_status(store: &ReadStore, scope: MerchantScope) -> Result<Vec<(OrderStatus, u64)>, Error> {
    store
        .query::<Orders, _>(scope, move |session, table, _| {
            let sql = format!(
                "SELECT status, count(*) FROM {table} WHERE merchant = ? AND status IS NOT NULL GROUP BY status"
            );
            session.all(&sql, &[scope.merchant().store()], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .await
}
