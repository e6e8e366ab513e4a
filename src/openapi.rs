//! The one OpenAPI document, put together from the routers of both APIs.
use axum::{Json, Router, routing::get};
use utoipa::openapi::{
    InfoBuilder, OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

/// The router with the document beside its routes.
pub(crate) fn served(router: OpenApiRouter) -> Router {
    let (router, document) = router.split_for_parts();
    let document = complete(document);
    router.route("/openapi.json", get(|| async move { Json(document) }))
}

/// The document as it is committed.
pub fn document() -> anyhow::Result<String> {
    let mut document = command_api::document();
    document.merge(query_api::document());
    document.merge(crate::queues::document());
    document.merge(crate::nodes::document());
    document.merge(crate::rebuilds::document());
    document.merge(crate::tokens::document());
    document.merge(crate::damaged_keys::document());
    Ok(serde_json::to_string_pretty(&complete(document))?)
}

fn complete(mut document: OpenApi) -> OpenApi {
    document.info = InfoBuilder::new()
        .title("LoyalNest")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Points, referrals and RFM analytics for Shopify merchants, on a durable log."))
        .build();
    let bearer = |token: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(token));
        SecurityScheme::Http(scheme.build())
    };
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("merchant", bearer("A merchant's token"));
    components.add_security_scheme("operator", bearer("The operator's token"));
    document
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_document_is_what_the_code_serves() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let committed = std::fs::read_to_string(file).unwrap();
        let current = format!("{}\n", super::document().unwrap());
        assert!(committed == current, "docs/openapi.json has drifted: run `cargo xtask generate`");
    }
}
