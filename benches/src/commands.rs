//! Commands a second, durable before the answer: beside a plain file, beside cqrs-es on Postgres, and on a long log.
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use event_log::{FRAME_LEN, Kind};

use crate::{
    commands_on_kafka,
    history::{self, RECORDS_PER_ACCOUNT},
    measure::{Bench, Row, Server},
    owners::Owners,
    peers::{
        append_file::AppendFile,
        postgres_es::{self, PostgresEs},
    },
    rounds::{for_each, interleaved, per_second},
};

/// Accounts that take turns: enough that nobody waits for a neighbour, and few events in each.
pub(crate) const ACCOUNTS: usize = 10_000;
/// Accounts that the long log and the new one are asked about.
const SAME_ACCOUNTS: usize = 2_000;
/// Callers that the marks are for.
pub(crate) const JUDGED_CALLERS: usize = 64;

/// Rounds are short and many: rates of single commands vary more than what else is measured.
pub(crate) const fn rounds(bench: &Bench) -> usize {
    2 * bench.size.rounds + 1
}

/// Beside the bytes of its records, appended to a file and synced.
pub(crate) async fn beside_file(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = bench.folder("commands-")?;
    let owners = Owners::create(folder.path(), ACCOUNTS).await?;
    owners.earn_everywhere(1).await?;
    let file = AppendFile::create(&folder.path().join("plain"), record_len(&owners).await?)?;
    let mut rows = Vec::new();
    for callers in bench.size.callers.iter().copied() {
        let append = || {
            let file = file.clone();
            per_second(callers, bench.size.window, move || file.clone().append())
        };
        let ours = async || rate(bench, &owners, callers).await;
        let found = interleaved(rounds(bench), ours, async || append().await).await?;
        rows.push(Row::beside(case(callers), found).judged(callers == JUDGED_CALLERS));
    }
    Ok(rows)
}

/// Beside the framework with its own store.
pub(crate) async fn beside_postgres(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = bench.folder("commands-")?;
    let url = bench.server(Server::Postgres)?;
    beside_framework(bench, &Owners::create(folder.path(), ACCOUNTS).await?, url).await
}

/// The same with our log in the same Postgres.
pub(crate) async fn on_postgres(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = bench.folder("commands-")?;
    let url = bench.server(Server::Postgres)?;
    postgres_es::clear(url).await?;
    beside_framework(bench, &Owners::create_on_postgres(folder.path(), url, ACCOUNTS).await?, url).await
}

async fn beside_framework(bench: &Bench, owners: &Owners, url: &str) -> anyhow::Result<Vec<Row>> {
    let postgres = PostgresEs::connect(url, ACCOUNTS).await?;
    owners.earn_everywhere(1).await?;
    let postgres_warms = postgres.clone();
    for_each(ACCOUNTS, JUDGED_CALLERS, move |_| postgres_warms.clone().earn()).await?;
    let mut rows = Vec::new();
    for callers in bench.size.callers.iter().copied() {
        let execute = || {
            let postgres = postgres.clone();
            per_second(callers, bench.size.window, move || postgres.clone().earn())
        };
        let ours = async || rate(bench, owners, callers).await;
        let found = interleaved(rounds(bench), ours, async || execute().await).await?;
        rows.push(Row::beside(case(callers), found).judged(callers == JUDGED_CALLERS));
    }
    Ok(rows)
}

/// A long log beside a new one. Both have the same accounts with the same history, all at hand, so that nothing but the
/// log's length differs; what an account costs that is not at hand is a measurement of its own.
pub(crate) async fn on_long_log(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let history = bench.history().await?;
    let accounts = history.accounts().min(SAME_ACCOUNTS);
    let long = Owners::open(history.folder(), accounts).await?;
    let folder = bench.folder("commands-")?;
    let new = Owners::create(folder.path(), accounts).await?;
    new.earn_everywhere(RECORDS_PER_ACCOUNT).await?;
    long.earn_everywhere(1).await?;
    new.earn_everywhere(1).await?;
    let (on_long, on_new) =
        (async || rate(bench, &long, JUDGED_CALLERS).await, async || rate(bench, &new, JUDGED_CALLERS).await);
    let found = interleaved(rounds(bench), on_long, on_new).await?;
    drop(long);
    history.closed().await?;
    Ok(vec![Row::beside(case(JUDGED_CALLERS), found)])
}

/// Commands to warm accounts for a while, with the log in a file or on these brokers.
pub(crate) async fn profiled(
    folder: &Path,
    brokers: Option<&str>,
    callers: usize,
    window: Duration,
) -> anyhow::Result<String> {
    let owners = match brokers {
        Some(brokers) => {
            Owners::create_on_kafka(folder, &commands_on_kafka::new_topic(brokers).parse()?, ACCOUNTS).await?
        }
        None => Owners::create(folder, ACCOUNTS).await?,
    };
    owners.earn_everywhere(1).await?;
    cost(async || per_second(callers, window, move || owners.clone().earn()).await, window).await
}

/// How many calls a second there are, and what each costs in processor time, by thread.
pub(crate) async fn cost(
    run: impl AsyncFnOnce() -> anyhow::Result<u64>,
    window: Duration,
) -> anyhow::Result<String> {
    let before = processor_time_ns()?;
    let per_second = run().await?;
    let mut told = format!("{per_second} a second; nanoseconds of each:");
    let commands = u128::from(per_second) * window.as_nanos() / 1_000_000_000;
    for (thread, after_ns) in processor_time_ns()? {
        let spent_ns = after_ns.saturating_sub(before.get(&thread).copied().unwrap_or_default());
        write!(told, " {thread} {}", u128::from(spent_ns) / commands.max(1))?;
    }
    Ok(told)
}

/// What this process' threads spent so far, by name, as the kernel counts it.
fn processor_time_ns() -> anyhow::Result<BTreeMap<String, u64>> {
    let mut spent = BTreeMap::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.path();
        let read = |file| fs::read_to_string(thread.join(file));
        // One that ended meanwhile has no files any more; that there are none at all is said below.
        let (Ok(name), Ok(counted)) = (read("comm"), read("schedstat")) else { continue };
        let name = name.trim_end().replace(' ', "-");
        let spent_ns: u64 = counted.split(' ').next().context("no processor time is counted")?.parse()?;
        *spent.entry(name).or_default() += spent_ns;
    }
    ensure!(!spent.is_empty(), "no processor time is counted");
    Ok(spent)
}

async fn rate(bench: &Bench, owners: &Owners, callers: usize) -> anyhow::Result<u64> {
    let owners = owners.clone();
    per_second(callers, bench.size.window, move || owners.clone().earn()).await
}

pub(crate) fn case(callers: usize) -> String {
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
