//! The door: what Shopify posts is verified, kept durably, and only then answered. It is never refused for rate.
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use bytes::{Bytes, BytesMut};
use event_schemas::ShopDomain;
use futures::StreamExt as _;
use http_edge::{DEPTH_MAX, Path, Problem, ProblemBody, RequestContext};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Webhooks,
    inbox::Arrival,
    translate::{Mentions, NamedShop, is_compliance},
};
use crate::problem::shop_not_loaded;

/// The longest body, in bytes.
pub const BODY_LEN_MAX: usize = 8 * 1024 * 1024;
/// Of a body that is too long this much is still read, so that its sender hears why instead of a broken pipe.
const DRAIN_LEN_MAX: usize = 8 * BODY_LEN_MAX;
/// The longest webhook id, in bytes.
const WEBHOOK_ID_LEN_MAX: usize = 256;

/// The answer to a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// `accepted`: it is kept, and will be worked off even if this process dies now.
    status: &'static str,
}

/// Takes a delivery.
#[utoipa::path(
    post,
    path = "/v1/api/webhooks/{resource}/{event}",
    tag = "webhooks",
    params(
        ("resource" = String, Path, description = "First part of the topic, such as `orders`"),
        ("event" = String, Path, description = "Second part of the topic, such as `create`"),
        ("X-Shopify-Topic" = String, Header, description = "The same topic as in the path"),
        ("X-Shopify-Hmac-Sha256" = String, Header, description = "base64 of HMAC-SHA256 over the raw body"),
        ("X-Shopify-Shop-Domain" = String, Header, description = "The shop's myshopify.com domain"),
        ("X-Shopify-Webhook-Id" = String, Header, description = "Names the delivery"),
    ),
    request_body(content = String, content_type = "application/json", description = "Up to 8 MiB, nested up to 32 deep"),
    responses(
        (status = 200, description = "Kept durably; duplicates too", body = Accepted),
        (status = 400, description = "A header is missing or repeated, the topics differ, or the body is not JSON", body = ProblemBody),
        (status = 401, description = "The signature is not of this body; nothing was stored", body = ProblemBody),
        (status = 404, description = "The shop is unknown, and the topic is no request about data", body = ProblemBody),
        (status = 413, description = "The body is longer than 8 MiB", body = ProblemBody),
        (status = 503, description = "It could not be kept; send it again", body = ProblemBody),
    )
)]
pub async fn receive(
    State(webhooks): State<Webhooks>,
    context: RequestContext,
    Path((resource, event)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Accepted>, Problem> {
    let body = read(body).await?;
    let sent = Sent::read(&headers)?;
    // Up to here nothing depends on what we know; from here on the sender has proven to be Shopify.
    if !webhooks.side.secrets.verify(&body, sent.signature) {
        return Err(unsigned());
    }
    let topic = format!("{resource}/{event}");
    if sent.topic != topic {
        return Err(Problem::bad_request("topic-mismatch", "The topics in path and header differ")
            .field(TOPIC, "expected the topic of the path"));
    }
    let domain = ShopDomain::try_new(sent.shop.trim().to_ascii_lowercase()).ok();
    let shop = domain.as_ref().and_then(|domain| webhooks.side.shops.by_domain(domain));
    let mentions = Mentions::read(&body, DEPTH_MAX).map_err(|malformed| {
        Problem::bad_request("malformed-json", "The body cannot be read").detail(malformed.to_string())
    })?;
    let merchant = match shop {
        Some(shop) => shop.merchant,
        None => {
            // The list of shops may be behind, and of one that the key store knows nothing is to be turned away: after a 404
            // Shopify would give the subscription up. It asks for shops that are long gone too, and never again for one
            // that it was answered for, so a request about data is also known by what its signed body names.
            let named = if is_compliance(&topic) { mentions.shop() } else { NamedShop::default() };
            match webhooks.shop_of(domain.as_ref(), named).await? {
                Some(merchant) => merchant,
                None if is_compliance(&topic) => return nothing_held(&topic),
                // It may have joined since.
                None if !webhooks.side.shops.is_followed() => return Err(shop_not_loaded()),
                None => return Err(Problem::not_found("unknown-shop", "No such shop has installed the app")),
            }
        }
    };
    let received_at = webhooks.side.clock.now();
    let (webhook_id, body) = (sent.webhook_id.to_owned(), &*body);
    webhooks.keep(Arrival { merchant, topic, webhook_id, body, mentions, context, received_at }).await?;
    Ok(Json(Accepted { status: "accepted" }))
}

/// A request about data is answered as Shopify expects, and told to whoever watches: there is no shop to record it for.
fn nothing_held(topic: &str) -> Result<Json<Accepted>, Problem> {
    metrics::counter!("privacy_requests_of_unknown_shops_total", "topic" => topic.to_owned()).increment(1);
    tracing::info!(webhook.topic = topic, "A request about data came for a shop of which nothing is held");
    Ok(Json(Accepted { status: "accepted" }))
}

/// Reads the body, counting.
async fn read(body: Body) -> Result<Bytes, Problem> {
    let (mut chunks, mut length) = (body.into_data_stream(), 0_usize);
    // A body that comes in one piece, as nearly all do, is not copied.
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_request("body-incomplete", "The body ended too early"))?;
        length = length.saturating_add(chunk.len());
        if length == chunk.len() {
            first = chunk;
        } else if length <= BODY_LEN_MAX {
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&chunk);
        } else if length > DRAIN_LEN_MAX {
            break;
        }
    }
    if length <= BODY_LEN_MAX {
        return Ok(if joined.is_empty() { first } else { joined.freeze() });
    }
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is longer than 8 MiB"))
}

const TOPIC: &str = "X-Shopify-Topic";
const SIGNATURE: &str = "X-Shopify-Hmac-Sha256";
const SHOP: &str = "X-Shopify-Shop-Domain";
const WEBHOOK_ID: &str = "X-Shopify-Webhook-Id";

/// The headers that a delivery must have, each exactly once.
struct Sent<'a> {
    topic: &'a str,
    signature: &'a [u8],
    shop: &'a str,
    webhook_id: &'a str,
}

impl<'a> Sent<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, Problem> {
        // Shopify's review sends unsigned bodies and expects 401, whatever else is missing.
        if !headers.contains_key(SIGNATURE) {
            return Err(unsigned().field(SIGNATURE, "is required"));
        }
        let webhook_id = text(headers, WEBHOOK_ID)?;
        if webhook_id.is_empty() || webhook_id.len() > WEBHOOK_ID_LEN_MAX {
            return Err(invalid(WEBHOOK_ID, "expected 1 to 256 characters"));
        }
        Ok(Self {
            topic: text(headers, TOPIC)?,
            signature: once(headers, SIGNATURE)?,
            shop: text(headers, SHOP)?,
            webhook_id,
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Problem> {
    std::str::from_utf8(once(headers, name)?).map_err(|_| invalid(name, "expected text in UTF-8"))
}

fn once<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a [u8], Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Err(Problem::bad_request("header-missing", "A header is missing").field(name, "is required"));
    };
    if values.next().is_some() {
        return Err(
            Problem::bad_request("header-repeated", "A header is repeated").field(name, "expected once")
        );
    }
    Ok(value.as_bytes())
}

fn unsigned() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-signature", "The signature is not of this body")
}

fn invalid(name: &'static str, expected: &'static str) -> Problem {
    Problem::bad_request("header-invalid", "A header is not as expected").field(name, expected)
}
