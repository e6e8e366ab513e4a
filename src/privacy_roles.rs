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

use asked::Asked;
pub use certificate::verify as verify_certificate;
pub use root::rotate_root;
use shown::{Request, Requests};

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

/// Shows the requests of a shop, or one of them. 0: none is late or fails; 1: one is or does; 2: could not ask.
pub async fn status(settings: &Settings, shop: Shop, request: Option<String>, json: bool) -> ExitCode {
    let looked = look(settings, shop, request).await.context("could not ask for requests");
    let Some(requests) = told(looked, json) else { return UNKNOWN.into() };
    if json {
        println!("{}", json!({"in_order": requests.are_in_order(), "requests": requests.values()}));
    } else {
        print!("{requests}");
    }
    if requests.are_in_order() { ExitCode::SUCCESS } else { FOUND.into() }
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
        let id = asked.open("redact", person.body()?).await?;
        let request = until(&asked, &id, patience, json, Request::is_certified).await?;
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
        let id = asked.open("export", person.body()?).await?;
        let request = until(&asked, &id, patience, json, Request::is_exported).await?;
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

/// Looks at the request until it came so far, telling each new step on standard error.
async fn until(
    asked: &Asked,
    id: &str,
    patience: Patience,
    json: bool,
    is_done: fn(&Request) -> bool,
) -> anyhow::Result<Request> {
    let (begun, mut told) = (Instant::now(), BTreeSet::new());
    loop {
        let request = asked.request(id).await?;
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
