//! What the specs of orders have in common.
use event_schemas::{
    Code, CustomerId, Digest, Rate, RefundId, Timestamp,
    loyalty_order::{EarnRule, OrderStage, OrderStatus, RefundLine, TransactionKind},
    merchant::{Bonus, Pending, StoreCredit},
    sample::{CUSTOMER, usd},
};
use uuid::Uuid;

use super::{Command, Line, ObserveOrder, RecordTransaction, RefundFacts, Shipping, State};
use crate::testing::{When, fold, given, played};

pub(super) const OTHER_CUSTOMER: CustomerId = CustomerId(Uuid::from_u128(7));

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// One point per major unit, and nothing special.
pub(super) fn rule() -> EarnRule {
    EarnRule {
        version: 3,
        points_per_unit: Rate::ONE,
        include_tax: false,
        include_shipping: false,
        include_tips: false,
        include_gift_cards: false,
        excluded_product_ids: Vec::new(),
        excluded_tags: Vec::new(),
        store_credit: StoreCredit::ClawBack,
        pending: Pending::default(),
        bonuses: Vec::new(),
        judged_product_ids: Vec::new(),
    }
}

/// A bonus for the whole order, always.
pub(super) fn bonus(id: &'static str, multiplier: &str) -> Bonus {
    Bonus {
        id: Code::fixed(id),
        multiplier: multiplier.parse().unwrap(),
        starts_at: None,
        ends_at: None,
        product_ids: Vec::new(),
        tags: Vec::new(),
    }
}

pub(super) fn line(subtotal_minor: i64) -> Line {
    Line { product_id: None, gift_card: false, tip: false, tags: Vec::new(), subtotal_minor, tax_minor: 0 }
}

/// A paid order of one line, without shipping or tax, in US dollars.
pub(super) fn order(seconds: i64, minor: i64) -> ObserveOrder {
    ObserveOrder {
        updated_at: at(seconds),
        ordered_at: at(0),
        paid_at: Some(at(0)),
        fulfilled_at: None,
        stage: OrderStage::Paid,
        test: false,
        customer: Some(CUSTOMER),
        taxes_included: false,
        lines: vec![line(minor)],
        shipping: Shipping::default(),
        total: usd(minor),
        codes_used: Vec::new(),
        refunds: Vec::new(),
        rule: rule(),
    }
}

/// A refund of one line in US dollars.
pub(super) fn refund(number: u8, minor: i64) -> RefundFacts {
    let line =
        RefundLine { product_id: None, gift_card: false, tip: false, subtotal_minor: minor, tax_minor: 0 };
    RefundFacts {
        refund: RefundId(Uuid::from_u128(number.into())),
        refunded_at: at(9),
        currency: usd(0).currency,
        lines: vec![line],
        shipping_minor: 0,
        shipping_tax_minor: 0,
        store_credit: false,
        beyond_minor: 0,
        beyond_tax_minor: 0,
    }
}

/// A transaction in US dollars.
pub(super) fn transaction(number: u8, kind: TransactionKind, minor: i64, seconds: i64) -> RecordTransaction {
    RecordTransaction { transaction: Digest([number; 16]), kind, amount: usd(minor), at: at(seconds) }
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
