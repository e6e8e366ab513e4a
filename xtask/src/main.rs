//! What a developer runs: `cargo xtask test | soak | generate`.
mod generate;
mod run;

use clap::{Parser, Subcommand};

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
    /// Run the crash campaign at full size.
    Soak {
        /// How many times the executable is killed under load.
        #[arg(long, default_value_t = 1_000)]
        cycles: u32,
        /// Repeats the campaign that printed this seed.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Write generated files: JSON Schemas, missing golden samples, the OpenAPI document.
    Generate,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Test { filter } => run::test(filter.as_deref()),
        Task::Soak { cycles, seed } => run::soak(cycles, seed),
        Task::Generate => generate::run(),
    }
}
