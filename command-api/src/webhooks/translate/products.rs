//! products/*: the catalogue behind excluded tags and names. These bodies name no shop: a product that a shop does not
//! sell stands in its catalogue without effect.
use domain::product::SyncProduct;
use event_schemas::{ProductId, ProductTag};

use super::{
    fields::{Flaw, Object, Unusable},
    plan::{Plan, ShopFacts, Translated, unnamed},
};

pub(super) fn translate(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    let sync = SyncProduct {
        product: id(body)?,
        title: body.field("title").required(|field| field.title())?,
        tags: tags(body)?,
        updated_at: body.field("updated_at").required(|field| field.time())?,
    };
    Ok(unnamed(Plan::Product(sync)))
}

/// A deleted product's body is its id alone.
pub(super) fn deleted(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    Ok(unnamed(Plan::ProductDeleted { product: id(body)? }))
}

fn id(body: &Object<'_>) -> Result<ProductId, Unusable> {
    body.expect_kind("Product")?;
    let id = body.field("id").required(|field| field.id())?;
    ProductId::try_new(id).map_err(|_| body.flaw("id", Flaw::NotAnId))
}

fn tags(body: &Object<'_>) -> Result<Vec<ProductTag>, Unusable> {
    let texts = body.field("tags").texts()?;
    let tags = texts.iter().map(|tag| tag.trim()).filter(|tag| !tag.is_empty());
    tags.map(|tag| ProductTag::try_new(tag).map_err(|_| body.flaw("tags", Flaw::NotText))).collect()
}
