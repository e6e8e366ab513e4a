//! What a developer runs: `cargo xtask test | soak | bench | services | generate`.
mod bench;
mod counts;
mod generate;
mod run;
mod services;
mod soak;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use soak::Campaign;

#[derive(Parser)]
#[command(about = "Tasks of the project")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every test of the project: formatting, lints, unit tests, and the real executable end to end.
    Test {
        /// Run only tests whose name contains this; formatting and lints are left out.
        filter: Option<String>,
    },
    /// Run the campaigns at full size: crashes, power cuts, simulations, an editor of the log's file, the exhaustive
    /// model of its contract. If any size is given, only the campaigns with a size run.
    Soak {
        /// How many times the executable is killed under load; 1,000 if no size is given.
        #[arg(long)]
        cycles: Option<u32>,
        /// How many power cuts must lose nothing that was answered; 1,000 if no size is given.
        #[arg(long)]
        power_cuts: Option<u32>,
        /// How many seeded worlds are lived through; 20,000 if no size is given. 1 with a seed shows what happened.
        #[arg(long)]
        simulations: Option<u32>,
        /// How many edited logs must be found; 100,000 if no size is given.
        #[arg(long)]
        mutants: Option<u32>,
        /// How many random histories must keep the laws of the points account; 1,000,000 if no size is given.
        #[arg(long)]
        laws: Option<u32>,
        /// How many random shops must come out as in the plain model of the ledger; 1,000,000 if no size is given.
        #[arg(long)]
        ledger: Option<u32>,
        /// How many times longer than in the tests several nodes are killed, paused and set against each other; 8 if no
        /// size is given.
        #[arg(long)]
        nodes: Option<u32>,
        /// How many people are erased with the executable killed at a step; 500 if no size is given.
        #[arg(long)]
        erasures: Option<u32>,
        /// How many times parts of an installation come from older backups; 1,000 if no size is given.
        #[arg(long)]
        restores: Option<u32>,
        /// Leaves the model out, which takes minutes and over a gibibyte.
        #[arg(long)]
        no_model: bool,
        /// Repeats the campaign that printed this seed.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Measure speed and memory beside peers, in one run, and print one table.
    Bench {
        /// Handed on, such as a part of a measurement's name, --quick or --json; --help shows them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Start or end the servers that tests and measurements need: a Postgres and a Kafka on this machine.
    Services {
        #[arg(value_enum)]
        action: Action,
        /// How many brokers Kafka has.
        #[arg(long, default_value_t = 1, value_parser = brokers)]
        brokers: u8,
    },
    /// Ends a service when the input ends; whoever leases one starts this.
    #[command(hide = true)]
    EndService { name: String },
    /// Brokers that one test kills, pauses and restarts.
    #[command(hide = true)]
    OwnKafka {
        #[arg(value_parser = brokers)]
        brokers: u8,
        /// Listen with TLS and a password as well; for one broker.
        #[arg(long)]
        secure: bool,
    },
    /// A Postgres that one test stops and starts again.
    #[command(hide = true)]
    OwnPostgres,
    /// Write generated files: JSON Schemas, missing golden samples, the OpenAPI document.
    Generate,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Start what does not run yet, and say where it listens.
    Up,
    /// End what runs, and remove what it stored.
    Down,
}

fn brokers(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("expected 1 or 3".to_owned()),
    }
}

fn main() -> ExitCode {
    match run_task(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_task(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Test { filter } => test::run(filter.as_deref()),
        Task::Soak {
            cycles,
            power_cuts,
            simulations,
            mutants,
            laws,
            ledger,
            nodes,
            erasures,
            restores,
            no_model,
            seed,
        } => {
            let sizes = [cycles, power_cuts, simulations, mutants, laws, ledger, nodes, erasures, restores];
            let sized = sizes.iter().any(Option::is_some);
            let size = |given: Option<u32>, full| given.unwrap_or(if sized { 0 } else { full });
            let all = [
                Campaign::crashes(size(cycles, 1_000)),
                Campaign::power_cuts(size(power_cuts, 1_000)),
                Campaign::simulations(size(simulations, 20_000)),
                Campaign::mutants(size(mutants, 100_000)),
                Campaign::laws(size(laws, 1_000_000)),
                Campaign::ledger(size(ledger, 1_000_000)),
                Campaign::nodes(size(nodes, 8)),
                Campaign::erasures(size(erasures, 500)),
                Campaign::restores(size(restores, 1_000)),
                Campaign::model(!sized && !no_model),
            ];
            soak::run(&all.into_iter().flatten().collect::<Vec<_>>(), seed)
        }
        Task::Bench { arguments } => bench::run(&arguments),
        Task::Services { action: Action::Up, brokers } => {
            let kafka = if brokers == 1 { services::KAFKA } else { services::KAFKA_OF_THREE };
            services::up(&[services::POSTGRES, kafka])
        }
        Task::Services { action: Action::Down, .. } => services::down(),
        Task::OwnKafka { brokers, secure } => services::own_kafka(brokers, secure),
        Task::OwnPostgres => services::own_postgres(),
        Task::EndService { name } => services::end_after_input(&name),
        Task::Generate => generate::run(),
    }
}
