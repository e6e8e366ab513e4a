//! Orders, and what is told of them: refunds, transactions, their end.
use domain::{
    StreamRef,
    loyalty_order::{DeleteOrder, Line, ObserveOrder, RecordRefund, RecordTransaction, RefundFacts},
};
use event_schemas::{CustomerId, OrderId, RedemptionId, RefundId, loyalty_order::CodeUsed};
use privacy::{Entry, Kind, Reference};

use super::{Run, Setback, people};
use crate::{
    chance,
    webhooks::translate::{Buyer, Order, Private, Refund, Transaction},
};

impl Run<'_> {
    /// A state of an order: its customer first, then the order, then whose it is if it is a guest's.
    pub(super) async fn order(&mut self, order: Order) -> Result<(), Setback> {
        let mut found = self.look_up(&order).await?;
        let (occurred_at, stream) = (order.updated_at, StreamRef::order(found.order));
        if let (Buyer::Customer(person), Some(customer)) = (&order.buyer, &mut found.customer) {
            *customer = self.register(person, *customer, occurred_at).await?;
        }
        let refunds = order.refunds.into_iter().zip(&found.refunds);
        let observe = ObserveOrder {
            updated_at: order.updated_at,
            ordered_at: order.ordered_at,
            paid_at: order.paid_at,
            fulfilled_at: order.fulfilled_at,
            stage: order.stage,
            test: order.test,
            customer: found.customer,
            taxes_included: order.taxes_included,
            lines: order.lines.into_iter().map(|line| self.with_tags(line)).collect(),
            shipping: order.shipping,
            total: order.total,
            codes_used: self.codes_used(&order.codes).await?,
            refunds: refunds.map(|(refund, id)| self.facts(refund, *id)).collect(),
            rule: self.shop.rule.clone(),
        };
        self.send("order", stream, observe, found.customer, occurred_at).await?;
        if !found.is_owned {
            self.follow(&order.reference).await?;
        }
        self.subject = found.customer;
        match order.buyer {
            Buyer::Customer(person) => self.claim_guest_orders(&person).await,
            Buyer::Guest { email: Some(email) } => self.offer_guest_order(found.order, &email).await,
            Buyer::Guest { email: None } => Ok(()),
        }
    }

    /// One refund. Without its order it waits in the order's stream, and counts for nothing at any other shop.
    pub(super) async fn refund(&mut self, order: Private, refund: Refund) -> Result<(), Setback> {
        let (merchant, keys) = (self.delivery.merchant, &self.executor.keys);
        let rows = vec![row(Kind::Order, &order, None), row(Kind::Refund, &refund.reference, None)];
        let entries = keys.resolve_many(merchant, rows).await?;
        let (found, refund_id) = (entries[0], entries[1]);
        self.own(Kind::Refund, &[refund_id], found.subject).await?;
        let occurred_at = refund.refunded_at;
        let record = RecordRefund { refund: self.facts(refund, RefundId(refund_id.id)) };
        let stream = StreamRef::order(OrderId(found.id));
        self.send("refund", stream, record, found.subject, occurred_at).await?;
        if found.subject.is_none() { self.follow(&order).await } else { Ok(()) }
    }

    /// What leads to an order that was nobody's goes to whom the order was given meanwhile, if it was.
    async fn follow(&self, order: &Private) -> Result<(), Setback> {
        let (merchant, keys) = (self.delivery.merchant, &self.executor.keys);
        let found = keys.find(merchant, Kind::Order, &order.0).await?;
        let Some(Entry { id, subject: Some(owner), .. }) = found else { return Ok(()) };
        keys.attach(merchant, Kind::GuestEmail, id, owner).await?;
        self.give_refunds(OrderId(id), owner).await
    }

    /// Money that moved at an order. Without its order it waits in the order's stream.
    pub(super) async fn transaction(
        &mut self,
        order: Private,
        transaction: Transaction,
    ) -> Result<(), Setback> {
        let (merchant, keys) = (self.delivery.merchant, &self.executor.keys);
        let digest = keys.digest(merchant, "transaction", transaction.reference.0.as_bytes())?;
        let order = keys.resolve(merchant, row(Kind::Order, &order, None)).await?;
        let Transaction { kind, amount, at, .. } = transaction;
        let record = RecordTransaction { transaction: digest, kind, amount, at };
        let stream = StreamRef::order(OrderId(order.id));
        self.send("transaction", stream, record, order.subject, at).await
    }

    /// An order that is no more. What is still to come of it finds it deleted.
    pub(super) async fn order_deleted(&mut self, order: Private) -> Result<(), Setback> {
        let merchant = self.delivery.merchant;
        let order = self.executor.keys.resolve(merchant, row(Kind::Order, &order, None)).await?;
        let delete = DeleteOrder { currency: self.shop.currency };
        let (stream, at) = (StreamRef::order(OrderId(order.id)), self.delivery.received_at);
        self.send("delete", stream, delete, order.subject, at).await
    }

    /// The redemptions whose codes these are. Codes that we do not know are the shop's own.
    async fn codes_used(&self, codes: &[Private]) -> Result<Vec<CodeUsed>, Setback> {
        let mut used = Vec::new();
        for code in codes {
            let found = self.executor.keys.find(self.delivery.merchant, Kind::DiscountCode, &code.0).await?;
            used.extend(found.and_then(|entry| {
                Some(CodeUsed { redemption: RedemptionId(entry.id), customer: entry.subject? })
            }));
        }
        Ok(used)
    }

    /// Tags are the product's: no order names them.
    fn with_tags(&self, mut line: Line) -> Line {
        let product = line.product_id.as_ref();
        let product = product.and_then(|id| self.executor.shops.product(self.delivery.merchant, id));
        line.tags = product.map(|product| product.tags.to_vec()).unwrap_or_default();
        line
    }

    async fn look_up(&self, order: &Order) -> Result<LookedUp, Setback> {
        let proposed = chance::id();
        let mut rows = match &order.buyer {
            Buyer::Customer(person) => people::rows(person, proposed),
            Buyer::Guest { .. } => Vec::new(),
        };
        let (of_customer, subject) = (rows.len(), (!rows.is_empty()).then_some(CustomerId(proposed)));
        rows.push(row(Kind::Order, &order.reference, subject));
        rows.extend(order.refunds.iter().map(|refund| row(Kind::Refund, &refund.reference, subject)));
        let entries = self.executor.keys.resolve_many(self.delivery.merchant, rows).await?;
        let (people, things) = entries.split_at(of_customer);
        let customer = people.first().map(|entry| CustomerId(entry.id));
        self.own(Kind::Order, &things[..1], customer).await?;
        self.own(Kind::Refund, &things[1..], customer.or(things[0].subject)).await?;
        let refunds = things[1..].iter().map(|entry| RefundId(entry.id)).collect();
        let is_owned = things[0].subject.is_some();
        Ok(LookedUp { customer, order: OrderId(things[0].id), is_owned, refunds })
    }

    /// Rows that were there before their customer was known become the customer's, so that an erasure finds them.
    async fn own(&self, kind: Kind, entries: &[Entry], customer: Option<CustomerId>) -> Result<(), Setback> {
        let Some(customer) = customer else { return Ok(()) };
        for entry in entries.iter().filter(|entry| entry.subject.is_none()) {
            self.executor.keys.attach(self.delivery.merchant, kind, entry.id, customer).await?;
        }
        Ok(())
    }

    fn facts(&self, refund: Refund, id: RefundId) -> RefundFacts {
        RefundFacts {
            refund: id,
            refunded_at: refund.refunded_at,
            currency: self.shop.currency,
            lines: refund.lines,
            shipping_minor: refund.shipping.minor,
            shipping_tax_minor: refund.shipping.tax_minor,
            store_credit: refund.store_credit,
            beyond_minor: refund.beyond.minor,
            beyond_tax_minor: refund.beyond.tax_minor,
        }
    }
}

struct LookedUp {
    customer: Option<CustomerId>,
    order: OrderId,
    /// The order was somebody's already.
    is_owned: bool,
    refunds: Vec<RefundId>,
}

fn row(kind: Kind, reference: &Private, subject: Option<CustomerId>) -> Reference {
    Reference::new(kind, reference.0.clone(), chance::id(), subject)
}
