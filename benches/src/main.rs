//! Speed and memory beside peers and physical limits, measured in one run and told in one table.
//!
//! Not shipped and not a test: nothing here fails for being slow. `cargo xtask bench` builds and runs it.
mod commands;
mod commands_on_kafka;
mod expiry;
mod hand_over;
mod history;
mod http;
mod keys;
mod large_account;
mod machine;
mod measure;
mod memory;
mod owners;
mod peers;
mod rebuild;
mod rebuild_on_postgres;
mod registry;
mod replay;
mod rounds;
mod server;
mod shopify;
mod start_up;
mod table;
mod webhooks;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};

use crate::{
    measure::{Bench, Measurement, Row, Server, Size},
    registry::MEASUREMENTS,
    table::Found,
};

/// As the executable that ships has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Measures speed and memory")]
struct Arguments {
    /// Measure only what has this in its name.
    filter: Option<String>,
    /// A tenth of the size.
    #[arg(long, conflicts_with = "smoke")]
    quick: bool,
    /// Run every measurement once, tiny; the figures mean nothing.
    #[arg(long)]
    smoke: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// List the measurements.
    #[arg(long)]
    list: bool,
    /// Say which servers the measurements need.
    #[arg(long)]
    needs: bool,
    /// An empty database of a local Postgres; without one, what needs it is left out.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// A Kafka of one broker; without one, what needs it is left out.
    #[arg(long, value_name = "URL")]
    kafka: Option<String>,
    /// A Kafka of three brokers; without one, what needs it is left out.
    #[arg(long, value_name = "URL")]
    kafka_of_three: Option<String>,
    /// The executable that ships; the one beside this program if none is named.
    #[arg(long, value_name = "FILE")]
    executable: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Parts of a measurement that need a process of their own.
#[derive(Subcommand)]
enum Part {
    /// Serve as the webhook door's peer.
    #[command(hide = true)]
    HmacServer { secret: String },
    /// Start the owners of a folder and print by how many bytes each account grew this process.
    #[command(hide = true)]
    OwnerMemory { tier: memory::Tier, accounts: usize, folder: PathBuf },
    /// Send commands for so many seconds and print what each cost; for a profiler to look at.
    #[command(hide = true)]
    ProfileCommands { callers: usize, seconds: u64, folder: PathBuf, brokers: Option<String> },
    /// The same with a bare client that sends a command's message to these brokers.
    #[command(hide = true)]
    ProfileBareKafka { callers: usize, seconds: u64, brokers: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match &arguments.part {
        Some(Part::HmacServer { secret }) => return peers::hmac_server::serve(secret.clone()).await,
        Some(Part::OwnerMemory { tier, accounts, folder }) => {
            println!("{}", memory::weigh(folder, *accounts, *tier).await?);
            return Ok(());
        }
        Some(Part::ProfileCommands { callers, seconds, folder, brokers }) => {
            let window = Duration::from_secs(*seconds);
            println!("{}", commands::profiled(folder, brokers.as_deref(), *callers, window).await?);
            return Ok(());
        }
        Some(Part::ProfileBareKafka { callers, seconds, brokers }) => {
            let window = Duration::from_secs(*seconds);
            println!("{}", commands_on_kafka::profiled_bare(brokers, *callers, window).await?);
            return Ok(());
        }
        None => {}
    }
    let chosen = |measurement: &&Measurement| {
        arguments.filter.as_ref().is_none_or(|filter| measurement.name.contains(filter))
    };
    let chosen: Vec<&'static Measurement> = MEASUREMENTS.iter().filter(chosen).collect();
    ensure!(!chosen.is_empty(), "no measurement has this in its name; --list shows them all");
    if arguments.list {
        chosen.iter().for_each(|measurement| println!("{}: {}", measurement.name, measurement.what));
        return Ok(());
    }
    if arguments.needs {
        let servers = [Server::Postgres, Server::Kafka, Server::KafkaOfThree];
        let needed = |server: &Server| chosen.iter().any(|measurement| measurement.needs.contains(server));
        servers.iter().filter(|server| needed(server)).for_each(|server| println!("{}", server.name()));
        return Ok(());
    }
    let bench = bench(&arguments)?;
    let machine = machine::describe(&target_folder()?);
    let found = measure_all(&bench, &chosen).await;
    if arguments.json {
        println!("{}", table::json(&machine, &found));
    } else {
        println!("\n{machine}\n\n{}", table::markdown(&found));
    }
    let failed = found.iter().filter(|found| found.rows.is_err()).count();
    ensure!(failed == 0, "{failed} measurements could not be made");
    Ok(())
}

fn bench(arguments: &Arguments) -> anyhow::Result<Bench> {
    let size = match (arguments.smoke, arguments.quick) {
        (true, _) => Size::SMOKE,
        (false, true) => Size::QUICK,
        (false, false) => Size::FULL,
    };
    let executable = match &arguments.executable {
        Some(executable) => executable.clone(),
        None => target_folder()?.join("loyalnest"),
    };
    ensure!(executable.exists(), "there is no executable at {}", executable.display());
    let Arguments { postgres, kafka, kafka_of_three, .. } = arguments;
    let given =
        [(Server::Postgres, postgres), (Server::Kafka, kafka), (Server::KafkaOfThree, kafka_of_three)];
    let servers = given.into_iter().filter_map(|(server, url)| Some((server, url.clone()?)));
    Bench::new(size, executable, servers.collect(), &target_folder()?)
}

/// Where this program lies: on a real disk, which a folder for temporary files need not be.
fn target_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.parent().map(Path::to_owned).context("this program lies in a folder")
}

async fn measure_all(bench: &Bench, chosen: &[&'static Measurement]) -> Vec<Found> {
    let mut found = Vec::new();
    for measurement in chosen.iter().copied() {
        let missing = measurement.needs.iter().find(|server| bench.server(**server).is_err());
        if let Some(missing) = missing {
            eprintln!("{}: left out, no {} was named", measurement.name, missing.name());
            continue;
        }
        let started = Instant::now();
        let judges = bench.size.judges;
        let judged = |row: Row| {
            let judged = judges && row.judged;
            row.judged(judged)
        };
        let rows = (measurement.run)(bench).await.map(|rows| rows.into_iter().map(judged).collect());
        let rows = rows.map_err(|error| format!("{error:#}"));
        eprintln!("{}: {} s", measurement.name, started.elapsed().as_secs());
        found.push(Found { measurement, rows });
    }
    found
}
