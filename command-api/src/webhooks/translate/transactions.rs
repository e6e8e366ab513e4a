//! order_transactions/create: money that moved at an order. A refund is told by refunds/create, and counts there.
use event_schemas::{Money, loyalty_order::TransactionKind};

use super::{
    fields::{Object, Unusable},
    orders::required_minor,
    plan::{Plan, Private, ShopFacts, Transaction, Translated, unnamed},
};

const WITHOUT_EFFECT: Plan = Plan::Nothing { reason: "transaction-without-effect" };

/// A transaction's body names no shop: it acts on an order of the shop it came for, or on none.
pub(super) fn translate(body: &Object<'_>, shop: &ShopFacts) -> Result<Translated, Unusable> {
    body.expect_kind("OrderTransaction")?;
    let order = Private(body.field("order_id").required(|field| field.id())?);
    let reference = Private(body.field("id").required(|field| field.id())?);
    let Some(kind) = kind(body)? else { return Ok(unnamed(WITHOUT_EFFECT)) };
    // An amount in the buyer's money cannot be compared with the order's total; the order's next state says it.
    if body.field("currency").text()?.is_some_and(|code| code != shop.currency.code()) {
        return Ok(unnamed(Plan::Nothing { reason: "order-state-follows" }));
    }
    let at = match body.field("processed_at").time()? {
        Some(time) => time,
        None => body.field("created_at").required(|field| field.time())?,
    };
    let amount = Money { minor: required_minor(body, "amount", shop.currency)?, currency: shop.currency };
    Ok(unnamed(Plan::Transaction { order, transaction: Transaction { reference, kind, amount, at } }))
}

/// What it did to the order, if it did anything.
fn kind(body: &Object<'_>) -> Result<Option<TransactionKind>, Unusable> {
    let kind = body.field("kind").required(|field| field.text())?;
    let successful = body.field("status").text()?.as_deref() == Some("success");
    if !successful || body.field("test").flag()? {
        return Ok(None);
    }
    Ok(match kind.as_str() {
        "sale" | "capture" => Some(TransactionKind::Payment),
        "void" => Some(TransactionKind::Void),
        _ => None,
    })
}
