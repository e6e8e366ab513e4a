//! Webhooks over HTTP at the executable that ships: how fast they are kept, worked off and seen.
pub(crate) mod erasures;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    commands_on_kafka::new_topic,
    http::{Connection, request},
    measure::{Bench, Row, Server, Unit},
    rounds::{interleaved, median, quantile, rate},
    server::Server as Serving,
    shopify::{Shopify, customer_id},
};

/// Connections that deliver at once.
const CONNECTIONS: usize = 64;
/// One webhook every so often, where the pace is even.
const PACE: Duration = Duration::from_millis(10);
/// How often a balance that is waited for is asked.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// The same with read models in Postgres, where each look is a transaction: those of everybody who waits must not fill
/// the machine that is measured. What is found is too long by half of it.
const LOOK_IN_POSTGRES_EVERY: Duration = Duration::from_millis(10);
const SHOP: &str = "bench.myshopify.com";

/// Kept durably and answered, while the shop's default rate of work lets the workers rest.
pub(crate) async fn accepted(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let shop = Shop::open(bench).await?;
    let peer = Serving::hmac_only(&shop.server.ready.webhook_secret)?;
    let (count, first) = (bench.size.deliveries, AtomicUsize::new(0));
    let requests = || shop.orders(first.fetch_add(count, Ordering::Relaxed), count);
    deliver(shop.server.address, requests()?).await?;
    let ours = async || Ok(rate(count, deliver(shop.server.address, requests()?).await?));
    let hmac = async || Ok(rate(count, deliver(peer.address, requests()?).await?));
    let found = interleaved(bench.size.rounds, ours, hmac).await?;
    Ok(vec![Row::beside(format!("{CONNECTIONS} connections"), found)])
}

/// From the first delivery until every balance is visible, and what the orders take on disk.
pub(crate) async fn end_to_end(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let shop = Shop::open(bench).await?;
    shop.work_fast().await?;
    let count = bench.size.deliveries;
    let mut rates = Vec::new();
    for round in 0..bench.size.rounds {
        let requests = shop.orders(round * count, count)?;
        let started = Instant::now();
        deliver(shop.server.address, requests).await?;
        shop.until_idle().await?;
        rates.push(rate(count, started.elapsed()));
    }
    let Shop { server, folder, .. } = shop;
    server.stop()?;
    let orders = (bench.size.rounds * count) as u64;
    let mut rows = vec![Row::alone(format!("{CONNECTIONS} connections"), Unit::PerSecond, median(rates))];
    for (what, files) in [
        ("disk per order", &["log.db", "keys.db", "work.db", "read.db"][..]),
        ("of it the log", &["log.db"]),
        ("of it the sealed bodies", &["work.db"]),
        ("of it the keys", &["keys.db"]),
        ("of it the read models", &["read.db"]),
    ] {
        let bytes: u64 = files.iter().map(|file| length(&folder.path().join(file))).sum();
        rows.push(Row::alone(what, Unit::Bytes, bytes / orders));
    }
    Ok(rows)
}

/// From sending an order until the balance shows it, at 100 a second.
pub(crate) async fn until_visible(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    visible(bench, Shop::open(bench).await?, LOOK_EVERY).await
}

/// The same with a log on Kafka, and read models in Postgres.
pub(crate) async fn until_visible_on_kafka(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let topic = new_topic(bench.server(Server::Kafka)?);
    let arguments = ["--log", topic.as_str(), "--read", bench.server(Server::Postgres)?];
    visible(bench, Shop::open_with(bench, &arguments).await?, LOOK_IN_POSTGRES_EVERY).await
}

async fn visible(bench: &Bench, shop: Shop, look_every: Duration) -> anyhow::Result<Vec<Row>> {
    shop.work_fast().await?;
    let count = bench.size.paced;
    let customers = shop.customers(count).await?;
    let connections = Arc::new(Idle::default());
    let mut running = JoinSet::new();
    let started = Instant::now();
    for (number, customer) in customers.into_iter().enumerate() {
        let order = shop.shopify.order(number as u64, number as u64)?;
        let look = shop.balance_of(&customer);
        let (connections, address) = (Arc::clone(&connections), shop.server.address);
        sleep((PACE * u32::try_from(number)?).saturating_sub(started.elapsed())).await;
        running.spawn(async move {
            let mut connection = connections.take(address).await?;
            let sent = Instant::now();
            let answer = connection.send(&order).await?;
            ensure!(answer.status == 200, "a webhook was answered with {}", answer.status);
            while connection.send(&look).await?.json()?["available"] == 0 {
                sleep(look_every).await;
            }
            let took = u64::try_from(sent.elapsed().as_micros())?;
            connections.give_back(connection);
            Ok(took)
        });
    }
    let times = running.join_all().await.into_iter().collect::<anyhow::Result<Vec<u64>>>()?;
    Ok(vec![
        Row::alone("p50", Unit::Micros, quantile(times.clone(), 50)),
        Row::alone("p99", Unit::Micros, quantile(times, 99)).judged(true),
    ])
}

