//! One webhook delivery, signed as Shopify signs, or wrong in one chosen way.
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Method, RequestBuilder,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{Answer, Door, door::answer};

/// A delivery, ready to be sent as often as wanted.
#[derive(Clone)]
pub(crate) struct Webhook {
    pub(crate) id: String,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) position: Option<String>,
}

impl Webhook {
    /// A valid delivery of these bytes to this shop.
    pub(crate) fn new(secret: &str, domain: &str, topic: &str, body: impl Into<Vec<u8>>) -> Self {
        let (id, body) = (Uuid::now_v7().to_string(), body.into());
        let plain = Self {
            id: id.clone(),
            path: format!("/v1/api/webhooks/{topic}"),
            headers: HeaderMap::new(),
            body,
        };
        let signature = sign(secret, &plain.body);
        plain
            .with("content-type", "application/json")
            .with("x-shopify-topic", topic)
            .with("x-shopify-shop-domain", domain)
            .with("x-shopify-api-version", "2026-04")
            .with("x-shopify-webhook-id", &id)
            .with("x-shopify-triggered-at", "2026-01-10T13:00:00.000000000Z")
            .with("x-shopify-hmac-sha256", &signature)
    }

    /// The same with another value of this header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    /// The same without this header.
    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    /// The same with this header once more.
    pub(crate) fn twice(mut self, name: &'static str) -> Self {
        let value = self.headers[name].clone();
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// The same delivery under another webhook id, as over a second subscription.
    pub(crate) fn under_another_id(mut self) -> Self {
        self.id = Uuid::now_v7().to_string();
        let id = self.id.clone();
        self.with("x-shopify-webhook-id", &id)
    }

    /// Other bytes under the headers, and the signature, of these.
    pub(crate) fn with_body_after_signing(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same at another path.
    pub(crate) fn at_path(mut self, topic: &str) -> Self {
        self.path = format!("/v1/api/webhooks/{topic}");
        self
    }

    /// The delivery at this door, to be sent.
    pub(crate) fn request(&self, door: &Door) -> RequestBuilder {
        door.request(Method::POST, &self.path).headers(self.headers.clone()).body(self.body.clone())
    }

    pub(crate) async fn send(&self, door: &Door) -> Answer {
        answer(self.request(door)).await
    }

    /// Sends; none if the server is gone before it answered.
    pub(crate) async fn try_send(&self, door: &Door) -> Option<Answer> {
        Answer::read(self.request(door).send().await.ok()?).await.ok()
    }
}

/// `X-Shopify-Hmac-Sha256` of these bytes.
pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body))
}
