//! What the specs of orders have in common.
use event_schemas::{
    CustomerId, Rate, RefundId, Timestamp,
    loyalty_order::{EarnRule, OrderStage, OrderStatus, RefundLine},
    sample::{CUSTOMER, usd},
};
use uuid::Uuid;

use super::{Command, Line, ObserveOrder, RefundFacts, Shipping, State};
use crate::testing::{When, fold, given, played};

pub(super) const OTHER_CUSTOMER: CustomerId = CustomerId(Uuid::from_u128(7));

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// A paid order of one line, without shipping or tax, in US dollars.
pub(super) fn order(seconds: i64, minor: i64) -> ObserveOrder {
    let line =
        Line { product_id: None, gift_card: false, tags: Vec::new(), subtotal_minor: minor, tax_minor: 0 };
    ObserveOrder {
        updated_at: at(seconds),
        paid_at: Some(at(0)),
        stage: OrderStage::Paid,
        test: false,
        customer: Some(CUSTOMER),
        taxes_included: false,
        lines: vec![line],
        shipping: Shipping::default(),
        total: usd(minor),
        refunds: Vec::new(),
        rule: EarnRule {
            version: 3,
            points_per_unit: Rate::ONE,
            include_tax: false,
            include_shipping: false,
            excluded_product_ids: Vec::new(),
            excluded_tags: Vec::new(),
        },
    }
}

/// A refund of one line in US dollars.
pub(super) fn refund(number: u8, minor: i64) -> RefundFacts {
    RefundFacts {
        refund: RefundId(Uuid::from_u128(number.into())),
        refunded_at: at(9),
        currency: usd(0).currency,
        lines: vec![RefundLine { product_id: None, gift_card: false, subtotal_minor: minor, tax_minor: 0 }],
        shipping_minor: 0,
        shipping_tax_minor: 0,
    }
}

pub(super) fn when<C: Into<Command>>(
    history: impl IntoIterator<Item = C>,
    command: impl Into<Command>,
) -> When<State> {
    given::<State>(played::<State>(history.into_iter().map(Into::into))).when(command)
}

pub(super) fn state_after<C: Into<Command>>(commands: impl IntoIterator<Item = C>) -> State {
    fold(played::<State>(commands.into_iter().map(Into::into)))
}

/// Status, reason and points of the verdict in force.
pub(super) fn standing(state: &State) -> (OrderStatus, Option<String>, i64) {
    let assessment = state.assessment().unwrap();
    let reason = assessment.reason.as_ref().map(ToString::to_string);
    (assessment.status, reason, assessment.target.0)
}

pub(super) fn refunds(state: &State) -> usize {
    state.refunds.len()
}
