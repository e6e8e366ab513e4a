//! Orders: where each stands and why, and what it gave and lost.
mod queries;
mod why;

use event_schemas::{
    CustomerId, Event, FieldAddress, MerchantId, Money, OrderId, Points, Sealed, StreamType, Timestamp,
    catalogue::{LoyaltyOrderEvent, PointsAccountEvent},
    loyalty_order::{Assessment, OrderStage, OrderStatus},
    points_account::{PointsEarned, Source},
};
use serde::{Deserialize, Serialize};

use crate::{
    Key, Projection, Recorded, Unfoldable,
    column::{Json, Origin, word_column},
    recorded::{address, sealed},
    table::table,
};

pub use queries::{Filter, by_status, find, page};

word_column!(OrderStage, OrderStatus);

table! {
    /// An order. Its own stream feeds all columns but the last six, which the accounts feed: three sums, and the first
    /// reference of all. So the streams may come in any order.
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
        /// When it was fulfilled wholly, if it was.
        fulfilled_at: Option<Timestamp>,
        /// When the shop last changed it.
        shop_updated_at: Option<Timestamp>,
        /// When its newest event was recorded.
        updated_at: Option<Timestamp>,
        /// All points that it ever gave.
        granted: Points,
        /// All points that were taken back after they could be spent; what was forgiven is not.
        clawed_back: Points,
        /// All points that were taken back before they could be spent.
        voided: Points,
        /// Shopify's order id, as the first award has it.
        reference: Option<Sealed>,
        /// Where that comes from.
        reference_from: Option<Json<Award>>,
        /// Whose award that is, under whose key it is sealed.
        reference_of: Option<CustomerId>,
    }
    indexes ["merchant, customer", "merchant, status", "merchant, reference_of"]
    sealed for reference_of
}

/// An award of an order, on whichever account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Award {
    /// Whose account.
    pub customer: CustomerId,
    /// The event.
    pub origin: Origin,
}

impl Order {
    /// The address of `reference`, if there is one.
    #[must_use]
    pub fn reference_address(&self) -> Option<FieldAddress> {
        let Award { customer, origin } = self.reference_from.as_ref()?.0;
        let stream = (StreamType::PointsAccount, customer.0);
        Some(address(self.merchant, customer, stream, origin, "reference"))
    }
}

/// The projection.
pub struct Orders;

impl Projection for Orders {
    type Row = Order;
    type Change = ();
    const NAME: &'static str = "orders";
    const VERSION: u32 = 4;

    fn touches(event: &Recorded) -> Vec<(Key<Order>, ())> {
        order(event).map(|order| vec![(Order::at(event.merchant, order), ())]).unwrap_or_default()
    }

    fn fold(before: Option<Order>, event: &Recorded, (): ()) -> Result<Order, Unfoldable> {
        let id = order(event).ok_or_else(|| Unfoldable::without("order"))?;
        let order = before.unwrap_or_else(|| unknown(event.merchant, id));
        match &event.event {
            Event::LoyaltyOrder(seen) => Ok(observed(order, seen, event.recorded_at)),
            Event::PointsAccount(moved) => settled(order, moved, event),
            _ => Ok(order),
        }
    }
}

/// The order that the event is about.
pub(crate) fn order(event: &Recorded) -> Option<OrderId> {
    match &event.event {
        Event::LoyaltyOrder(_) => Some(OrderId(event.stream)),
        Event::PointsAccount(PointsAccountEvent::PointsClawedBack(clawed_back)) => Some(clawed_back.order),
        Event::PointsAccount(PointsAccountEvent::PointsVoided(voided)) => Some(voided.order),
        Event::PointsAccount(PointsAccountEvent::PointsEarned(earned)) => match earned.source {
            Source::Order { order, .. } => Some(order),
            Source::Api { .. } | Source::Action { .. } | Source::Pos(_) => None,
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
        fulfilled_at: None,
        shop_updated_at: None,
        updated_at: None,
        granted: Points::ZERO,
        clawed_back: Points::ZERO,
        voided: Points::ZERO,
        reference: None,
        reference_from: None,
        reference_of: None,
    }
}

fn observed(order: Order, event: &LoyaltyOrderEvent, recorded_at: Timestamp) -> Order {
    let order = Order { updated_at: Some(recorded_at), ..order };
    match event {
        // An older state may be told late, for what it teaches of the order's worth.
        LoyaltyOrderEvent::OrderObserved(seen) if order.shop_updated_at > Some(seen.updated_at) => order,
        LoyaltyOrderEvent::OrderObserved(seen) => Order {
            stage: Some(seen.stage),
            test: Some(seen.test),
            total: Some(Json(seen.total)),
            paid_at: seen.paid_at,
            fulfilled_at: seen.fulfilled_at,
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
        | LoyaltyOrderEvent::OrderRefunded(_)
        | LoyaltyOrderEvent::OrderTransactionSeen(_)
        | LoyaltyOrderEvent::OrderCodeReturned(_) => match event.assessment() {
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

fn settled(order: Order, event: &PointsAccountEvent, recorded: &Recorded) -> Result<Order, Unfoldable> {
    Ok(match event {
        PointsAccountEvent::PointsEarned(earned) => {
            let granted = order.granted.plus(earned.points)?;
            referred(Order { granted, ..order }, earned, recorded)
        }
        PointsAccountEvent::PointsClawedBack(clawed_back) => {
            let taken = clawed_back.points.minus(clawed_back.forgiven)?;
            Order { clawed_back: order.clawed_back.plus(taken)?, ..order }
        }
        PointsAccountEvent::PointsVoided(voided) => {
            Order { voided: order.voided.plus(voided.points)?, ..order }
        }
        _ => order,
    })
}

/// The award with the smallest id is kept: whichever account is folded first, it is the same one.
fn referred(order: Order, earned: &PointsEarned, recorded: &Recorded) -> Order {
    let origin = recorded.origin();
    let earlier = |known: &Json<Award>| {
        let known = known.0.origin;
        (known.record, known.index) <= (origin.record, origin.index)
    };
    match sealed(earned.reference.as_ref()) {
        Some(reference) if !order.reference_from.as_ref().is_some_and(earlier) => {
            let customer = recorded.subject();
            let award = Some(Json(Award { customer, origin }));
            let (reference, reference_of) = (Some(reference), Some(customer));
            Order { reference, reference_from: award, reference_of, ..order }
        }
        _ => order,
    }
}
