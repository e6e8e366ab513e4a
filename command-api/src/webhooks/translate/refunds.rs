//! refunds/create, and the same refunds as an order embeds them.
use domain::loyalty_order::Shipping;
use event_schemas::{Currency, loyalty_order::RefundLine};

use super::{
    fields::{Flaw, Object, Unusable},
    orders::{is_tip, product, required_minor},
    plan::{Beyond, Plan, Private, Refund, ShopFacts, Translated, unnamed},
};

/// A refund's body names no shop: it acts on an order of the shop it came for, or on none.
pub(super) fn translate(body: &Object<'_>, shop: &ShopFacts) -> Result<Translated, Unusable> {
    body.expect_kind("Refund")?;
    let order = Private(body.field("order_id").required(|field| field.id())?);
    let plan = Plan::Refund { order, refund: refund(body, shop.currency)? };
    Ok(unnamed(plan))
}

pub(super) fn embedded(order: &Object<'_>, currency: Currency) -> Result<Vec<Refund>, Unusable> {
    let refunds = order.field("refunds").objects()?.unwrap_or_default();
    refunds.iter().map(|body| refund(body, currency)).collect()
}

fn refund(body: &Object<'_>, currency: Currency) -> Result<Refund, Unusable> {
    let processed_at = body.field("processed_at").time()?;
    let lines = body.field("refund_line_items").objects()?.unwrap_or_default();
    let lines = lines.iter().map(|line| refund_line(line, currency)).collect::<Result<Vec<_>, _>>()?;
    let shipping = shipping(body, currency)?;
    let names_goods = !lines.is_empty() || shipping != Shipping::default();
    Ok(Refund {
        reference: Private(body.field("id").required(|field| field.id())?),
        refunded_at: match processed_at {
            Some(time) => time,
            None => body.field("created_at").required(|field| field.time())?,
        },
        lines,
        shipping,
        store_credit: is_store_credit(body)?,
        beyond: match discrepancy(body, currency)? {
            Some(told) => told,
            None if names_goods => Beyond::default(),
            None => paid_out(body, currency)?,
        },
    })
}

/// What was paid beyond lines and shipping, by Shopify's own sums: its sign is turned, as an adjustment's of the order.
fn discrepancy(body: &Object<'_>, currency: Currency) -> Result<Option<Beyond>, Unusable> {
    let mut told = None;
    for adjustment in body.field("order_adjustments").objects()?.unwrap_or_default() {
        if adjustment.field("kind").text()?.as_deref() == Some("refund_discrepancy") {
            let Beyond { minor, tax_minor } = told.unwrap_or_default();
            let less = |sum: i64, name: &str| {
                let amount = adjustment.signed_minor(name, currency)?.unwrap_or_default();
                sum.checked_sub(amount).ok_or_else(|| adjustment.flaw(name, Flaw::TooLarge))
            };
            told = Some(Beyond { minor: less(minor, "amount")?, tax_minor: less(tax_minor, "tax_amount")? });
        }
    }
    Ok(told)
}

/// What the transactions of a refund paid out that names neither goods nor shipping. Money in the buyer's currency cannot
/// be compared with the order's.
fn paid_out(body: &Object<'_>, currency: Currency) -> Result<Beyond, Unusable> {
    let mut paid = Beyond::default();
    for transaction in body.field("transactions").objects()?.unwrap_or_default() {
        let foreign = transaction.field("currency").text()?.is_some_and(|code| code != currency.code());
        if is_paid_out(&transaction)? && !foreign {
            let minor = transaction.minor("amount", currency)?.unwrap_or_default();
            let sum = paid.minor.checked_add(minor);
            paid.minor = sum.ok_or_else(|| transaction.flaw("amount", Flaw::TooLarge))?;
        }
    }
    Ok(paid)
}

/// Whether money went back by it, as far as is told.
fn is_paid_out(transaction: &Object<'_>) -> Result<bool, Unusable> {
    let refused = transaction.field("status").text()?.is_some_and(|status| status != "success");
    Ok(!refused && transaction.field("kind").text()?.as_deref() == Some("refund"))
}

/// Whether all that was paid out went to store credit. A refund that paid nothing out went nowhere.
fn is_store_credit(body: &Object<'_>) -> Result<bool, Unusable> {
    let mut credits = Vec::new();
    for transaction in body.field("transactions").objects()?.unwrap_or_default() {
        if is_paid_out(&transaction)? {
            let gateway = transaction.field("gateway").text()?.unwrap_or_default();
            credits.push(gateway.to_ascii_lowercase().replace(['-', ' '], "_").ends_with("store_credit"));
        }
    }
    Ok(!credits.is_empty() && credits.into_iter().all(|credit| credit))
}

/// The amounts already stand for the whole quantity.
fn refund_line(body: &Object<'_>, currency: Currency) -> Result<RefundLine, Unusable> {
    body.field("quantity").count()?;
    let item = body.field("line_item").object()?;
    Ok(RefundLine {
        product_id: item.as_ref().map(product).transpose()?.flatten(),
        tip: item.as_ref().is_some_and(is_tip),
        gift_card: item.map(|item| item.field("gift_card").flag()).transpose()?.unwrap_or_default(),
        subtotal_minor: required_minor(body, "subtotal", currency)?,
        tax_minor: body.minor("total_tax", currency)?.unwrap_or_default(),
    })
}

/// Newer bodies list shipping lines; older ones an adjustment with amounts below zero. Both mean the same money.
fn shipping(body: &Object<'_>, currency: Currency) -> Result<Shipping, Unusable> {
    let lines = body.field("refund_shipping_lines").objects()?.unwrap_or_default();
    let adjustments = body.field("order_adjustments").objects()?.unwrap_or_default();
    let mut shipping = Shipping::default();
    for line in &lines {
        let net = line.minor("subtotal_amount", currency)?;
        add(&mut shipping, line, "subtotal_amount", net, line.minor("tax_amount", currency)?)?;
    }
    for adjustment in adjustments.iter().filter(|_| lines.is_empty()) {
        if adjustment.field("kind").text()?.as_deref() == Some("shipping_refund") {
            let net = adjustment.signed_minor("amount", currency)?.map(i64::saturating_abs);
            let tax = adjustment.signed_minor("tax_amount", currency)?.map(i64::saturating_abs);
            add(&mut shipping, adjustment, "amount", net, tax)?;
        }
    }
    Ok(shipping)
}

fn add(
    shipping: &mut Shipping,
    body: &Object<'_>,
    name: &str,
    net: Option<i64>,
    tax: Option<i64>,
) -> Result<(), Unusable> {
    let net = net.ok_or_else(|| body.flaw(name, Flaw::Missing))?;
    let too_large = || body.flaw(name, Flaw::TooLarge);
    shipping.minor = shipping.minor.checked_add(net).ok_or_else(too_large)?;
    shipping.tax_minor = shipping.tax_minor.checked_add(tax.unwrap_or_default()).ok_or_else(too_large)?;
    Ok(())
}
