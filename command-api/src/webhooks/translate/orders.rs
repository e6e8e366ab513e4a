//! orders/create, paid, updated, cancelled, fulfilled: one body and one meaning; and what else is told of an order.
use domain::loyalty_order::{Line, Shipping};
use event_schemas::{Currency, Money, ProductId, Timestamp, loyalty_order::OrderStage};

use super::{
    customers,
    fields::{Flaw, Object, Unusable},
    plan::{Buyer, Order, Plan, Private, ShopFacts, Translated, unnamed},
    refunds,
    shop::from_status_url,
};

/// Shopify lets an order use a handful of codes; of more, the first ones are looked at.
const CODES_MAX: usize = 25;

pub(super) fn translate(body: &Object<'_>, shop: &ShopFacts) -> Result<Translated, Unusable> {
    body.expect_kind("Order")?;
    let currency = body.field("currency").required(|field| field.text())?;
    if currency != shop.currency.code() {
        return Err(body.flaw("currency", Flaw::OtherCurrency));
    }
    let taxes_included = body.field("taxes_included").flag()?;
    let (lines, shipping) = (lines(body, shop.currency)?, shipping(body, shop.currency)?);
    let updated_at = body.field("updated_at").required(|field| field.time())?;
    let (ordered_at, stage) = (ordered_at(body)?.unwrap_or(updated_at), stage(body)?);
    let order = Order {
        reference: Private(body.field("id").required(|field| field.id())?),
        updated_at,
        ordered_at,
        paid_at: matches!(stage, OrderStage::Paid | OrderStage::Refunded).then_some(ordered_at),
        fulfilled_at: fulfilled_at(body, updated_at)?,
        stage,
        test: body.field("test").flag()?,
        buyer: buyer(body)?,
        taxes_included,
        total: total(body, shop.currency, taxes_included, &lines, shipping)?,
        lines,
        shipping,
        codes: codes(body)?,
        refunds: refunds::embedded(body, shop.currency)?,
    };
    let status_url = body.field("order_status_url").text()?;
    Ok(Translated { named: from_status_url(status_url.as_deref()), plan: Plan::Order(order) })
}

/// What an edit says is not what the order is: lines come as bare differences, and `orders/updated` follows with the
/// whole of it.
pub(super) fn edited(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    let edit = body.field("order_edit").required(|field| field.object())?;
    edit.field("order_id").required(|field| field.id())?;
    Ok(unnamed(Plan::Nothing { reason: "order-state-follows" }))
}

/// A deleted order's body is its id alone: it acts on an order of the shop it came for, or on none.
pub(super) fn deleted(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    let order = Private(body.field("id").required(|field| field.id())?);
    Ok(unnamed(Plan::OrderDeleted { order }))
}

/// Once refunded, it had been paid.
fn stage(body: &Object<'_>) -> Result<OrderStage, Unusable> {
    if body.field("cancelled_at").time()?.is_some() {
        return Ok(OrderStage::Cancelled);
    }
    Ok(match body.field("financial_status").text()?.as_deref() {
        Some("paid" | "partially_refunded") => OrderStage::Paid,
        Some("refunded") => OrderStage::Refunded,
        Some("voided") => OrderStage::Voided,
        _ => OrderStage::Unpaid,
    })
}

/// The codes that gave a discount.
fn codes(body: &Object<'_>) -> Result<Vec<Private>, Unusable> {
    let used = body.field("discount_codes").objects()?.unwrap_or_default();
    let codes = used.iter().take(CODES_MAX).map(|one| one.field("code").private());
    codes.filter_map(Result::transpose).collect()
}

/// When it was placed: `processed_at` is the shop's own date of an order that was brought in from elsewhere.
fn ordered_at(body: &Object<'_>) -> Result<Option<Timestamp>, Unusable> {
    match body.field("processed_at").time()? {
        Some(time) => Ok(Some(time)),
        None => body.field("created_at").time(),
    }
}

/// When the last of it was fulfilled. A part that is fulfilled does not count.
fn fulfilled_at(body: &Object<'_>, updated_at: Timestamp) -> Result<Option<Timestamp>, Unusable> {
    if body.field("fulfillment_status").text()?.as_deref() != Some("fulfilled") {
        return Ok(None);
    }
    let mut last = None;
    for fulfilment in body.field("fulfillments").objects()?.unwrap_or_default() {
        if fulfilment.field("status").text()?.is_none_or(|status| status == "success") {
            last = last.max(fulfilment.field("created_at").time()?);
        }
    }
    Ok(Some(last.unwrap_or(updated_at)))
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
    let mut lines = items.iter().map(|item| line(item, currency)).collect::<Result<Vec<_>, _>>()?;
    lines.extend(tip_without_a_line(body, currency, &lines)?);
    Ok(lines)
}

/// Tips that stand among no lines, only in the sum of all tips.
fn tip_without_a_line(
    body: &Object<'_>,
    currency: Currency,
    lines: &[Line],
) -> Result<Option<Line>, Unusable> {
    let told = body.minor("total_tip_received", currency)?.unwrap_or_default();
    let listed = lines
        .iter()
        .filter(|line| line.tip)
        .try_fold(0_i64, |sum, line| sum.checked_add(line.subtotal_minor));
    let rest = listed.map_or(0, |listed| told.saturating_sub(listed));
    let tip = Line {
        product_id: None,
        gift_card: false,
        tip: true,
        tags: Vec::new(),
        subtotal_minor: rest,
        tax_minor: 0,
    };
    Ok((rest > 0).then_some(tip))
}

fn line(item: &Object<'_>, currency: Currency) -> Result<Line, Unusable> {
    let price = required_minor(item, "price", currency)?;
    let quantity = item.field("quantity").required(|field| field.count())?;
    let gross = price.checked_mul(quantity).ok_or_else(|| item.flaw("price", Flaw::TooLarge))?;
    Ok(Line {
        product_id: product(item)?,
        gift_card: item.field("gift_card").flag()?,
        tip: is_tip(item),
        // Tags are the product's, not the line's: they are looked up in the catalogue.
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

/// What payments must come to. Totals in payloads need not add up, so the larger of both is taken.
fn total(
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
