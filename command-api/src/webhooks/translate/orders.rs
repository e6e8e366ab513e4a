//! orders/create, paid, updated, cancelled: four topics, one body, one meaning.
use domain::loyalty_order::{Line, Shipping};
use event_schemas::{Currency, Money, ProductId, loyalty_order::OrderStage};

use super::{
    customers,
    fields::{Flaw, Object, Unusable},
    plan::{Buyer, Order, Plan, Private, ShopFacts, Translated},
    refunds,
    shop::from_status_url,
};

pub(super) fn translate(body: &Object<'_>, shop: &ShopFacts) -> Result<Translated, Unusable> {
    body.expect_kind("Order")?;
    let currency = body.field("currency").required(|field| field.text())?;
    if currency != shop.currency.code() {
        return Err(body.flaw("currency", Flaw::OtherCurrency));
    }
    let taxes_included = body.field("taxes_included").flag()?;
    let (lines, shipping) = (lines(body, shop.currency)?, shipping(body, shop.currency)?);
    let order = Order {
        reference: Private(body.field("id").required(|field| field.id())?),
        updated_at: body.field("updated_at").required(|field| field.time())?,
        stage: stage(body)?,
        test: body.field("test").flag()?,
        buyer: buyer(body)?,
        taxes_included,
        total: ceiling(body, shop.currency, taxes_included, &lines, shipping)?,
        lines,
        shipping,
        refunds: refunds::embedded(body, shop.currency)?,
    };
    let status_url = body.field("order_status_url").text()?;
    Ok(Translated { named: from_status_url(status_url.as_deref()), plan: Plan::Order(order) })
}

/// Once refunded, it had been paid.
fn stage(body: &Object<'_>) -> Result<OrderStage, Unusable> {
    if body.field("cancelled_at").time()?.is_some() {
        return Ok(OrderStage::Cancelled);
    }
    Ok(match body.field("financial_status").text()?.as_deref() {
        Some("paid" | "partially_refunded" | "refunded") => OrderStage::Paid,
        Some("voided") => OrderStage::Voided,
        _ => OrderStage::Unpaid,
    })
}

fn buyer(body: &Object<'_>) -> Result<Buyer, Unusable> {
    if let Some(customer) = body.field("customer").object()? {
        return customers::person(&customer).map(Buyer::Customer);
    }
    let email = match body.field("email").private()? {
        Some(email) => Some(email),
        None => body.field("contact_email").private()?,
    };
    Ok(Buyer::Guest { email })
}

/// The lines as ordered: `quantity`, because what was taken off later comes as refunds.
fn lines(body: &Object<'_>, currency: Currency) -> Result<Vec<Line>, Unusable> {
    let items = body.field("line_items").required(|field| field.objects())?;
    let sold = items.iter().filter(|item| !is_tip(item));
    sold.map(|item| line(item, currency)).collect()
}

fn line(item: &Object<'_>, currency: Currency) -> Result<Line, Unusable> {
    let price = required_minor(item, "price", currency)?;
    let quantity = item.field("quantity").required(|field| field.count())?;
    let gross = price.checked_mul(quantity).ok_or_else(|| item.flaw("price", Flaw::TooLarge))?;
    Ok(Line {
        product_id: product(item)?,
        gift_card: item.field("gift_card").flag()?,
        // Tags are the product's, not the line's; no payload carries them.
        tags: Vec::new(),
        subtotal_minor: discounted(item, gross, currency)?,
        tax_minor: sum(item, "tax_lines", "price", currency)?,
    })
}

/// A tip stands among the lines with the way it was paid.
pub(super) fn is_tip(item: &Object<'_>) -> bool {
    item.field("tip").is_present()
}

/// The product of a line, unless it is a custom one.
pub(super) fn product(item: &Object<'_>) -> Result<Option<ProductId>, Unusable> {
    // An id is 1 to 20 digits by then, so this never turns one away.
    Ok(item.field("product_id").id()?.and_then(|id| ProductId::try_new(id).ok()))
}

fn shipping(body: &Object<'_>, currency: Currency) -> Result<Shipping, Unusable> {
    let mut shipping = Shipping::default();
    for item in body.field("shipping_lines").objects()?.unwrap_or_default() {
        let price = required_minor(&item, "price", currency)?;
        let too_large = || item.flaw("price", Flaw::TooLarge);
        let (net, tax) = (discounted(&item, price, currency)?, sum(&item, "tax_lines", "price", currency)?);
        shipping.minor = shipping.minor.checked_add(net).ok_or_else(too_large)?;
        shipping.tax_minor = shipping.tax_minor.checked_add(tax).ok_or_else(too_large)?;
    }
    Ok(shipping)
}

/// `gross` less the line's share of every discount. `total_discount` holds only some of them.
fn discounted(item: &Object<'_>, gross: i64, currency: Currency) -> Result<i64, Unusable> {
    let discount = sum(item, "discount_allocations", "amount", currency)?;
    // Both are at least zero, so this cannot overflow.
    let net = gross - discount;
    if net < 0 { Err(item.flaw("discount_allocations", Flaw::TooLarge)) } else { Ok(net) }
}

fn sum(item: &Object<'_>, list: &str, name: &str, currency: Currency) -> Result<i64, Unusable> {
    let parts = item.field(list).objects()?.unwrap_or_default();
    parts.iter().try_fold(0_i64, |sum, part| {
        let minor = required_minor(part, name, currency)?;
        sum.checked_add(minor).ok_or_else(|| part.flaw(name, Flaw::TooLarge))
    })
}

pub(super) fn required_minor(item: &Object<'_>, name: &str, currency: Currency) -> Result<i64, Unusable> {
    item.minor(name, currency)?.ok_or_else(|| item.flaw(name, Flaw::Missing))
}

/// No sum of refunds goes above this. Totals in payloads need not add up, so the larger of both is taken.
fn ceiling(
    body: &Object<'_>,
    currency: Currency,
    taxes_included: bool,
    lines: &[Line],
    shipping: Shipping,
) -> Result<Money, Unusable> {
    let stated = required_minor(body, "total_price", currency)?;
    let parts = lines.iter().map(|line| (line.subtotal_minor, line.tax_minor));
    let added = parts.chain([(shipping.minor, shipping.tax_minor)]).try_fold(0_i64, |sum, (net, tax)| {
        sum.checked_add(net)?.checked_add(if taxes_included { 0 } else { tax })
    });
    let added = added.ok_or_else(|| body.flaw("total_price", Flaw::TooLarge))?;
    Ok(Money { minor: stated.max(added), currency })
}
