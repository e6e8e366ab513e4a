//! How long whoever asks has no answer while a node that is asked to end gives its partitions to another one.
use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, raw_sql};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet, time::sleep};
use uuid::Uuid;

use crate::{
    commands_on_kafka::new_topic,
    http::{Connection, request},
    measure::{Bench, Row, Server, Unit},
    rounds::median,
    server::Server as Serving,
};

/// Who asks at once, each for an account of their own.
const CLIENTS: usize = 16;
/// How long a client waits that was told "not now".
const AGAIN_AFTER: Duration = Duration::from_millis(5);
/// How long everybody asks before a node is asked to end, and after it has.
const AROUND: Duration = Duration::from_millis(500);
/// Whoever waits longer found a fault.
const WAITED_MAX: Duration = Duration::from_secs(60);
const OPERATOR: &str = "bench";

/// With the log in Postgres, like everything else.
pub(crate) async fn on_postgres(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let database = new_database(bench.server(Server::Postgres)?).await?;
    measured(bench, &Nodes::new(bench, &database, &database)?).await
}

/// With the log on Kafka.
pub(crate) async fn on_kafka(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let database = new_database(bench.server(Server::Postgres)?).await?;
    let topic = new_topic(bench.server(Server::Kafka)?);
    measured(bench, &Nodes::new(bench, &topic, &database)?).await
}

/// One node after the other ends and comes back, while everybody asks the other one.
async fn measured(bench: &Bench, nodes: &Nodes<'_>) -> anyhow::Result<Vec<Row>> {
    let (mut staying, mut ending) = (nodes.start("a")?, nodes.start("b")?);
    until_shared(&[&staying, &ending]).await?;
    let accounts = Arc::new(Accounts::open(&staying).await?);
    let mut waited = Vec::new();
    for _ in 0..bench.size.rounds {
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(accounts.clone().longest_wait(staying.address, number, stopped.clone()));
        }
        sleep(AROUND).await;
        tokio::task::spawn_blocking(move || ending.stop()).await??;
        sleep(AROUND).await;
        stop.send_replace(true);
        let waits = clients.join_all().await.into_iter().collect::<anyhow::Result<Vec<u64>>>()?;
        waited.push(waits.into_iter().max().context("nobody asked")?);
        let name = if waited.len() % 2 == 1 { "b" } else { "a" };
        ending = staying;
        staying = nodes.start(name)?;
        until_shared(&[&staying, &ending]).await?;
    }
    let longest = waited.iter().copied().max().context("nobody ended")?;
    Ok(vec![
        Row::alone("half of them", Unit::Micros, median(waited)).judged(true),
        Row::alone("the longest", Unit::Micros, longest),
    ])
}

/// An empty database on this server.
async fn new_database(url: &str) -> anyhow::Result<String> {
    let name = format!("bench_{}", Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(url).await?;
    let create = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
    connection.execute(raw_sql(&create)).await?;
    let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = base.rsplit_once('/').context("the address names no database")?;
    Ok(format!("{server}/{name}?{parameters}"))
}

/// What the nodes of one installation have in common.
struct Nodes<'a> {
    executable: &'a Path,
    folder: TempDir,
    log: &'a str,
    stores: &'a str,
}

impl<'a> Nodes<'a> {
    fn new(bench: &'a Bench, log: &'a str, stores: &'a str) -> anyhow::Result<Self> {
        Ok(Self { executable: &bench.executable, folder: bench.folder("nodes-")?, log, stores })
    }

    fn start(&self, name: &str) -> anyhow::Result<Serving> {
        let root_key = self.folder.path().join("root.key");
        let root_key = root_key.to_str().context("a folder with a readable name")?;
        let own = ["--node", name, "--root-key", root_key, "--operator-token", OPERATOR];
        let shared = ["--log", self.log, "--stores", self.stores, "--read", self.stores];
        Serving::serve_with(self.executable, &self.folder.path().join(name), &[own, shared].concat())
    }
}

/// Waits until each of these nodes owns partitions and every partition has one of them for its owner.
async fn until_shared(nodes: &[&Serving]) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let (mut here, mut all, mut each) = (0, 0, true);
        for node in nodes {
            let listed = call(node.address, "GET", "/admin/nodes", OPERATOR, None).await?;
            let partitions = listed["partitions"].as_array().context("a list of partitions")?;
            let own = partitions.iter().filter(|partition| partition["here"] == true).count();
            (here, all, each) = (here + own, partitions.len(), each && own > 0);
        }
        if each && here == all {
            return Ok(());
        }
        ensure!(began.elapsed() < WAITED_MAX, "the nodes do not share the partitions");
        sleep(AGAIN_AFTER).await;
    }
}

/// A shop with an account for each client.
struct Accounts {
    token: String,
    customers: Vec<String>,
}

impl Accounts {
    async fn open(node: &Serving) -> anyhow::Result<Self> {
        let install =
            json!({"shop_domain": "bench.myshopify.com", "currency": "USD", "timezone": "Europe/Berlin"});
        let installed = call(node.address, "POST", "/admin/merchants", OPERATOR, Some(&install)).await?;
        let token = installed["token"].as_str().context("a new shop has a token")?.to_owned();
        let mut customers = Vec::new();
        for number in 0..CLIENTS {
            let person = json!({"email": format!("c{number}@example.com")});
            let made = call(node.address, "POST", "/v1/api/users/create", &token, Some(&person)).await?;
            customers.push(made["customer_id"].as_str().context("a customer has an id")?.to_owned());
        }
        Ok(Self { token, customers })
    }

    /// One command after the other, each until it is answered; the longest that one took, in microseconds.
    async fn longest_wait(
        self: Arc<Self>,
        node: SocketAddr,
        number: usize,
        stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<u64> {
        let mut connection = Connection::open(node).await?;
        let (bearer, mut longest) = (format!("Bearer {}", self.token), Duration::ZERO);
        while !*stopped.borrow() {
            let key = Uuid::now_v7().to_string();
            let earn = json!({
                "customer_id": self.customers[number], "points": 1, "reason": "goodwill", "source_id": key
            });
            let headers = [
                ("Authorization", bearer.as_str()),
                ("Content-Type", "application/json"),
                ("Idempotency-Key", key.as_str()),
            ];
            let earn = request("POST", "/v1/api/points/earn", &headers, &serde_json::to_vec(&earn)?);
            let asked = Instant::now();
            loop {
                let answer = connection.send(&earn).await?;
                if answer.status != 503 {
                    answer.json()?;
                    break;
                }
                ensure!(asked.elapsed() < WAITED_MAX, "nobody answers");
                sleep(AGAIN_AFTER).await;
            }
            longest = longest.max(asked.elapsed());
        }
        Ok(u64::try_from(longest.as_micros())?)
    }
}

/// One call that must succeed, however often partitions change hands meanwhile.
async fn call(
    node: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    let (sent, began) = (request(method, path, &headers, &body), Instant::now());
    loop {
        let answer = Connection::open(node).await?.send(&sent).await?;
        if answer.status != 503 || began.elapsed() > WAITED_MAX {
            return answer.json().with_context(|| format!("{method} {path} failed"));
        }
        sleep(AGAIN_AFTER).await;
    }
}
