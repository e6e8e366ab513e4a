//! Sending a webhook as Shopify does: raw body, signature over it, headers. Used by `webhook send` and the demo.
use std::path::Path;

use anyhow::{Context as _, bail};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, StatusCode};
use uuid::Uuid;

/// One delivery to send.
pub struct Delivery {
    /// Such as `orders/create`.
    pub topic: String,
    /// The shop's myshopify.com domain.
    pub shop_domain: String,
    /// The body, byte for byte as it is signed.
    pub body: Vec<u8>,
}

/// Where to send and what to sign with.
#[derive(Clone)]
pub struct Sender {
    /// Such as `http://127.0.0.1:8080`.
    pub url: String,
    /// The app's client secret.
    pub secret: String,
    /// Keeps its connections.
    pub client: Client,
}

impl Sender {
    /// Posts one delivery under a new webhook id; gives the id, the status and the answer's text.
    pub async fn send(&self, delivery: &Delivery) -> anyhow::Result<(Uuid, StatusCode, String)> {
        let id = Uuid::new_v4();
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, &delivery.body));
        let response = self
            .client
            .post(format!("{}/v1/api/webhooks/{}", self.url, delivery.topic))
            .header("Content-Type", "application/json")
            .header("X-Shopify-Topic", &delivery.topic)
            .header("X-Shopify-Shop-Domain", &delivery.shop_domain)
            .header("X-Shopify-Hmac-Sha256", signature)
            .header("X-Shopify-API-Version", "2026-04")
            .header("X-Shopify-Webhook-Id", id.to_string())
            .body(delivery.body.clone())
            .send()
            .await
            .with_context(|| format!("nobody answers at {}", self.url))?;
        let status = response.status();
        Ok((id, status, response.text().await?))
    }

    /// `webhook send`: posts a file and prints what came back.
    pub async fn send_file(&self, file: &Path, topic: String, shop_domain: String) -> anyhow::Result<()> {
        let body = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
        let (id, status, text) = self.send(&Delivery { topic, shop_domain, body }).await?;
        println!("webhook {id}: {status} {text}");
        if !status.is_success() {
            bail!("the delivery was refused");
        }
        Ok(())
    }
}
