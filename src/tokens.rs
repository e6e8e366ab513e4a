//! What the installation derives from its own keys for others: `POST /admin/tokens`, a shop's token for whoever runs the
//! installation and acts for the shop, and `GET /certificate-key`, for whoever verifies certificates.
use std::sync::Arc;

use axum::{Json, extract::State};
use command_api::Shops;
use event_schemas::ShopDomain;
use http_edge::{Auth, Body, Operator, Problem, WithAuth};
use privacy::KeyStore;
use serde::{Deserialize, Serialize};
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::contact::Local;

/// Whose tokens there are.
#[derive(Clone)]
pub(crate) struct Tokens {
    keys: KeyStore,
    shops: Shops,
    generation: u32,
    auth: Arc<Local>,
}

impl Tokens {
    /// Derived from these keys, for the operator or whoever can read the data folder.
    pub(crate) fn new(keys: &KeyStore, shops: &Shops, generation: u32, auth: &Arc<Local>) -> Self {
        Self { keys: keys.clone(), shops: shops.clone(), generation, auth: Arc::clone(auth) }
    }
}

impl WithAuth for Tokens {
    fn auth(&self) -> &dyn Auth {
        &*self.auth
    }
}

/// Both routes.
fn routes() -> OpenApiRouter<Tokens> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(certificate_key))
}

/// The routes with their state.
pub(crate) fn router(tokens: Tokens) -> OpenApiRouter {
    routes().with_state(tokens)
}

/// Their part of the OpenAPI document.
pub(crate) fn document() -> OpenApi {
    routes().into_openapi()
}

/// Which shop.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenBody {
    /// Its myshopify.com domain.
    #[schema(value_type = String)]
    shop_domain: ShopDomain,
}

/// Who acts for the shop.
#[derive(Serialize, ToSchema)]
#[schema(as = ShopToken)]
pub(crate) struct Shown {
    #[schema(format = Uuid)]
    merchant_id: String,
    /// Opens all of the shop's routes.
    token: String,
}

/// Gives the token of a shop's merchant, the same as at its installation.
#[utoipa::path(post, path = "/admin/tokens", operation_id = "token", tag = "operator",
    request_body = TokenBody, security(("operator" = [])),
    responses(
        (status = 200, body = Shown),
        (status = 401, description = "unauthenticated", body = http_edge::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "shop-not-found", body = http_edge::ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "invalid-field", body = http_edge::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(
    _: Operator,
    State(tokens): State<Tokens>,
    Body(body, _): Body<TokenBody>,
) -> Result<Json<Shown>, Problem> {
    let all = tokens.shops.all();
    let shop = all.iter().find(|shop| shop.domain == body.shop_domain);
    let shop = shop.ok_or_else(|| Problem::not_found("shop-not-found", "The shop is unknown"))?;
    let token = tokens.keys.issue_token(shop.merchant, tokens.generation);
    Ok(Json(Shown { merchant_id: shop.merchant.to_string(), token }))
}

/// What verifies certificates of erasure.
#[derive(Serialize, ToSchema)]
pub(crate) struct CertificateKey {
    /// Always `ed25519`.
    algorithm: &'static str,
    /// 64 hexadecimal digits.
    public_key: String,
}

/// Tells the public key that verifies this installation's certificates of erasure. Publish it where whoever verifies does
/// not have to ask the server.
#[utoipa::path(get, path = "/certificate-key", operation_id = "certificate_key", tag = "operator",
    responses((status = 200, body = CertificateKey)))]
pub(crate) async fn certificate_key(State(tokens): State<Tokens>) -> Json<CertificateKey> {
    let key = tokens.keys.public_key();
    let public_key = key.iter().map(|byte| format!("{byte:02x}")).collect();
    Json(CertificateKey { algorithm: "ed25519", public_key })
}
