//! `privacy`: what an operator does for a person who is to be forgotten, or who asks what is known, and how it is shown.
//!
//! The running server does the work; this asks it and waits. Certificates are looked at here, without any server.
mod asked;
mod certificate;
mod root;
mod shown;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    contact::Contact,
    replay_roles::{FOUND, UNKNOWN, told},
    settings::Settings,
};

use asked::{Asked, Local};
pub use certificate::verify as verify_certificate;
pub use root::rotate_root;
use shown::{DamagedKey, Request, Requests};

/// How often the server is asked whether it got on.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Which shop, and how to reach the server.
#[derive(Args, Clone, Debug)]
pub struct Shop {
    /// The shop's myshopify.com domain.
    #[arg(long, value_name = "DOMAIN")]
    pub shop: Option<String>,
    /// The server; the one that runs on the data folder if it is not said.
    #[arg(long, requires = "token")]
    pub url: Option<String>,
    /// The merchant's token at that server, which says which shop it is.
    #[arg(long, env = "LOYALNEST_TOKEN", hide_env_values = true, conflicts_with = "shop")]
    pub token: Option<String>,
}

/// One person, named in one way.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Person {
    /// Our id.
    #[arg(long, value_name = "ID")]
    pub customer: Option<String>,
    /// Shopify's id.
    #[arg(long, value_name = "ID")]
    pub shopify_customer: Option<String>,
    /// E-mail address; `-` reads it from standard input, so that no list of processes shows it.
    #[arg(long)]
    pub email: Option<String>,
}

/// How long to wait for the end.
#[derive(Args, Clone, Copy, Debug)]
pub struct Patience {
    /// Do not wait; the server goes on by itself.
    #[arg(long)]
    pub no_wait: bool,
    /// Wait so many seconds at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub within: u64,
}

/// Shows the requests of a shop, or one of them, and the keys of the shop that do not open or are missing; without a shop
/// those of all. 0: all is in order; 1: a request is late or fails, or a key is damaged; 2: could not ask.
pub async fn status(settings: &Settings, shop: Shop, request: Option<String>, json: bool) -> ExitCode {
    let asked = async || -> anyhow::Result<(Option<Requests>, Vec<DamagedKey>)> {
        let damaged = Local::damaged_keys(settings, &shop).await?;
        let is_of_none = shop.shop.is_none() && shop.token.is_none() && request.is_none();
        Ok((if is_of_none { None } else { Some(look(settings, shop, request).await?) }, damaged))
    };
    let asked = asked().await.context("could not ask for requests");
    let Some((requests, damaged)) = told(asked, json) else { return UNKNOWN.into() };
    let in_order = damaged.is_empty() && requests.as_ref().is_none_or(Requests::are_in_order);
    if json {
        let keys: Vec<_> = damaged.iter().map(DamagedKey::value).collect();
        let requests = requests.as_ref().map(Requests::values);
        println!("{}", json!({"in_order": in_order, "requests": requests, "damaged_keys": keys}));
    } else {
        if let Some(requests) = requests {
            print!("{requests}");
        } else if damaged.is_empty() {
            println!("All keys open. --shop DOMAIN shows a shop's requests.");
        }
        damaged.iter().for_each(|key| print!("{key}"));
    }
    if in_order { ExitCode::SUCCESS } else { FOUND.into() }
}

async fn look(settings: &Settings, shop: Shop, request: Option<String>) -> anyhow::Result<Requests> {
    let asked = Asked::of(settings, shop).await?;
    match request {
        Some(id) => Ok(Requests(vec![asked.request(&id).await?])),
        None => asked.requests().await,
    }
}

/// Has a person erased and waits for the certificate, which goes into a file if one is named. 0: certified; 1: not yet;
/// 2: could not.
pub async fn redact(
    settings: &Settings,
    shop: Shop,
    person: Person,
    patience: Patience,
    certificate: Option<PathBuf>,
    json: bool,
) -> ExitCode {
    let done = async || -> anyhow::Result<Request> {
        let asked = Asked::of(settings, shop).await?;
        let (id, taken) = asked.open("redact", person.body()?).await?;
        let request = until(&asked, &id, taken, patience, json, Request::is_certified).await;
        let request = request.with_context(|| format!("request {id} was taken"))?;
        if let Some(file) = certificate.filter(|_| request.is_certified()) {
            let text = asked.certificate(&id).await?;
            fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))?;
        }
        Ok(request)
    };
    ended(done().await.context("could not have the person erased"), Request::is_certified, json)
}

/// Has everything exported that is held of a person, waits for it and puts the files into a folder. 0: they are there; 1:
/// not yet; 2: could not.
pub async fn export(
    settings: &Settings,
    shop: Shop,
    person: Person,
    patience: Patience,
    into: &Path,
    json: bool,
) -> ExitCode {
    let done = async || -> anyhow::Result<Request> {
        let asked = Asked::of(settings, shop).await?;
        let (id, taken) = asked.open("export", person.body()?).await?;
        let request = until(&asked, &id, taken, patience, json, Request::is_exported).await;
        let request = request.with_context(|| format!("request {id} was taken"))?;
        if request.is_exported() {
            download(&asked, &id, into).await?;
        }
        Ok(request)
    };
    ended(done().await.context("could not have the data exported"), Request::is_exported, json)
}

