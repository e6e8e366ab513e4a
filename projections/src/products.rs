//! What each shop sells, as far as points need to know: titles and tags.
use event_schemas::{
    Event, MerchantId, ProductId, ProductTag, Timestamp, Title, catalogue::ProductEvent,
    product::ProductSynced,
};
use privacy::MerchantScope;
use uuid::Uuid;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable,
    column::{Column as _, Json},
    table::{Row as _, table},
};

table! {
    /// A product.
    Product {
        key {
            /// The shop.
            merchant: MerchantId,
            /// Our id of the product.
            product: Uuid,
        }
        /// Shopify's id; missing if the product was deleted before it was ever seen.
        product_id: Option<ProductId>,
        /// Its title.
        title: Option<Title>,
        /// Its tags.
        tags: Json<Vec<ProductTag>>,
        /// Whether the shop deleted it.
        removed: bool,
        /// When the shop last changed it.
        shop_updated_at: Option<Timestamp>,
        /// When it last changed here.
        updated_at: Timestamp,
    }
    indexes ["merchant, product_id"]
}

/// The projection.
pub struct Products;

impl Projection for Products {
    type Row = Product;
    type Change = ();
    const NAME: &'static str = "products";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<(Key<Product>, ())> {
        match event.event {
            Event::Product(_) => vec![(Product::at(event.merchant, event.stream), ())],
            _ => Vec::new(),
        }
    }

    fn fold(before: Option<Product>, event: &Recorded, (): ()) -> Result<Product, Unfoldable> {
        match &event.event {
            Event::Product(ProductEvent::ProductSynced(seen)) => Ok(synced(event, seen)),
            _ => Ok(Product {
                removed: true,
                updated_at: event.recorded_at,
                ..before.unwrap_or_else(|| never_seen(event))
            }),
        }
    }
}

fn synced(event: &Recorded, seen: &ProductSynced) -> Product {
    Product {
        merchant: event.merchant,
        product: event.stream,
        product_id: Some(seen.product.clone()),
        title: Some(seen.title.clone()),
        tags: Json(seen.tags.clone()),
        removed: false,
        shop_updated_at: Some(seen.updated_at),
        updated_at: event.recorded_at,
    }
}

const fn never_seen(event: &Recorded) -> Product {
    Product {
        merchant: event.merchant,
        product: event.stream,
        product_id: None,
        title: None,
        tags: Json(Vec::new()),
        removed: true,
        shop_updated_at: None,
        updated_at: event.recorded_at,
    }
}

/// The shop's products that are not deleted, by Shopify's id as text, at most `limit`; only those behind `after`.
pub async fn page(
    store: &ReadStore,
    scope: MerchantScope,
    after: Option<String>,
    limit: u32,
) -> Result<Vec<Product>, Error> {
    store
        .query::<Products, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE merchant = ? AND product_id > ? AND removed = 0
                 ORDER BY product_id LIMIT ?"
            );
            let values = [scope.merchant().store(), after.unwrap_or_default().store(), limit.store()];
            session.all(&sql, &values, Product::read)
        })
        .await
}
