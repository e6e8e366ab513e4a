//! The limit of the webhook door: the same HTTP server, which checks the signature and answers.
use std::io::Write as _;

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use bytes::Bytes;
use command_api::webhooks::{Secrets, door::BODY_LEN_MAX};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::server::Ready;

/// Serves until it is killed, and says first where.
pub(crate) async fn serve(secret: String) -> anyhow::Result<()> {
    let secrets: &'static Secrets = Box::leak(Box::new(Secrets::new(&secret, None)));
    let router = Router::new()
        .route("/v1/api/webhooks/{resource}/{event}", post(verify))
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(secrets);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let ready = Ready { url, webhook_secret: secret, operator_token: String::new() };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&ready)?)?;
    out.flush().context("could not say where it listens")?;
    drop(out);
    Ok(axum::serve(listener, http_edge::finish(router).into_make_service()).await?)
}

async fn verify(
    State(secrets): State<&'static Secrets>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, StatusCode> {
    let signature = headers.get("X-Shopify-Hmac-Sha256").ok_or(StatusCode::UNAUTHORIZED)?;
    if secrets.verify(&body, signature.as_bytes()) {
        Ok(Json(json!({"status": "accepted"})))
    } else {
        Err(StatusCode::UNAUTHORIZED)
    }
}
