//! Commands a second, durable before the answer: beside a plain file, beside cqrs-es on Postgres, and on a long log.
use anyhow::Context as _;
use event_log::{FRAME_LEN, Kind};

use crate::{
    history,
    measure::{Bench, Row},
    owners::Owners,
    peers::{append_file::AppendFile, postgres_es::PostgresEs},
    rounds::{interleaved, per_second},
};

/// Accounts that take turns: enough that nobody waits for a neighbour, and few events in each.
const ACCOUNTS: usize = 10_000;
/// Callers that the marks are for.
const JUDGED_CALLERS: usize = 64;

/// Beside the bytes of its records, appended to a file and synced.
pub(crate) async fn beside_file(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = bench.folder("commands-")?;
    let owners = Owners::create(folder.path(), ACCOUNTS).await?;
    rate(bench, &owners, JUDGED_CALLERS).await?;
    let file = AppendFile::create(&folder.path().join("plain"), record_len(&owners).await?)?;
    let mut rows = Vec::new();
    for callers in bench.size.callers.iter().copied() {
        let append = || {
            let file = file.clone();
            per_second(callers, bench.size.window, move || file.clone().append())
        };
        let ours = async || rate(bench, &owners, callers).await;
        let found = interleaved(bench.size.rounds, ours, async || append().await).await?;
        rows.push(Row::beside(case(callers), found).judged(callers == JUDGED_CALLERS));
    }
    Ok(rows)
}

/// Beside the framework with its own store.
pub(crate) async fn beside_postgres(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = bench.folder("commands-")?;
    let owners = Owners::create(folder.path(), ACCOUNTS).await?;
    let url = bench.postgres.as_deref().context("there is no Postgres")?;
    let postgres = PostgresEs::connect(url, ACCOUNTS).await?;
    let mut rows = Vec::new();
    for callers in bench.size.callers.iter().copied() {
        let execute = || {
            let postgres = postgres.clone();
            per_second(callers, bench.size.window, move || postgres.clone().earn())
        };
        let ours = async || rate(bench, &owners, callers).await;
        let found = interleaved(bench.size.rounds, ours, async || execute().await).await?;
        rows.push(Row::beside(case(callers), found).judged(callers == JUDGED_CALLERS));
    }
    Ok(rows)
}

/// A long log beside a new one.
pub(crate) async fn on_long_log(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let history = bench.history().await?;
    let long = Owners::open(history.folder(), history.accounts()).await?;
    let folder = bench.folder("commands-")?;
    let new = Owners::create(folder.path(), history.accounts()).await?;
    let (on_long, on_new) =
        (async || rate(bench, &long, JUDGED_CALLERS).await, async || rate(bench, &new, JUDGED_CALLERS).await);
    let found = interleaved(bench.size.rounds, on_long, on_new).await?;
    drop(long);
    history.closed().await?;
    Ok(vec![Row::beside(case(JUDGED_CALLERS), found)])
}

async fn rate(bench: &Bench, owners: &Owners, callers: usize) -> anyhow::Result<u64> {
    let owners = owners.clone();
    per_second(callers, bench.size.window, move || owners.clone().earn()).await
}

fn case(callers: usize) -> String {
    if callers == 1 { "1 caller".to_owned() } else { format!("{callers} callers") }
}

/// The mean length of the records that commands made.
async fn record_len(owners: &Owners) -> anyhow::Result<usize> {
    let (mut count, mut bytes) = (0_usize, 0_usize);
    history::read(&owners.log, |record| {
        if record.frame.kind == Kind::Commit {
            count += 1;
            bytes += FRAME_LEN + record.body.len();
        }
        Ok(())
    })
    .await?;
    bytes.checked_div(count).context("no command made a record")
}