/// Connections that nobody uses at the moment.
#[derive(Default)]
struct Idle(Mutex<Vec<Connection>>);

impl Idle {
    async fn take(&self, address: SocketAddr) -> anyhow::Result<Connection> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => Connection::open(address).await,
        }
    }

    fn give_back(&self, connection: Connection) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// Sends all requests, each once; how long it took until the last was answered.
async fn deliver(address: SocketAddr, requests: Vec<Vec<u8>>) -> anyhow::Result<Duration> {
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(address).await?);
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for mut connection in connections {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        running.spawn(async move {
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = connection.send(request).await?;
                ensure!(answer.status == 200, "a webhook was answered with {}", answer.status);
            }
            anyhow::Ok(())
        });
    }
    running.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
    Ok(started.elapsed())
}

/// A file with its write-ahead log; nothing if there is none.
fn length(file: &Path) -> u64 {
    let mut wal = file.as_os_str().to_owned();
    wal.push("-wal");
    [file, Path::new(&wal)]
        .iter()
        .filter_map(|file| std::fs::metadata(file).ok())
        .map(|file| file.len())
        .sum()
}

/// A new shop at a new server.
struct Shop {
    server: Serving,
    folder: TempDir,
    shopify: Shopify,
    token: String,
}

impl Shop {
    async fn open(bench: &Bench) -> anyhow::Result<Self> {
        Self::open_with(bench, &[]).await
    }

    async fn open_with(bench: &Bench, arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = bench.folder("serve-")?;
        let server = Serving::serve_with(&bench.executable, folder.path(), arguments)?;
        let install = json!({"shop_domain": SHOP, "currency": "USD", "timezone": "Europe/Berlin"});
        let operator = server.ready.operator_token.clone();
        let installed = call(server.address, "POST", "/admin/merchants", &operator, Some(&install)).await?;
        let token = installed["token"].as_str().context("a new shop has a token")?.to_owned();
        let shopify = Shopify::new(&server.ready.webhook_secret, SHOP);
        Ok(Self { server, folder, shopify, token })
    }

    /// Lifts the shop's own limit, which is there to be fair to others.
    async fn work_fast(&self) -> anyhow::Result<()> {
        let limit = json!({"processing": {"per_second": 1_000_000, "burst": 1_000_000}});
        call(self.server.address, "PUT", "/v1/api/core/settings", &self.token, Some(&limit)).await.map(drop)
    }

    /// Signed orders from this number on, ten of each customer.
    fn orders(&self, first: usize, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        (first..first + count).map(|number| self.shopify.order(number as u64, number as u64 / 10)).collect()
    }

    /// Our ids of that many new customers.
    async fn customers(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let requests: anyhow::Result<_> =
            (0..count).map(|number| self.shopify.customer(number as u64)).collect();
        deliver(self.server.address, requests?).await?;
        self.until_idle().await?;
        let mut ids = Vec::new();
        for number in 0..count {
            let path = format!("/v1/api/users/get?shopify_customer_id={}", customer_id(number as u64));
            let customer = call(self.server.address, "GET", &path, &self.token, None).await?;
            ids.push(customer["customer_id"].as_str().context("a customer has an id")?.to_owned());
        }
        Ok(ids)
    }

    fn balance_of(&self, customer: &str) -> Vec<u8> {
        let path = format!("/v1/api/points/balance?customer_id={customer}");
        request("GET", &path, &[("Authorization", &format!("Bearer {}", self.token))], &[])
    }

    async fn until_idle(&self) -> anyhow::Result<()> {
        loop {
            let operator = &self.server.ready.operator_token;
            let queues = call(self.server.address, "GET", "/admin/queues", operator, None).await?;
            ensure!(queues["inbox"]["dead_lettered"] == 0, "deliveries were dead-lettered: {queues}");
            if queues["idle"] == true {
                return Ok(());
            }
            sleep(LOOK_EVERY * 5).await;
        }
    }
}

/// One call that must succeed.
async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    let sent = Connection::open(address).await?.send(&request(method, path, &headers, &body)).await?;
    sent.json().with_context(|| format!("{method} {path} failed"))
}
