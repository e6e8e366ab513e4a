//! The order was deleted at Shopify, perhaps before anything else was told of it. Nothing brings it back.
use event_schemas::Currency;
use serde::{Deserialize, Serialize};

use super::{Draft, Event, State};
use crate::Rejection;

/// Tells that the order is no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeleteOrder {
    /// The shop's currency, in which an order that nobody saw is worth nothing.
    pub currency: Currency,
}

pub(super) fn decide(state: &State, command: &DeleteOrder) -> Result<Vec<Event>, Rejection> {
    let mut draft = Draft::of(state);
    draft.state.deleted = draft.state.deleted.or(Some(command.currency));
    draft.judged()
}

#[cfg(test)]
mod tests {
    use event_schemas::{loyalty_order::OrderStatus, sample::usd};

    use super::*;
    use crate::loyalty_order::{
        Command, RecordRefund,
        specs::{order, refund, standing, state_after, when},
    };

    fn delete() -> DeleteOrder {
        DeleteOrder { currency: usd(0).currency }
    }

    #[test]
    fn a_deleted_order_is_cancelled_whatever_comes_after_or_came_before() {
        let refunded = RecordRefund { refund: refund(1, 1000) };
        for history in [
            vec![Command::from(order(1, 5493)), delete().into()],
            vec![Command::from(delete()), order(1, 5493).into()],
            vec![Command::from(delete()), order(1, 5493).into(), order(2, 6000).into()],
            vec![Command::from(refunded), delete().into(), order(1, 5493).into()],
        ] {
            let state = state_after(history);
            assert_eq!(standing(&state), (OrderStatus::Cancelled, Some("deleted".to_owned()), 0));
        }
    }

    #[test]
    fn an_order_is_deleted_once() {
        when([Command::from(order(1, 5493)), delete().into()], delete()).then_unchanged();
        when([delete()], delete()).then_unchanged();
    }
}
