//! What a developer runs: `cargo xtask test | soak | generate`.
mod generate;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use run::Campaign;

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
    /// Run the campaigns at full size: crashes, power cuts, an editor of the log's file, the exhaustive model of its
    /// contract.
    Soak {
        /// How many times the executable is killed under load; 0 leaves it out.
        #[arg(long, default_value_t = 1_000)]
        cycles: u32,
        /// How many power cuts must lose nothing that was answered; 0 leaves it out.
        #[arg(long, default_value_t = 1_000)]
        power_cuts: u32,
        /// How many edited logs must be found; 0 leaves it out.
        #[arg(long, default_value_t = 100_000)]
        mutants: u32,
        /// Leaves the model out, which takes minutes and over a gibibyte.
        #[arg(long)]
        no_model: bool,
        /// Repeats the campaign that printed this seed.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Write generated files: JSON Schemas, missing golden samples, the OpenAPI document.
    Generate,
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
        Task::Test { filter } => run::test(filter.as_deref()),
        Task::Soak { cycles, power_cuts, mutants, no_model, seed } => {
            let all = [
                Campaign::crashes(cycles),
                Campaign::power_cuts(power_cuts),
                Campaign::mutants(mutants),
                Campaign::model(!no_model),
            ];
            run::soak(&all.into_iter().flatten().collect::<Vec<_>>(), seed)
        }
        Task::Generate => generate::run(),
    }
}
