//! The routes of a running server, asked as the merchant of one shop.
use std::fmt;

use anyhow::Context as _;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{
    Shop,
    shown::{DamagedKey, Request, Requests},
};
use crate::{contact::Contact, settings::Settings};

/// A server and a merchant's token.
pub(super) struct Asked {
    client: reqwest::Client,
    url: String,
    token: String,
}

/// The server that runs on the data folder, asked by whoever can read the folder.
pub(super) struct Local(Asked);

impl Asked {
    /// The server that is named, or the one that runs on the data folder, for the shop that is named.
    pub(super) async fn of(settings: &Settings, shop: Shop) -> anyhow::Result<Self> {
        // A proxy of the environment is for elsewhere.
        let client = reqwest::Client::builder().no_proxy().build()?;
        let Shop { shop, url, token } = shop;
        if let (Some(url), Some(token)) = (&url, &token) {
            return Ok(Self::at(client, url, token));
        }
        let Local(local) = Local::of(settings, client)?;
        if let Some(token) = token {
            return Ok(Self { token, ..local });
        }
        let shop = shop.context("say which shop: --shop DOMAIN")?;
        let (_, token) = local.shop(&shop).await?;
        Ok(Self { token, ..local })
    }

    /// The id of the shop's merchant, and their token.
    async fn shop(&self, domain: &str) -> anyhow::Result<(String, String)> {
        let given = self.call(Method::POST, "/admin/tokens", Some(&json!({"shop_domain": domain}))).await?;
        let given = given.json::<Value>().await?;
        Ok((text(&given, "merchant_id")?, text(&given, "token")?))
    }

    pub(super) fn at(client: reqwest::Client, url: &str, token: &str) -> Self {
        Self { client, url: url.trim_end_matches('/').to_owned(), token: token.to_owned() }
    }

    /// Opens a request; gives its id, and what the server said of it.
    pub(super) async fn open(&self, what: &str, person: Value) -> anyhow::Result<(String, Request)> {
        let path = format!("/v1/api/privacy/{what}");
        let taken = self.call(Method::POST, &path, Some(&person)).await?.json::<Value>().await?;
        Ok((text(&taken, "request_id")?, Request::new(taken)))
    }

    /// One request as it stands; nothing if it is not shown.
    pub(super) async fn find(&self, id: &str) -> anyhow::Result<Option<Request>> {
        match self.request(id).await {
            Err(error) if error.downcast_ref().is_some_and(Refused::is_not_shown) => Ok(None),
            found => found.map(Some),
        }
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
        Err(Refused { code, field: field.unwrap_or_default(), detail }.into())
    }
}

impl Local {
    fn of(settings: &Settings, client: reqwest::Client) -> anyhow::Result<Self> {
        let contact = Contact::of(&settings.data).context("no server runs on this data folder")?;
        Ok(Self(Asked { client, url: contact.url, token: contact.token }))
    }

    /// The keys that do not open or are missing, of this shop or of all. Another server than that of the data folder tells
    /// them only its operator: nothing.
    pub(super) async fn damaged_keys(settings: &Settings, shop: &Shop) -> anyhow::Result<Vec<DamagedKey>> {
        if shop.url.is_some() || shop.token.is_some() {
            return Ok(Vec::new());
        }
        let Self(local) = Self::of(settings, reqwest::Client::builder().no_proxy().build()?)?;
        let merchant = match &shop.shop {
            Some(domain) => Some(local.shop(domain).await?.0),
            None => None,
        };
        let mut answer: Value = local.call(Method::GET, "/admin/keys", None).await?.json().await?;
        let keys = answer["damaged"].as_array_mut().context("the server gave no list")?;
        let keys = keys.drain(..).map(DamagedKey::new);
        Ok(keys.filter(|key| merchant.as_deref().is_none_or(|merchant| key.is_of(merchant))).collect())
    }
}

/// What the server said instead of doing it.
#[derive(Debug)]
struct Refused {
    code: String,
    field: String,
    detail: String,
}

impl Refused {
    fn is_not_shown(&self) -> bool {
        self.code == "request-not-found"
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, field, detail } = self;
        write!(f, "the server refused: {code}{field}: {detail}")
    }
}

impl std::error::Error for Refused {}

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