/// Prints the public key that verifies certificates. 0: it is printed; 2: the server could not be asked.
pub async fn public_key(settings: &Settings, url: Option<String>, json: bool) -> ExitCode {
    let asked = async || -> anyhow::Result<String> {
        let url = match url {
            Some(url) => url,
            None => Contact::of(&settings.data).context("no server runs on this data folder")?.url,
        };
        asked::public_key(&url).await
    };
    let Some(key) = told(asked().await.context("could not ask for the key"), json) else {
        return UNKNOWN.into();
    };
    if json {
        println!("{}", json!({"public_key": key}));
    } else {
        println!("{key}");
    }
    ExitCode::SUCCESS
}

fn ended(done: anyhow::Result<Request>, is_done: fn(&Request) -> bool, json: bool) -> ExitCode {
    let Some(request) = told(done, json) else { return UNKNOWN.into() };
    if json {
        println!("{}", json!({"done": is_done(&request), "request": request.value()}));
    } else {
        print!("{request}");
    }
    if is_done(&request) { ExitCode::SUCCESS } else { FOUND.into() }
}

/// Looks at the request until it came so far, telling its id and each new step on standard error. As long as it is not
/// shown, because the read models are behind or are being rebuilt, it stands as it was taken.
async fn until(
    asked: &Asked,
    id: &str,
    taken: Request,
    patience: Patience,
    json: bool,
    is_done: fn(&Request) -> bool,
) -> anyhow::Result<Request> {
    if !json {
        eprintln!("request {id}");
    }
    let (begun, mut told, mut request) = (Instant::now(), BTreeSet::new(), taken);
    loop {
        request = asked.find(id).await?.unwrap_or(request);
        for news in request.news().into_iter().filter(|news| !json && told.insert(news.clone())) {
            eprintln!("{news}");
        }
        let waited = patience.no_wait || begun.elapsed() > Duration::from_secs(patience.within);
        if is_done(&request) || waited {
            return Ok(request);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The files of an export, for the owner of the folder alone.
async fn download(asked: &Asked, id: &str, into: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(into).with_context(|| format!("could not make {}", into.display()))?;
    for name in ["manifest.json", "data.json", "entries.csv"] {
        let (bytes, file) = (asked.export(id, name).await?, into.join(name));
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&file);
        let written = opened.and_then(|mut opened| std::io::Write::write_all(&mut opened, &bytes));
        written.with_context(|| format!("could not write {}", file.display()))?;
    }
    Ok(())
}

impl Person {
    fn body(self) -> anyhow::Result<Value> {
        let Self { customer, shopify_customer, email } = self;
        if let Some(id) = customer {
            return Ok(json!({"customer_id": id}));
        }
        if let Some(id) = shopify_customer {
            return Ok(json!({"shopify_customer_id": id}));
        }
        let mut email = email.context("nobody is named")?;
        if email == "-" {
            email.clear();
            std::io::stdin().read_line(&mut email)?;
            email.truncate(email.trim_end().len());
        }
        ensure!(!email.is_empty(), "no e-mail address was given");
        Ok(json!({"email": email}))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use axum::{Json, Router, http::StatusCode, routing};

    use super::*;

    const ID: &str = "01a1";

    /// A server that takes a request and shows it only when it was asked for it so often before.
    async fn server(blind: u32) -> Asked {
        let looks = Arc::new(AtomicU32::new(0));
        let take = || async {
            let taken = json!({"request_id": ID, "status": "requested", "held": true, "due_at": "2026-03-31T10:00:00Z"});
            (StatusCode::ACCEPTED, Json(taken))
        };
        let show = move || async move {
            if looks.fetch_add(1, Ordering::Relaxed) < blind {
                return (StatusCode::NOT_FOUND, Json(json!({"code": "request-not-found", "detail": "none"})));
            }
            let certificate = json!({"id": "01a2", "level": "live"});
            (
                StatusCode::OK,
                Json(json!({"request_id": ID, "status": "completed", "certificate": certificate})),
            )
        };
        let router = Router::new()
            .route("/v1/api/privacy/redact", routing::post(take))
            .route("/v1/api/privacy/requests/{id}", routing::get(show));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Asked::at(reqwest::Client::builder().no_proxy().build().unwrap(), &url, "token")
    }

    async fn asked(blind: u32, patience: Patience) -> anyhow::Result<Request> {
        let asked = server(blind).await;
        let (id, taken) = asked.open("redact", json!({"customer_id": "1"})).await?;
        assert_eq!(id, ID);
        until(&asked, &id, taken, patience, false, Request::is_certified).await
    }

    /// Catches: the first 404 as the end, so that a request that was taken is told as one that could not be made.
    #[tokio::test]
    async fn a_request_that_is_taken_and_not_shown_yet_is_waited_for() {
        let patient = Patience { no_wait: false, within: 120 };
        assert!(asked(2, patient).await.unwrap().is_certified());
        let hurried = Patience { no_wait: true, within: 120 };
        let request = asked(u32::MAX, hurried).await.unwrap();
        assert!(!request.is_certified(), "it is not done, and it is no failure either");
        assert_eq!(request.value()["request_id"], ID);
    }

    #[tokio::test]
    async fn a_server_that_refuses_for_another_reason_is_told() {
        let asked = server(0).await;
        let refused = asked.open("export", json!({})).await.err().unwrap();
        assert!(refused.to_string().starts_with("the server refused"), "{refused}");
        assert!(asked.find("01a1").await.unwrap().is_some());
    }
}
