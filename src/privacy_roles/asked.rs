//! The routes of a running server, asked as the merchant of one shop.
use anyhow::{Context as _, bail};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{
    Shop,
    shown::{Request, Requests},
};
use crate::{contact::Contact, settings::Settings};

/// A server and a merchant's token.
pub(super) struct Asked {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Asked {
    /// The server that is named, or the one that runs on the data folder, for the shop that is named.
    pub(super) async fn of(settings: &Settings, shop: Shop) -> anyhow::Result<Self> {
        // A proxy of the environment is for elsewhere.
        let client = reqwest::Client::builder().no_proxy().build()?;
        let Shop { shop, url, token } = shop;
        if let (Some(url), Some(token)) = (&url, &token) {
            return Ok(Self { client, url: url.trim_end_matches('/').to_owned(), token: token.clone() });
        }
        let contact = Contact::of(&settings.data).context("no server runs on this data folder")?;
        if let Some(token) = token {
            return Ok(Self { client, url: contact.url, token });
        }
        let shop = shop.context("say which shop: --shop DOMAIN")?;
        let local = Self { client, url: contact.url, token: contact.token };
        let given = local.call(Method::POST, "/admin/tokens", Some(&json!({"shop_domain": shop}))).await?;
        let token = text(&given.json::<Value>().await?, "token")?;
        Ok(Self { token, ..local })
    }

    /// Opens a request and gives its id.
    pub(super) async fn open(&self, what: &str, person: Value) -> anyhow::Result<String> {
        let path = format!("/v1/api/privacy/{what}");
        text(&self.call(Method::POST, &path, Some(&person)).await?.json::<Value>().await?, "request_id")
    }

    /// One request as it stands.
    pub(super) async fn request(&self, id: &str) -> anyhow::Result<Request> {
        let path = format!("/v1/api/privacy/requests/{id}");
        Ok(Request::new(self.call(Method::GET, &path, None).await?.json().await?))
    }

    /// All requests of the shop.
    pub(super) async fn requests(&self) -> anyhow::Result<Requests> {
        let (mut all, mut path) = (Vec::new(), "/v1/api/privacy/requests".to_owned());
        loop {
            let mut page: Value = self.call(Method::GET, &path, None).await?.json().await?;
            let items = page["items"].as_array_mut().context("the server gave no list")?;
            all.extend(items.drain(..).map(Request::new));
            let Some(next) = page["next"].as_str() else { return Ok(Requests(all)) };
            path = format!("/v1/api/privacy/requests?cursor={next}");
        }
    }

    /// The newest certificate of a request.
    pub(super) async fn certificate(&self, id: &str) -> anyhow::Result<String> {
        let path = format!("/v1/api/privacy/requests/{id}/certificate");
        Ok(self.call(Method::GET, &path, None).await?.text().await?)
    }

    /// A file of an export.
    pub(super) async fn export(&self, id: &str, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = format!("/v1/api/privacy/requests/{id}/export/{name}");
        Ok(self.call(Method::GET, &path, None).await?.bytes().await?.to_vec())
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Response> {
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.context("the server does not answer")?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let problem: Value = answer.json().await.unwrap_or_default();
        let said = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
        let (code, detail) = (said("code"), said("detail"));
        let field = problem["errors"][0]["pointer"].as_str().map(|field| format!(" ({field})"));
        bail!("the server refused: {code}{}: {detail}", field.unwrap_or_default())
    }
}

/// The key that verifies the certificates of a server; it tells everybody.
pub(super) async fn public_key(url: &str) -> anyhow::Result<String> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/certificate-key", url.trim_end_matches('/'));
    let answer = client.get(url).send().await.context("the server does not answer")?;
    text(&answer.error_for_status()?.json::<Value>().await?, "public_key")
}

fn text(answer: &Value, field: &str) -> anyhow::Result<String> {
    answer[field].as_str().map(str::to_owned).with_context(|| format!("the server gave no {field}"))
}
