//! POST /admin/merchants: a shop joins, and its token is shown this once.
use axum::{extract::State, http::StatusCode, response::Response};
use domain::{Rejection, StreamRef, merchant::InstallMerchant};
use event_schemas::{CommandKey, Currency, MerchantId, ShopDomain, TimeZone, record::Actor};
use http_edge::{Body, Operator, Problem, ProblemBody, RequestContext};
use privacy::{EVERY_MERCHANT, Kind, Reference};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::{App, origin},
    chance,
    commands::{Envelope, Lane, Outcome},
    problem::{key_fault, rejected},
    routes::replies::reply,
};

/// Tokens of the first generation are valid until the first rotation.
const GENERATION: u32 = 1;

/// A shop that joins.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Install {
    /// The shop's myshopify.com domain.
    shop_domain: String,
    /// ISO 4217 code.
    currency: String,
    /// Name in the IANA time zone database.
    timezone: String,
}

/// A shop that joined.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Installed {
    #[schema(value_type = String, format = Uuid)]
    merchant_id: MerchantId,
    shop_domain: String,
    /// Bearer token of the shop with `admin:full`.
    token: String,
}

/// Let a shop join.
#[utoipa::path(
    post, path = "/admin/merchants", tag = "admin", request_body = Install,
    responses(
        (status = 201, body = Installed),
        (status = 409, body = ProblemBody, description = "`shop-exists`"),
        (status = 422, body = ProblemBody)
    )
)]
pub(crate) async fn install(
    State(app): State<App>,
    _: Operator,
    context: RequestContext,
    Body(body, _): Body<Install>,
) -> Result<Response, Problem> {
    let command = command(&body)?;
    let domain = command.shop_domain.clone();
    let reference = Reference::new(Kind::ShopDomain, domain.as_str(), chance::id(), None);
    let entry = app.keys.resolve(EVERY_MERCHANT, reference).await.map_err(|error| key_fault(&error))?;
    let merchant = MerchantId(entry.id);
    app.keys.ensure_merchant(merchant).await.map_err(|error| key_fault(&error))?;
    let content = app.keys.digest(merchant, "install-merchant", domain.as_str().as_bytes());
    let envelope = Envelope {
        merchant,
        stream: StreamRef::merchant(merchant),
        command: command.into(),
        key: CommandKey(chance::id()),
        content: content.map_err(|error| key_fault(&error))?,
        occurred_at: app.clock.now(),
        origin: origin(context, Actor::Operator),
        lane: Lane::Interactive,
    };
    let answered = app.commander.send(envelope).await?;
    match answered.outcome {
        Outcome::Accepted => {}
        Outcome::Rejected(rejection) => return Err(rejected(&rejection)),
        Outcome::Unchanged => return Err(rejected(&Rejection::ShopExists)),
    }
    app.shops.wait_until(answered.at).await?;
    let installed = Installed {
        merchant_id: merchant,
        shop_domain: domain.to_string(),
        token: app.keys.issue_token(merchant, GENERATION),
    };
    Ok(reply(StatusCode::CREATED, installed, false))
}

fn command(body: &Install) -> Result<InstallMerchant, Problem> {
    let domain = body.shop_domain.trim().to_ascii_lowercase();
    let shop_domain = ShopDomain::try_new(domain)
        .map_err(|expected| Problem::invalid_field("/shop_domain", expected.to_string()))?;
    let currency = Currency::try_new(&body.currency)
        .map_err(|invalid| Problem::invalid_field("/currency", invalid.to_string()))?;
    let known = body.timezone.parse::<chrono_tz::Tz>().is_ok();
    let timezone = TimeZone::try_new(body.timezone.as_str()).ok().filter(|_| known);
    let timezone = timezone.ok_or_else(|| {
        Problem::invalid_field("/timezone", "expected an IANA time zone such as Europe/Berlin")
    })?;
    Ok(InstallMerchant { shop_domain, currency, timezone })
}
