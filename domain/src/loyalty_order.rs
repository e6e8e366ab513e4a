//! An order, and what it comes to. Its verdict is a level: each one replaces those before it.
mod assess;
mod attach_customer;
mod codes;
mod delete_order;
mod eligible;
mod known;
mod observe_order;
mod record_refund;
mod record_transaction;

pub use attach_customer::AttachCustomer;
pub use delete_order::DeleteOrder;
pub use observe_order::{Line, ObserveOrder, Shipping};
pub use record_refund::{RecordRefund, RefundFacts};
pub use record_transaction::RecordTransaction;

use std::collections::{BTreeMap, BTreeSet};

use event_schemas::{
    Currency, CustomerId, Digest, RedemptionId, RefundId, StreamType,
    catalogue::LoyaltyOrderEvent as Event,
    loyalty_order::{
        Assessment, OrderCancelled, OrderDisqualified, OrderObserved, OrderQualified, OrderRefunded,
        OrderStatus, OrderTransactionSeen, OrderWaiting,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    Decider, Rejection,
    decider::commands,
    planted::{self, Bug},
};

commands! {
    LoyaltyOrder {
        ObserveOrder = "observe-order" in observe_order;
        RecordRefund = "record-refund" in record_refund;
        RecordTransaction = "record-transaction" in record_transaction;
        DeleteOrder = "delete-order" in delete_order;
        AttachCustomer = "attach-customer" in attach_customer;
    }
}

/// An order after its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    observed: Option<OrderObserved>,
    customer: Option<CustomerId>,
    refunds: BTreeMap<RefundId, OrderRefunded>,
    transactions: BTreeMap<Digest, OrderTransactionSeen>,
    course: known::Course,
    /// It was deleted; the currency in which it is worth nothing.
    deleted: Option<Currency>,
    assessment: Option<Assessment>,
    /// The redemptions whose codes it used and gave back when it came to nothing.
    #[serde(default)]
    codes_returned: BTreeSet<RedemptionId>,
    /// The order qualified once, so the rule in `observed` is its rule for ever.
    rule_frozen: bool,
}

impl State {
    /// The newest state seen.
    #[must_use]
    pub const fn observed(&self) -> Option<&OrderObserved> {
        self.observed.as_ref()
    }

    /// Who ordered: the first customer seen, for ever.
    #[must_use]
    pub const fn customer(&self) -> Option<CustomerId> {
        self.customer
    }

    /// The verdict in force.
    #[must_use]
    pub const fn assessment(&self) -> Option<&Assessment> {
        self.assessment.as_ref()
    }

    /// Whether the refund was seen.
    #[must_use]
    pub fn knows_refund(&self, refund: RefundId) -> bool {
        self.refunds.contains_key(&refund)
    }

    /// The refunds that were seen.
    pub fn refunds(&self) -> impl Iterator<Item = RefundId> {
        self.refunds.keys().copied()
    }
}

impl Decider for State {
    const STREAM: StreamType = StreamType::LoyaltyOrder;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        dispatch(self, command)
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::OrderObserved(observed) => {
                self.customer = self.customer.or(observed.customer);
                self.course.take_in(observed);
                let newer = |seen: &OrderObserved| seen.updated_at <= observed.updated_at;
                if self.observed.as_ref().is_none_or(newer) || planted::is(Bug::OlderStateApplies) {
                    self.observed = Some(observed.clone());
                } else if let Some(seen) = &mut self.observed {
                    seen.codes_used.clone_from(&observed.codes_used);
                }
            }
            Event::OrderCodeReturned(returned) => {
                if !planted::is(Bug::CodeReturnedTwice) {
                    self.codes_returned.insert(returned.redemption);
                }
            }
            Event::OrderRefunded(refunded) => {
                self.refunds.insert(refunded.refund, refunded.clone());
            }
            Event::OrderTransactionSeen(seen) => {
                self.transactions.insert(seen.transaction, seen.clone());
            }
            Event::OrderAttachedToCustomer(attached) => self.customer = Some(attached.customer),
            Event::OrderQualified(OrderQualified { assessment }) => {
                self.rule_frozen = true;
                self.assessment = Some(assessment.clone());
            }
            Event::OrderCancelled(OrderCancelled { assessment }) => {
                if assessment.reason.as_ref().is_some_and(|reason| reason.as_str() == assess::DELETED) {
                    self.deleted = Some(assessment.eligible.currency);
                }
                self.assessment = Some(assessment.clone());
            }
            Event::OrderDisqualified(OrderDisqualified { assessment })
            | Event::OrderWaiting(OrderWaiting { assessment }) => {
                self.assessment = Some(assessment.clone());
            }
        }
    }
}

/// What a decision has put together so far, and the state that it would lead to.
struct Draft {
    state: State,
    events: Vec<Event>,
}

impl Draft {
    fn of(state: &State) -> Self {
        Self { state: state.clone(), events: Vec::new() }
    }

    fn push(&mut self, event: impl Into<Event>) {
        let event = event.into();
        self.state.evolve(&event);
        self.events.push(event);
    }

    /// Ends the decision with a verdict, if it differs from the one in force, and with what follows for codes.
    fn judged(mut self) -> Result<Vec<Event>, Rejection> {
        if let Some(fresh) = assess::assess(&self.state)? {
            self.judge(fresh);
        }
        self.return_codes();
        Ok(self.events)
    }

    fn judge(&mut self, fresh: Assessment) {
        let in_force = self.state.assessment();
        let holds = |known: &Assessment| Assessment { version: known.version, ..fresh.clone() } == *known;
        if in_force.is_some_and(holds) && !planted::is(Bug::VerdictRepeated) {
            return;
        }
        let version = in_force.map_or(0, |known| known.version) + 1;
        self.push(verdict(Assessment { version, ..fresh }));
    }
}

fn verdict(assessment: Assessment) -> Event {
    match assessment.status {
        OrderStatus::Qualified | OrderStatus::Refunded => OrderQualified { assessment }.into(),
        OrderStatus::Disqualified => OrderDisqualified { assessment }.into(),
        OrderStatus::Waiting => OrderWaiting { assessment }.into(),
        OrderStatus::Cancelled => OrderCancelled { assessment }.into(),
    }
}

#[cfg(test)]
mod specs;
