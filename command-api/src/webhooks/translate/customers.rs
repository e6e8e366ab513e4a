//! customers/create and customers/update, and the customer that an order embeds.
use super::{
    fields::{Object, Unusable},
    plan::{NamedShop, Person, Plan, Private, ShopFacts, Translated},
};

/// A customer's body names no shop; the same body under two shops is told from its hash.
pub(super) fn translate(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    let updated_at = body.field("updated_at").required(|field| field.time())?;
    let plan = Plan::Customer { person: person(body)?, updated_at };
    Ok(Translated { named: NamedShop::default(), plan })
}

pub(super) fn person(body: &Object<'_>) -> Result<Person, Unusable> {
    body.expect_kind("Customer")?;
    let email = body.field("email").private()?;
    Ok(Person {
        reference: Private(body.field("id").required(|field| field.id())?),
        email_verified: body.field("verified_email").flag()? && email.is_some(),
        email,
        first_name: body.field("first_name").private()?,
        last_name: body.field("last_name").private()?,
        phone: body.field("phone").private()?,
    })
}
