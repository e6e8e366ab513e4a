//! How long the executable takes from its start to its ready line on a long log, and what it weighs then.
use std::time::Instant;

use crate::{
    measure::{Bench, Row, Unit},
    memory::resident,
    rounds::median,
    server::Server,
};

/// Starts, first the one after which read models are built.
const STARTS: usize = 3;

/// From the process's start to its ready line.
pub(crate) async fn until_ready(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let history = bench.history().await?;
    let (mut times, mut weights) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let started = Instant::now();
        let server = Server::serve(&bench.executable, history.folder())?;
        times.push(u64::try_from(started.elapsed().as_micros())?);
        weights.push(resident(&server.id().to_string())?);
        server.stop()?;
        history.closed().await?;
    }
    let case = |what: &str| format!("{what}, {} records", history.records);
    Ok(vec![
        Row::alone(case("ready"), Unit::Micros, median(times)).judged(true),
        Row::alone(case("resident"), Unit::Bytes, median(weights)),
    ])
}
