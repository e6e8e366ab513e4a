//! From the request that a person be forgotten to the certificate, at the executable that ships: alone, and beside orders.
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::time::sleep;

use super::{LOOK_EVERY, PACE, Shop, call};
use crate::{
    http::Connection,
    measure::{Bench, Row, Unit},
    rounds::quantile,
};

/// A request that waits longer is a fault.
const WAITED_MAX: Duration = Duration::from_secs(60);
const SECONDS_AN_HOUR: u64 = 3_600;

/// One person after the other while nothing else goes on.
pub(crate) async fn alone(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let shop = Shop::open(bench).await?;
    let mut times = Vec::new();
    for customer in shop.customers(bench.size.paced.div_ceil(4)).await? {
        let asked = Instant::now();
        let request = ask(&shop, &customer).await?;
        until_certified(&shop, &request).await?;
        times.push(u64::try_from(asked.elapsed().as_micros())?);
    }
    Ok(vec![
        Row::alone("p50", Unit::Micros, quantile(times.clone(), 50)),
        Row::alone("p99", Unit::Micros, quantile(times, 99)).judged(true),
    ])
}

/// Many people at once beside orders of others at an even pace.
pub(crate) async fn beside_orders(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let shop = Shop::open(bench).await?;
    shop.work_fast().await?;
    let people = bench.size.paced;
    let customers = shop.customers(people).await?;
    let orders = shop.orders(1_000_000, people)?;
    let address = shop.server.address;
    let load = tokio::spawn(async move {
        let mut connection = Connection::open(address).await?;
        for order in orders.into_iter().cycle() {
            let answer = connection.send(&order).await?;
            ensure!(answer.status == 200, "a webhook was answered with {}", answer.status);
            sleep(PACE).await;
        }
        anyhow::Ok(())
    });
    let started = Instant::now();
    let mut requests = Vec::new();
    for customer in &customers {
        requests.push(ask(&shop, customer).await?);
    }
    for request in &requests {
        until_certified(&shop, request).await?;
    }
    let micros = started.elapsed().as_micros().max(1);
    load.abort();
    let an_hour = people as u128 * u128::from(SECONDS_AN_HOUR) * 1_000_000 / micros;
    Ok(vec![Row::alone("people in an hour", Unit::Count, u64::try_from(an_hour)?).judged(true)])
}

/// The id of the request.
async fn ask(shop: &Shop, customer: &str) -> anyhow::Result<String> {
    let person = json!({"customer_id": customer});
    let path = "/v1/api/privacy/redact";
    let answer = call(shop.server.address, "POST", path, &shop.token, Some(&person)).await?;
    Ok(answer["request_id"].as_str().context("a request has an id")?.to_owned())
}

async fn until_certified(shop: &Shop, request: &str) -> anyhow::Result<()> {
    let path = format!("/v1/api/privacy/requests/{request}");
    let asked = Instant::now();
    loop {
        // The read model may not have heard of it yet.
        let answer = call(shop.server.address, "GET", &path, &shop.token, None).await;
        if answer.is_ok_and(|answer| answer["certificate"].is_object()) {
            return Ok(());
        }
        ensure!(asked.elapsed() < WAITED_MAX, "request {request} is not certified after {WAITED_MAX:?}");
        sleep(LOOK_EVERY * 2).await;
    }
}
