//! A guest's order finds its customer, by a verified e-mail address that the edge compared.
use event_schemas::{CustomerId, loyalty_order::OrderAttachedToCustomer};
use serde::{Deserialize, Serialize};

use super::{Draft, Event, State};
use crate::Rejection;

/// Gives a guest's order to a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttachCustomer {
    /// Who ordered.
    pub customer: CustomerId,
}

pub(super) fn decide(state: &State, command: &AttachCustomer) -> Result<Vec<Event>, Rejection> {
    if state.observed.is_none() {
        return Err(Rejection::UnknownOrder);
    }
    match state.customer {
        Some(known) if known == command.customer => Ok(Vec::new()),
        Some(_) => Err(Rejection::OrderHasCustomer),
        None => {
            let mut draft = Draft::of(state);
            draft.push(OrderAttachedToCustomer { customer: command.customer });
            draft.judged()
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schemas::{loyalty_order::OrderStatus, sample::CUSTOMER};

    use super::*;
    use crate::loyalty_order::{
        Command, ObserveOrder, RecordRefund,
        specs::{OTHER_CUSTOMER, order, refund, standing, state_after, when},
    };

    const ATTACH: AttachCustomer = AttachCustomer { customer: CUSTOMER };

    fn guest() -> ObserveOrder {
        ObserveOrder { customer: None, ..order(1, 5493) }
    }

    #[test]
    fn a_guests_order_qualifies_when_its_customer_is_found() {
        let state = state_after([Command::from(guest()), ATTACH.into()]);
        assert_eq!(standing(&state), (OrderStatus::Qualified, None, 54));
        assert_eq!(state.assessment().unwrap().customer, Some(CUSTOMER));
    }

    #[test]
    fn an_order_is_attached_once() {
        when([Command::from(guest()), ATTACH.into()], ATTACH).then_unchanged();
        when([order(1, 5493)], AttachCustomer { customer: OTHER_CUSTOMER })
            .then_rejected(Rejection::OrderHasCustomer);
    }

    #[test]
    fn an_order_that_was_never_seen_cannot_be_attached() {
        when([RecordRefund { refund: refund(1, 100) }], ATTACH).then_rejected(Rejection::UnknownOrder);
    }
}
