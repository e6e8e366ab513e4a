//! `serve`: open or create the installation, wire it, listen, seed the demo, say so, and end cleanly.
use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use tracing_subscriber::EnvFilter;

use crate::{
    banner::Banner,
    catch_up,
    contact::{self, Contact},
    data_folder::{self, Stores},
    demo::{self, Seeded},
    settings::{Mode, Settings},
    stopping::Told,
    webhook::Sender,
    wiring::System,
    witness,
};

/// How to run.
pub struct Options {
    /// The settings in force.
    pub settings: Settings,
    /// Whether a first start seeds demo shops.
    pub demo: bool,
    /// Whether readiness is said as JSON.
    pub json: bool,
}

/// Ports tried beyond the one asked for.
const PORTS_TRIED: u16 = 100;
/// How long a stop waits for what is being made at a first start.
const MADE_WITHIN: Duration = Duration::from_secs(10);
/// How long a stop waits for clients to take the answers that are under way.
const ANSWERS_WITHIN: Duration = Duration::from_secs(35);
/// Stands while the demo is being seeded, so that a start after a crash goes on with it.
const SEEDING: &str = "seeding-demo";

/// Runs until SIGINT or SIGTERM, which may come before it is ready.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let settings = &options.settings;
    log_to_stderr(settings)?;
    tracing::info!(settings = ?settings, "Starting with these settings");
    let told = Told::by_signals()?;
    let Some(stores) = open(options, &told).await? else { return Ok(()) };
    let (listener, url) = listen(settings).await?;
    let Some(system) = System::start(settings, stores, &reachable(&url), &told).await? else { return Ok(()) };
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, system.router(settings), stopped));
    let contact = told.or(be_ready(options, &system, &url)).await.transpose()?;
    told.wait().await;
    drop(contact);
    system.leave().await;
    stop.send_replace(true);
    system.close_streams();
    match tokio::time::timeout(ANSWERS_WITHIN, server).await {
        Ok(served) => served??,
        Err(_) => tracing::warn!("Some clients did not take their answers in time"),
    }
    system.stop().await;
    Ok(())
}

/// Opens what is kept, and holds it against what is remembered of it; nothing if told to stop meanwhile.
async fn open(options: &Options, told: &Told) -> anyhow::Result<Option<Stores>> {
    let settings = &options.settings;
    let opening = data_folder::open(settings);
    let Some(stores) = told.or_done_within(MADE_WITHIN, opening).await.transpose()? else { return Ok(None) };
    let checked = told.or(check(settings, &stores)).await.transpose()?;
    let shows = options.demo && settings.mode == Mode::Development && settings.roles.are_all();
    // Also if told to stop: the next start does not find the folder new.
    if stores.created && shows {
        std::fs::write(settings.data.join(SEEDING), "").context("could not mark the demo as being seeded")?;
    }
    Ok(checked.map(|()| stores))
}

async fn check(settings: &Settings, stores: &Stores) -> anyhow::Result<()> {
    #[cfg(feature = "planted-bugs")]
    privacy::planted::hold_at("start:opened").await;
    witness::check(settings, &stores.log).await?;
    if !stores.created && witness::is_missing(settings)? {
        let file = settings.witness.display();
        tracing::warn!(
            "There is no witness at {file}: nobody can tell whether log and keys were set back together"
        );
    }
    catch_up::catch_up(&stores.log, &stores.keys, witness::key_count(settings)?).await?;
    contact::forget(&settings.data)
}

/// Seeds the demo if that is to be done, and says that it is ready.
async fn be_ready(options: &Options, system: &System, url: &str) -> anyhow::Result<contact::Left> {
    let data = &options.settings.data;
    system.until_owned().await;
    let seeding = data.join(SEEDING);
    let seeded = if seeding.exists() {
        let seeded = seed(system, url).await.context("could not seed the demo")?;
        std::fs::remove_file(&seeding)?;
        Some(seeded)
    } else {
        None
    };
    let contact = Contact { url: reachable(url), token: system.local_token().to_owned() };
    let contact = contact.leave(data).context("could not say in the data folder where it listens")?;
    announce(options, system, url, seeded.as_ref()).await?;
    Ok(contact)
}

