//! Orders: where each stands and why, and what it gave and lost.
use event_schemas::{
    CustomerId, Event, MerchantId, Money, OrderId, Points, Timestamp,
    catalogue::{LoyaltyOrderEvent, PointsAccountEvent},
    loyalty_order::{Assessment, OrderStage, OrderStatus},
    points_account::Source,
};
use privacy::MerchantScope;
use rusqlite::params;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable,
    column::{Column as _, Json, word_column},
    table::table,
};

word_column!(OrderStage, OrderStatus);

table! {
    /// An order. Its own stream feeds all columns but the two sums, which the accounts feed; so the streams may come
    /// in any order.
    Order {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The order.
            order_id: OrderId,
        }
        /// Who earns, as the newest verdict says.
        customer: Option<CustomerId>,
        /// The newest verdict.
        assessment: Option<Json<Assessment>>,
        /// Its status once more, to be counted.
        status: Option<OrderStatus>,
        /// How far the order has come at the shop.
        stage: Option<OrderStage>,
        /// Whether it is a test order.
        test: Option<bool>,
        /// What it cost.
        total: Option<Json<Money>>,
        /// When it was paid, if known.
        paid_at: Option<Timestamp>,
        /// When the shop last changed it.
        shop_updated_at: Option<Timestamp>,
        /// When its newest event was recorded.
        updated_at: Option<Timestamp>,
        /// All points that it ever gave.
        granted: Points,
        /// All points that were taken back; what was forgiven is not.
        clawed_back: Points,
    }
    indexes ["merchant, customer", "merchant, status"]
}

/// The projection.
pub struct Orders;

impl Projection for Orders {
    type Row = Order;
    const NAME: &'static str = "orders";
    const VERSION: u32 = 2;

    fn touches(event: &Recorded) -> Vec<Key<Order>> {
        order(event).map(|order| vec![Order::at(event.merchant, order)]).unwrap_or_default()
    }

    fn fold(before: Option<Order>, event: &Recorded) -> Result<Order, Unfoldable> {
        let id = order(event).ok_or_else(|| Unfoldable::without("order"))?;
        let order = before.unwrap_or_else(|| unknown(event.merchant, id));
        match &event.event {
            Event::LoyaltyOrder(seen) => Ok(observed(order, seen, event.recorded_at)),
            Event::PointsAccount(moved) => settled(order, moved),
            _ => Ok(order),
        }
    }
}

/// The order that the event is about.
pub(crate) fn order(event: &Recorded) -> Option<OrderId> {
    match &event.event {
        Event::LoyaltyOrder(_) => Some(OrderId(event.stream)),
        Event::PointsAccount(PointsAccountEvent::PointsClawedBack(clawed_back)) => Some(clawed_back.order),
        Event::PointsAccount(PointsAccountEvent::PointsEarned(earned)) => match earned.source {
            Source::Order { order, .. } => Some(order),
            Source::Api { .. } => None,
        },
        _ => None,
    }
}

const fn unknown(merchant: MerchantId, order_id: OrderId) -> Order {
    Order {
        merchant,
        order_id,
        customer: None,
        assessment: None,
        status: None,
        stage: None,
        test: None,
        total: None,
        paid_at: None,
        shop_updated_at: None,
        updated_at: None,
        granted: Points::ZERO,
        clawed_back: Points::ZERO,
    }
}

fn observed(order: Order, event: &LoyaltyOrderEvent, recorded_at: Timestamp) -> Order {
    let order = Order { updated_at: Some(recorded_at), ..order };
    match event {
        LoyaltyOrderEvent::OrderObserved(seen) => Order {
            stage: Some(seen.stage),
            test: Some(seen.test),
            total: Some(Json(seen.total)),
            paid_at: seen.paid_at,
            shop_updated_at: Some(seen.updated_at),
            ..order
        },
        LoyaltyOrderEvent::OrderAttachedToCustomer(attached) => {
            Order { customer: Some(attached.customer), ..order }
        }
        LoyaltyOrderEvent::OrderQualified(_)
        | LoyaltyOrderEvent::OrderDisqualified(_)
        | LoyaltyOrderEvent::OrderWaiting(_)
        | LoyaltyOrderEvent::OrderCancelled(_)
        | LoyaltyOrderEvent::OrderRefunded(_) => match event.assessment() {
            Some(verdict) => Order {
                customer: verdict.customer,
                status: Some(verdict.status),
                assessment: Some(Json(verdict.clone())),
                ..order
            },
            None => order,
        },
    }
}

fn settled(order: Order, event: &PointsAccountEvent) -> Result<Order, Unfoldable> {
    Ok(match event {
        PointsAccountEvent::PointsEarned(earned) => {
            Order { granted: order.granted.plus(earned.points)?, ..order }
        }
        PointsAccountEvent::PointsClawedBack(clawed_back) => {
            let taken = clawed_back.points.minus(clawed_back.forgiven)?;
            Order { clawed_back: order.clawed_back.plus(taken)?, ..order }
        }
        _ => order,
    })
}

/// The order.
pub async fn find(store: &ReadStore, scope: MerchantScope, order: OrderId) -> Result<Option<Order>, Error> {
    store.find::<Orders>(Order::at(scope.merchant(), order)).await
}

/// How many of the shop's orders have each status; a status that none has is not there.
pub async fn by_status(store: &ReadStore, scope: MerchantScope) -> Result<Vec<(OrderStatus, u64)>, Error> {
    store
        .query::<Orders, _>(move |connection, table, _| {
            let sql = format!(
                "SELECT status, count(*) FROM {table} WHERE merchant = ? AND status IS NOT NULL GROUP BY status"
            );
            let mut select = connection.prepare_cached(&sql)?;
            let rows = select.query_map(params![scope.merchant().store()], |row| {
                Ok((OrderStatus::load(row.get_ref(0)?)?, row.get(1)?))
            })?;
            rows.collect()
        })
        .await
}
