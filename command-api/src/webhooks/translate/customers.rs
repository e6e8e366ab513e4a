//! customers/*, and the customer that an order embeds. These bodies name no shop; the same body under two shops is told
//! from its hash.
use super::{
    fields::{Object, Unusable},
    plan::{Person, Plan, Private, ShopFacts, Translated, unnamed},
};

pub(super) fn translate(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    let updated_at = body.field("updated_at").required(|field| field.time())?;
    Ok(unnamed(Plan::Customer { person: person(body)?, updated_at }))
}

pub(super) fn enabled(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    state(body, true)
}

pub(super) fn disabled(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    state(body, false)
}

/// The topic says it; the body's own `state` may be older than what happened.
fn state(body: &Object<'_>, enabled: bool) -> Result<Translated, Unusable> {
    let updated_at = body.field("updated_at").required(|field| field.time())?;
    Ok(unnamed(Plan::CustomerState { person: person(body)?, updated_at, enabled }))
}

/// A deleted customer's body is their id alone.
pub(super) fn deleted(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    body.expect_kind("Customer")?;
    let customer = Private(body.field("id").required(|field| field.id())?);
    Ok(unnamed(Plan::CustomerDeleted { customer }))
}

/// Only a completed merge merges; what was begun or failed is told again when it ends.
pub(super) fn merged(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    let id = |name| body.field(name).required(|field| field.global_id("Customer")).map(Private);
    let (kept, gone) =
        (id("admin_graphql_api_customer_kept_id")?, id("admin_graphql_api_customer_deleted_id")?);
    let status = body.field("status").required(|field| field.text())?;
    let plan = if status.eq_ignore_ascii_case("completed") {
        Plan::CustomersMerged { kept, gone }
    } else {
        Plan::Nothing { reason: "merge-not-completed" }
    };
    Ok(unnamed(plan))
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
