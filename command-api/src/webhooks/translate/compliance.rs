//! Requests about a person's data, or a shop's. These bodies say which shop they are of.
use super::{
    fields::{Flaw, Object, Unusable},
    plan::{DataSubject, NamedShop, Plan, ShopFacts, Translated},
    shop::shop_domain,
};
use crate::webhooks::translate::Private;

pub(super) fn redaction(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    Ok(Translated { named: named(body)?, plan: Plan::Redact(subject(body, "orders_to_redact")?) })
}

pub(super) fn data_request(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    Ok(Translated { named: named(body)?, plan: Plan::Export(subject(body, "orders_requested")?) })
}

/// It comes 48 hours after the shop removed the app.
pub(super) fn shop_redaction(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    Ok(Translated { named: named(body)?, plan: Plan::RedactShop })
}

/// Which shop the body names. What stands in place of a domain and is none, as in Shopify's samples, names nobody.
fn named(body: &Object<'_>) -> Result<NamedShop, Unusable> {
    let domain = body.field("shop_domain").text()?;
    let named =
        NamedShop { domain: domain.as_deref().and_then(shop_domain), id: body.field("shop_id").id()? };
    match named {
        NamedShop { domain: None, id: None } => Err(body.flaw("shop_domain", Flaw::Missing)),
        named => Ok(named),
    }
}

/// Whom the body names: an id or an address at least, because nothing else leads to a person here.
fn subject(body: &Object<'_>, orders: &str) -> Result<DataSubject, Unusable> {
    let customer = body.field("customer").required(|field| field.object())?;
    let subject = DataSubject {
        customer: customer.field("id").id()?.map(Private),
        email: customer.field("email").private()?,
        phone: customer.field("phone").private()?,
        orders: body.field(orders).ids()?.into_iter().map(Private).collect(),
    };
    match subject {
        DataSubject { customer: None, email: None, .. } => Err(customer.flaw("id", Flaw::Missing)),
        subject => Ok(subject),
    }
}