/// The secret that a running server of these settings expects webhooks to be signed with.
pub async fn webhook_secret(settings: &Settings) -> anyhow::Result<String> {
    if let Some(secret) = &settings.webhook_secret {
        return Ok(secret.expose().to_owned());
    }
    data_folder::derived_webhook_secret(settings)
        .await
        .context("the setting webhook_secret is not given, and it cannot be derived from the data folder")
}

async fn serve(
    listener: TcpListener,
    router: axum::Router,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    // The router itself would be built anew for every connection.
    axum::serve(listener, router.into_make_service())
        .with_graceful_shutdown(async move {
            // An error means that the sender is gone, which is a reason to stop as well.
            drop(stopped.wait_for(|stop| *stop).await);
        })
        .await
}

/// Binds the port of the settings or the next free one.
async fn listen(settings: &Settings) -> anyhow::Result<(TcpListener, String)> {
    let host: IpAddr = settings.host.parse().with_context(|| {
        format!("the setting host must be an IP address such as 127.0.0.1, not {:?}", settings.host)
    })?;
    let last = if settings.port == 0 { 0 } else { settings.port.saturating_add(PORTS_TRIED) };
    for port in settings.port..=last {
        match TcpListener::bind(SocketAddr::new(host, port)).await {
            Ok(listener) => {
                let url = format!("http://{}", listener.local_addr()?);
                return Ok((listener, url));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(|| format!("could not listen on {host}:{port}")),
        }
    }
    bail!("the ports {} to {last} are all busy; choose another with --port", settings.port)
}

/// Where a process of the same machine reaches a server that listens everywhere.
fn reachable(url: &str) -> String {
    url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
}

async fn seed(system: &System, url: &str) -> anyhow::Result<Seeded> {
    let sender = Sender {
        url: url.to_owned(),
        secret: system.webhook_secret().to_owned(),
        client: reqwest::Client::new(),
    };
    demo::seed(&sender, system.operator_token(), |domain| system.token_of(domain)).await
}

async fn announce(
    options: &Options,
    system: &System,
    url: &str,
    seeded: Option<&Seeded>,
) -> anyhow::Result<()> {
    let text = if options.json {
        format!("{}\n", ready_line(&options.settings, system, url))
    } else {
        let example = example(system, url).await;
        let asked = options.settings.port;
        Banner {
            settings: &options.settings,
            url,
            busy_port: (asked != 0 && !url.ends_with(&format!(":{asked}"))).then_some(asked),
            seeded,
            shops: system.shops().len(),
            example: example.as_ref().map(|(token, customer)| (token.as_str(), customer.as_str())),
        }
        .text()
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush().context("could not say that the server is ready")
}

/// The first line of `--json`, as the contract for programs has it.
fn ready_line(settings: &Settings, system: &System, url: &str) -> Value {
    let shops = system.shops();
    let shops: Vec<Value> = shops
        .iter()
        .map(|shop| json!({"shop_domain": shop.domain, "merchant_id": shop.merchant, "token": shop.token}))
        .collect();
    json!({
        "url": url,
        "data": settings.data,
        "webhook_secret": system.webhook_secret(),
        "operator_token": system.operator_token(),
        "shops": shops,
    })
}

/// Token and customer for the printed examples, asked over HTTP as a merchant's program would.
async fn example(system: &System, url: &str) -> Option<(String, String)> {
    let token = system.token_of(demo::EXAMPLE_SHOP)?;
    let url = format!("{url}/v1/api/users/get?shopify_customer_id={}", demo::EXAMPLE_CUSTOMER);
    let answer = reqwest::Client::new().get(url).bearer_auth(&token).send().await.ok()?;
    let body: Value = answer.json().await.ok()?;
    Some((token, body["customer_id"].as_str()?.to_owned()))
}

fn log_to_stderr(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log_filter).with_context(|| {
        format!("the setting log_filter is not a filter such as info: {:?}", settings.log_filter)
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if settings.log_json {
        subscriber.json().init();
    } else {
        subscriber.init();
    }
    std::panic::set_hook(Box::new(|panic| {
        // The payload could quote a value, so only the place is told.
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!(panic.location = place, "A panic at {place}");
    }));
    Ok(())
}
